"""`thalweg doctor` finds what is wrong with a machine, and says what to do."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from waiting import free_port

from thalweg.flows import cli


def test_the_doctor_finds_what_is_wrong(folder, capsys, monkeypatch):
    from thalweg.flows.services import machine_checks

    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with pytest.raises(SystemExit) as ended:
        cli.main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0, found
    assert {each["check"] for each in found} >= {
        "python",
        "packages",
        "disk",
        "memory",
        "gpu",
        "clock",
        "ports",
    }

    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{free_port()}/api")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr(machine_checks, "CONFLICTS", (("fastapi", (0, 1), "another one"),))
    monkeypatch.setattr(machine_checks, "DISK_LEAST", 2**60)
    with pytest.raises(SystemExit) as ended:
        cli.main(["doctor", "--json"])
    assert ended.value.code == 1
    wrong = {each["check"] for each in json.loads(capsys.readouterr().out) if each["level"] == "error"}
    assert wrong == {"packages", "disk", "prefect", "ray", "s3"}


def test_a_wrong_clock_is_found(folder, monkeypatch):
    from thalweg.flows.services import server_checks

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store")
    monkeypatch.setattr(server_checks, "_date", lambda url: datetime.now(UTC) - timedelta(minutes=20))
    (found,) = server_checks.clock()
    assert found.level == "error"
    assert "1,200 s apart" in found.found
