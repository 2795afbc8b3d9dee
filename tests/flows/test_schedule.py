"""`thalweg schedule`: planned by a Prefect server, one at a time, and gone when it is stopped."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from waiting import PATIENCE, until

from thalweg.flows import cli, scheduling
from thalweg.flows.scheduling import deployment_name, make_schedule
from thalweg.flows.server import Server, ServerError, server
from thalweg.storage.repository import Repository
from thalweg.storage.versions import log

SOURCE = {"kind": "thalweg.flows.twin:twin", "sites": 4, "regions": 2, "years": 2}
COMMAND = [sys.executable, "-m", "thalweg.flows.cli", "schedule"]


@pytest.fixture
def spec(write, folder):
    return write({"store": "twin.zarr", "source": SOURCE}, "rivers.yaml")


@pytest.fixture
def started(folder):
    """Start schedules, each in a session of its own with its output in a file; what is left is killed."""
    running = []

    def start(name, *arguments, **environment):
        with (folder / name).open("w") as output:
            process = subprocess.Popen(
                [*COMMAND, *arguments],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait()


def members(session):
    """Give the processes of a session, and those that they started in sessions of their own."""
    found, parents, sessions = set(), {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            parents[int(folder.name)], sessions[int(folder.name)] = int(fields[1]), int(fields[3])
    for process in parents:
        ancestor = process
        while ancestor > 1 and sessions.get(ancestor) != session:
            ancestor = parents.get(ancestor, 0)
        if ancestor > 1:
            found.add(process)
    return found


@pytest.mark.parametrize("line", ["", "x", "0 3 * *", "0 3 * * * *", "@daily", "61 3 * * *", "0 0 31 2 *"])
def test_a_wrong_cron_line(spec, line, capsys):
    assert _refused(capsys, str(spec), "--cron", line) == (
        f'--cron "{line}": wrong; write five fields, such as "0 3 * * *"\n'
    )


@pytest.mark.parametrize("zone", ["", "Europe/Zurch", "Europe", "../etc/passwd"])
def test_a_wrong_time_zone(spec, zone, capsys):
    said = _refused(capsys, str(spec), "--cron", "0 3 * * *", "--timezone", zone)
    assert said == f"--timezone {zone}: unknown; write one such as Europe/Zurich\n"


def test_a_wrong_file(write, folder, capsys):
    assert "nothing.yaml: no such file" in _refused(capsys, "nothing.yaml", "--cron", "0 3 * * *")
    path = write({"store": "a.zarr", "source": SOURCE, "ingest": {"late_day": 3}})
    assert "did you mean 'late_days'?" in _refused(capsys, str(path), "--cron", "0 3 * * *")
    assert sorted(folder.iterdir()) == [folder / path]


def _refused(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(["schedule", *arguments])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_by_the_clock_of_a_place():
    """At three in the morning there: in winter that is two in UTC, in summer one."""
    from prefect.server.schemas.schedules import CronSchedule

    schedule = make_schedule("0 3 * * *", "Europe/Zurich")
    times = CronSchedule(cron=schedule.cron, timezone=schedule.timezone)
    for day, hour in ((datetime(2026, 1, 5, tzinfo=UTC), 2), (datetime(2026, 7, 5, tzinfo=UTC), 1)):
        (found,) = asyncio.run(times.get_dates(1, start=day))
        assert found.astimezone(UTC).hour == hour


def test_files_of_one_name_are_served_apart(tmp_path):
    names = {deployment_name(tmp_path / folder / "my rivers%.yaml") for folder in "ab"}
    assert len(names) == 2
    assert all(name.startswith("my-rivers-") for name in names)


def test_one_run_makes_up_for_all_that_were_missed(folder, prefect_server, monkeypatch):
    from prefect import get_client
    from prefect.states import Scheduled

    from thalweg.flows.prefect_settings import prefect_settings
    from thalweg.flows.scheduled import forget_missed, scheduled_ingest

    monkeypatch.setenv("PREFECT_API_URL", prefect_server.url)
    with prefect_settings(prefect_server, folder):
        deployment = scheduled_ingest.to_deployment("missed", parameters={"spec": "a", "directory": "b"})
        identity = deployment.apply()
        now, kept = datetime.now(UTC), []
        with get_client(sync_client=True) as client:
            for hours in (-30, -6, 6):
                state = Scheduled(scheduled_time=now + timedelta(hours=hours))
                kept.append(client.create_flow_run_from_deployment(identity, state=state).id)
            forget_missed(str(identity))
            assert [run.id for run in client.read_flow_runs() if run.deployment_id == identity] == kept[2:]
            client.delete_deployment(identity)


def test_a_server_that_plans_nothing_is_named(spec, prefect_server, monkeypatch):
    """As one whose scheduler fails: no ingest would ever run."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_server.url)
    monkeypatch.setattr(scheduling, "PLAN_SECONDS", 1.0)
    with pytest.raises(ServerError, match=rf"{prefect_server.url} plans no runs; see "):
        scheduling.serve(spec, "0 3 * * *")


def test_an_ingest_that_fails_says_why_in_a_line(write, folder, capsys, monkeypatch):
    from thalweg.flows.scheduled import scheduled_ingest

    monkeypatch.setattr(sys, "path", list(sys.path))
    path = write({"store": "a.zarr", "source": {"kind": "caravan", "path": "nowhere"}})
    with pytest.raises(ValueError, match="nowhere"):
        scheduled_ingest.fn(str(path), str(folder))
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow  # two schedules and a server with its scheduler: minutes on a busy machine
def test_two_started_at_once(spec, folder, started, pytestconfig, tmp_path):
    """Both serve the file on one server: each ingests, one after the other, and nothing is left of them."""
    with server(pytestconfig.cache.mkdir("prefect-schedule"), scheduler=True) as planning:
        planning.wait()
        settings = {"PREFECT_API_URL": planning.url, "PREFECT_HOME": str(tmp_path / "home")}
        both = [started(f"{n}.log", str(spec), "--cron", "0 3 * * *", "--here", **settings) for n in range(2)]
        logs = [folder / f"{n}.log" for n in range(2)]
        done = "twin.zarr: 4 sites, 2000-01-01 to 2001-12-30, snapshot"
        until(lambda: sum(each.read_text().count(done) for each in logs) == 2)
        said = [each.read_text() for each in logs]
        assert all("rivers.yaml: now, and next at " in each for each in said)
        assert len(log(Repository.open("twin.zarr"))) == 1
        assert _runs(planning, spec)["COMPLETED"] == 2
        for process, number in zip(both, (signal.SIGINT, signal.SIGTERM), strict=True):
            os.killpg(process.pid, number)
        assert [process.wait(PATIENCE) for process in both] == [0, 143]
        until(lambda: not any(members(process.pid) for process in both))
        assert not any("Traceback" in each.read_text() for each in logs)


def _runs(planning: Server, spec):
    """Count the runs of the file's deployment by state, when none is under way any more."""
    import httpx

    body = {"deployments": {"name": {"any_": [deployment_name(spec)]}}}
    counts = {"RUNNING": 1}
    deadline = time.monotonic() + PATIENCE
    while counts.get("RUNNING") or counts.get("PENDING"):
        assert time.monotonic() < deadline
        runs = httpx.post(f"{planning.url}/flow_runs/filter", json=body, timeout=30).json()
        states = [run["state_type"] for run in runs]
        counts = {state: states.count(state) for state in states}
    return counts


WAITING = """
import time
from pathlib import Path

from thalweg.flows.twin import twin


def wait(**options):
    Path("begun").touch()
    time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_stopped_in_the_middle(write, folder, started, number):
    """Its private server and the ingest that is under way leave with it, and the store can be ingested."""
    (folder / "slow_source.py").write_text(WAITING)
    path = write({"store": "a.zarr", "source": {"kind": "slow_source:wait"}})
    process = started("out.log", str(path), "--cron", "0 3 * * *")
    until((folder / "begun").exists)
    all_of_them = members(process.pid)
    assert len(all_of_them) >= 3
    process.send_signal(number)
    assert process.wait(PATIENCE) == (0 if number == signal.SIGINT else -number)
    until(lambda: not any(Path(f"/proc/{each}").exists() for each in all_of_them), 20)
    assert "Traceback" not in (folder / "out.log").read_text()
    (folder / "slow_source.py").write_text(
        WAITING.replace("    time.sleep(600)", "    return twin(sites=4, years=2)")
    )
    with pytest.raises(SystemExit) as ended:
        cli.main(["ingest", str(path)])
    assert ended.value.code == 0
