"""Secrets of the environment and of addresses are found nowhere: not in runs, logs, databases or messages."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml
from deploy_services import OPEN
from secret_search import commands_with, files_with, watched
from small_experiment import EXPERIMENT

THALWEG = Path(sys.executable).with_name("thalweg")
SECRET = "planted-7c1f0a9be2d34586"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "thalweg",
    "AWS_SECRET_ACCESS_KEY": f"{SECRET}-aws",
    "AWS_SESSION_TOKEN": f"{SECRET}-session",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": f"{SECRET}-ray",
    "PREFECT_SERVER_API_AUTH_STRING": f"thalweg:{SECRET}-prefect",
    "PREFECT_API_AUTH_STRING": f"thalweg:{SECRET}-prefect",
    "THALWEG_DASHBOARD_TOKEN": f"{SECRET}-dashboard",
    "THALWEG_METRICS_TOKEN": f"{SECRET}-metrics",
    "THALWEG_NOTIFY_URL": f"http://127.0.0.1:9/{SECRET}-hook",
    "THALWEG_LOG_FORMAT": "json",
    "THALWEG_LOG_FILE": "events.jsonl",
}
TRAINED = {
    **EXPERIMENT,
    "training": {"epochs": 1, "steps_per_epoch": 2, "window": 60, "warmup": 30},
}


def run(folder, *words, **environment):
    """Run `thalweg`, and give its code and what it said."""
    done = subprocess.run(
        [THALWEG, *words],
        cwd=folder,
        env={**OPEN, "HOME": str(folder), "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_leaves_no_secret_in_what_it_writes_and_logs(tmp_path):
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(TRAINED))
    temporary = tempfile.TemporaryDirectory(prefix="s", dir="/tmp", ignore_cleanup_errors=True)
    # Ray's logs are gone in the end
    with temporary as scratch, watched([SECRET], [Path(scratch)]) as leaks:
        code, said = run(tmp_path, "run", "small.yaml", TMPDIR=scratch, **ENVIRONMENT)
    assert code == 0, said
    assert SECRET not in said
    assert not leaks
    assert not files_with([SECRET], tmp_path)
    assert (tmp_path / "runs/small/lstm--temporal--0--s1/manifest.json").exists()
    assert list((tmp_path / ".thalweg").rglob("*.db")), "Prefect's database was looked through too"


@pytest.mark.parametrize(
    ("words", "environment", "told"),
    [
        (("jobs", "--address", f"http://user:{SECRET}@127.0.0.1:9"), {}, "127.0.0.1"),
        (
            ("doctor",),
            dict.fromkeys(
                ("AWS_ENDPOINT_URL", "PREFECT_API_URL", "RAY_API_SERVER_ADDRESS"),
                f"http://user:{SECRET}@127.0.0.1:9",
            ),
            "127.0.0.1:9 does not answer",
        ),
        (("jobs",), {"RAY_API_SERVER_ADDRESS": f"http://user:{SECRET}@127.0.0.1:9"}, "127.0.0.1"),
        (
            ("data", "log", "s3://bucket/store"),
            {"AWS_ENDPOINT_URL": f"http://user:{SECRET}@127.0.0.1:9"},
            "AWS_SECRET_ACCESS_KEY",
        ),
    ],
)
def test_a_password_in_an_address_is_not_shown(words, environment, told, tmp_path):
    code, said = run(tmp_path, *words, **environment)
    assert code in (1, 2)
    assert told in said
    assert SECRET not in said


def test_the_search_would_find_one(tmp_path):
    (tmp_path / "log").write_text(f"token={SECRET}-ray")
    (tmp_path / "header").write_text("Basic dGhhbHdlZzpoaWRkZW4=")
    (tmp_path / "link").symlink_to("log")
    assert files_with([SECRET, "thalweg:hidden"], tmp_path) == {
        str(tmp_path / name) for name in ("log", "header")
    }
    own = "planted-on-a-command-line"
    assert not commands_with([own])
    with watched([own], pause=0.01) as found:
        subprocess.run([sys.executable, "-c", "import time; time.sleep(1)", own], check=True)
    assert any(own in each for each in found)
