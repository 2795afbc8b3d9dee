"""Lines of JSON that many processes write."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def test_log_lines_of_many_processes(folder, monkeypatch):
    """Each line is whole, and says what it belongs to."""
    from thalweg.flows import logs

    script = (
        "from thalweg.flows import logs\n"
        "for n in range(200):\n"
        "    with logs.about(experiment='e', run=f'r{n}'):\n"
        "        logs.event('step', text='x' * 500)\n"
    )
    given = {**os.environ, "THALWEG_LOG_FILE": "all.jsonl", "THALWEG_JOB": "job-1", "THALWEG_FLOW_RUN": "f"}
    started = [subprocess.Popen([sys.executable, "-c", script], env=given) for _ in range(3)]
    assert [each.wait(60) for each in started] == [0, 0, 0]
    lines = [json.loads(line) for line in Path("all.jsonl").read_text().splitlines()]
    assert len(lines) == 600
    assert {line["run"] for line in lines} == {f"r{n}" for n in range(200)}
    assert {(line["job"], line["flow_run"], line["experiment"]) for line in lines} == {("job-1", "f", "e")}

    monkeypatch.setenv("THALWEG_LOG_FILE", str(folder / "nowhere" / "log"))
    logs.event("no harm")


def test_a_failure_is_told_with_its_reason(folder, capsys, monkeypatch):
    from thalweg.flows import logs

    monkeypatch.setenv("THALWEG_LOG_FORMAT", "json")
    with pytest.raises(ValueError, match="no"), logs.told("cell", run="r"):
        raise ValueError("no")
    begun, failed = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (begun["event"], begun["level"]) == ("cell-started", "info")
    assert (failed["event"], failed["level"], failed["run"]) == ("cell-failed", "error", "r")
    assert failed["error"] == "ValueError: no"
