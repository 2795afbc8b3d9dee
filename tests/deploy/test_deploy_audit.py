"""The audit of dependencies: what is known is a failure, and what could not be asked is said."""

import importlib.util
import subprocess
import sys

import pytest
from deploy_files import ROOT, pinned


def load():
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


audit = load()
SAFE = {"name": "numpy", "version": "2.4.6", "vulns": []}
SKIPPED = {"name": "torch", "skip_reason": "Dependency not found"}
BAD = {
    "name": "jinja2",
    "version": "2.0",
    "vulns": [{"id": "PYSEC-2021-66", "aliases": ["CVE-2020-28493"], "fix_versions": ["2.11.3"]}],
}


@pytest.mark.parametrize("report", [None, {"dependencies": []}, {"dependencies": [SKIPPED, SKIPPED]}])
def test_a_database_that_cannot_be_reached_is_told_and_is_no_failure(report):
    code, text = audit.judge(report)
    assert code == 0
    assert "NOTHING WAS AUDITED" in text


def test_what_is_vulnerable_is_a_failure_with_what_repairs_it():
    code, text = audit.judge({"dependencies": [SAFE, BAD, SKIPPED]})
    assert code == 1
    assert "jinja2 2.0: PYSEC-2021-66: repaired in 2.11.3" in text
    assert "2 packages asked about, 1 vulnerabilities; 1 packages are unknown" in text


def test_what_was_judged_harmless_is_told_and_is_no_failure(monkeypatch):
    monkeypatch.setitem(audit.ACCEPTED, "CVE-2020-28493", "we never urlize")
    code, text = audit.judge({"dependencies": [BAD]})
    assert code == 0
    assert "accepted: we never urlize" in text


def test_all_is_well_where_nothing_is_known():
    assert audit.judge({"dependencies": [SAFE]}) == (0, "audit: 1 packages asked about, 0 vulnerabilities")


@pytest.mark.slow
def test_it_asks_about_every_package_that_is_pinned():
    pytest.importorskip("pip_audit")
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "audit.py"], capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    assert "NOTHING WAS AUDITED" in done.stdout or f"{len(pinned())} packages" in done.stdout
