"""The page Submit gives an experiment to the Prefect server of `thalweg up`, which runs it by the clock."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import streamlit as st
from own_services import own_services
from small_experiment import RIVERS
from streamlit.testing.v1 import AppTest

from thalweg.dashboard.starting import jobs
from thalweg.flows.dashboard_server import SUBMIT
from thalweg.storage.results import Run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PATIENCE = 300.0
CLIMATOLOGY = RIVERS.replace("  lstm: {kind: lstm, hidden: 4}\n", "")


def thalweg(*words: str) -> str:
    command = [sys.executable, "-m", "thalweg.flows.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def lab(rivers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A workspace with a store and an experiment, and services in it; we have the dashboard's environment."""
    st.cache_data.clear()
    monkeypatch.chdir(tmp_path)
    own_services(monkeypatch)
    monkeypatch.setenv(SUBMIT, "1")
    shutil.copytree(rivers, tmp_path / "data")
    (tmp_path / "rivers.yaml").write_text(CLIMATOLOGY)
    try:
        thalweg("up", "--without", "ray", "--without", "dashboard")
        for line in thalweg("status", "--env").splitlines():
            name, _, value = shlex.split(line)[1].partition("=")
            if not name.startswith("RAY_"):
                monkeypatch.setenv(name, value)
        yield tmp_path
    finally:
        thalweg("down")


def until(condition: Callable[[], object], told: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(1)


def asked(path: str, content: dict[str, object]) -> list[dict[str, Any]]:
    user, _, password = os.environ["PREFECT_API_AUTH_STRING"].partition(":")
    url = f"{os.environ['PREFECT_API_URL']}/{path}"
    answer = httpx.post(url, auth=(user, password), json=content, timeout=30)
    found: list[dict[str, Any]] = answer.raise_for_status().json()
    return found


def spoken(deployment: dict[str, Any]) -> str:
    """The cron line of a deployment, which has one."""
    (schedule,) = deployment["schedules"]
    return str(schedule["schedule"]["cron"])


def test_what_the_page_schedules_is_run_by_the_clock(lab: Path, open_page: Callable[..., AppTest]) -> None:
    page = open_page("submit", where="schedule", **{"from": "file:rivers.yaml"})
    page.text_input[0].set_value("* * * * *").run()
    next(each for each in page.button if each.key == "start").click().run()
    assert not page.exception
    assert not page.error
    (job,) = jobs.jobs()
    until(lambda: jobs.find(job.id).state != "running", lambda: jobs.find(job.id))
    assert jobs.find(job.id).state == "scheduled", (job.folder / "log.txt").read_text()
    (deployment,) = asked("deployments/filter", {})
    assert deployment["name"].startswith("experiment-rivers-")
    assert spoken(deployment) == "* * * * *"

    place = lab / "runs" / "rivers" / "climatology--temporal--0--s0"
    until(lambda: Run(place).state == "done", lambda: asked("flow_runs/filter", {}))
    completed = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
    until(lambda: asked("flow_runs/filter", completed), lambda: asked("flow_runs/filter", {}))
    (artifact,) = [each for each in asked("artifacts/latest/filter", {}) if each["key"] == "skill-rivers"]
    assert json.loads(artifact["data"])[0]["model"] == "climatology"

    # another cron line takes the place of the first; then the schedule is removed
    again = jobs.start_scheduled(CLIMATOLOGY, "rivers", "me", "0 3 * * *")
    until(lambda: jobs.find(again.id).state == "scheduled", again.log)
    assert jobs.find(job.id).state == "done"
    (deployment,) = asked("deployments/filter", {})
    assert spoken(deployment) == "0 3 * * *"
    page = open_page("submit", job=again.id, **{"from": "file:rivers.yaml"})
    next(each for each in page.button if each.key == "remove-schedule").click().run()
    removal = jobs.jobs()[0]
    until(lambda: not jobs.find(removal.id).alive, removal.log)
    assert jobs.find(removal.id).state == "done", removal.log()
    assert jobs.find(again.id).state == "done"
    assert asked("deployments/filter", {}) == []
