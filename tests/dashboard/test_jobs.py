"""Jobs that the page starts: processes of their own, which are found again, tell how they ended, and stop."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import until

from thalweg.dashboard.starting import job_keeper, jobs
from thalweg.flows.services.processes import Process
from thalweg.storage.errors import InputError

FAKE = [sys.executable, str(Path(__file__).with_name("fake_thalweg.py"))]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A workspace in which `thalweg` is the one of the tests; what was started ends with the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("THALWEG_RUNS", "runs")
    monkeypatch.setattr(jobs, "THALWEG", FAKE)
    yield tmp_path
    for job in jobs.jobs():
        for process in jobs._processes(job.folder):
            process.send(signal.SIGKILL)


def ended(name: str) -> jobs.Job:
    until(lambda: not jobs.find(name).alive)
    job = jobs.find(name)
    assert job is not None
    return job


def test_it_runs_and_tells_how_it_ended(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THALWEG_DASHBOARD_TOKEN", "a secret of the dashboard")
    job = jobs.start_local("name: rivers\n", "rivers", "somebody")
    assert (job.state, job.experiment, job.by, job.what) == ("running", "rivers", "somebody", "thalweg run")
    done = ended(job.id)
    assert (done.state, done.code) == ("done", 0)
    assert done.seconds is not None
    assert f"fake run in {place}" in done.log()
    assert "seen: []" in done.log()
    assert (done.folder / "experiment.yaml").read_text() == "name: rivers\n"
    command = json.loads((done.folder / "job.json").read_text())["command"]
    assert command == [*FAKE, "run", f"{done.folder}/experiment.yaml", "--runs", str(place / "runs")]
    assert done.folder.stat().st_mode & 0o077 == 0
    assert not any("a secret" in path.read_text() for path in done.folder.iterdir())


def test_a_failure_is_one(place: Path) -> None:
    job = ended(jobs.start_local("fake: fail\n", "rivers", "me", "search").id)
    assert (job.state, job.code) == ("failed", 3)
    assert "fake search" in job.log()


def test_it_outlives_who_started_it_and_is_found_again(place: Path) -> None:
    script = f"""
from thalweg.dashboard.starting import jobs
jobs.THALWEG = {FAKE!r}
print(jobs.start_local("fake: wait\\n", "rivers", "another dashboard").id)
"""
    started = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    (job,) = jobs.jobs()
    assert job.id == started.stdout.strip().splitlines()[-1]
    assert job.alive
    until(lambda: "fake run" in jobs.find(job.id).log())
    assert job.cancel()
    job = ended(job.id)
    assert job.state == "stopped"
    assert "tidied up" in job.log()
    assert not job.cancel()


def test_one_that_does_not_listen_is_killed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = Path(job_keeper.__file__).read_text().replace("STOP_SECONDS = 40.0", "STOP_SECONDS = 0.5")
    (place / "job_keeper_impatient.py").write_text(keeper)
    popen = subprocess.Popen

    def impatient(command: list[str], **options: object) -> object:
        return popen([sys.executable, str(place / "job_keeper_impatient.py"), command[-1]], **options)

    monkeypatch.setattr(subprocess, "Popen", impatient)
    job = jobs.start_local("fake: deaf\n", "rivers", "me")
    until(lambda: "fake run" in jobs.find(job.id).log())
    assert job.cancel()
    assert ended(job.id).state == "stopped"


def test_one_whose_processes_are_gone_is_lost(place: Path) -> None:
    job = jobs.start_local("fake: wait\n", "rivers", "me")
    until(lambda: "child" in json.loads((job.folder / "state.json").read_text()))
    for process in jobs._processes(job.folder):
        process.send(signal.SIGKILL)
    assert ended(job.id).state == "lost"


def test_a_process_of_the_same_number_is_not_taken_for_it(place: Path) -> None:
    job = ended(jobs.start_local("name: rivers\n", "rivers", "me").id)
    (job.folder / "end.json").unlink()
    mine = Process.of(os.getpid())
    assert mine is not None
    other = {"keeper": {"pid": mine.pid, "started": mine.started + 1}}
    (job.folder / "state.json").write_text(json.dumps(other))
    found = jobs.find(job.id)
    assert found is not None
    assert found.state == "lost"
    assert not found.cancel()


def test_a_job_on_a_cluster_is_followed_and_cancelled_there(place: Path) -> None:
    job = jobs.start_on_cluster("name: rivers\n", "rivers", "me", "127.0.0.1:8265")
    until(lambda: "the cluster says something" in jobs.find(job.id).log())
    order = json.loads((job.folder / "job.json").read_text())
    assert order["command"][-3:] == ["--json", "--address", "http://127.0.0.1:8265"]
    assert json.loads((job.folder / "state.json").read_text())["id"] == "rivers-0123456789"
    assert job.cancel()
    job = ended(job.id)
    assert job.state == "stopped"
    assert "cancelled rivers-0123456789" in job.log()


def test_what_is_refused(place: Path) -> None:
    with pytest.raises(InputError, match="is no address of a Ray dashboard"):
        jobs.start_on_cluster("", "rivers", "me", "ftp://x")
    with pytest.raises(InputError, match="must not hold a password"):
        jobs.start_on_cluster("", "rivers", "me", "http://me:secret@head:8265")
    with pytest.raises(InputError, match="write five fields"):
        jobs.start_scheduled("", "rivers", "me", "every day; rm -rf /")
    with pytest.raises(InputError, match="--timezone Nowhere: unknown"):
        jobs.start_scheduled("", "rivers", "me", "0 3 * * *", "Nowhere")
    for name in ("../up", "a/b", "", "-x;y", "A"):
        with pytest.raises(InputError, match="is no name of an experiment"):
            jobs.start_local("", name, "me")
    assert jobs.jobs() == []
    for name in ("../../etc", "x", ""):
        assert jobs.find(name) is None


def test_not_too_many_at_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MOST_ALIVE", 1)
    first = jobs.start_local("fake: wait\n", "rivers", "me")
    with pytest.raises(InputError, match="1 jobs run already"):
        jobs.start_local("fake: wait\n", "rivers", "me")
    first.cancel()
    ended(first.id)
    ended(jobs.start_local("name: x\n", "rivers", "me").id)


def test_of_a_long_log_the_end_is_shown(place: Path) -> None:
    job = ended(jobs.start_local("name: rivers\n", "rivers", "me").id)
    (job.folder / "log.txt").write_text("".join(f"line {number}\n" for number in range(50_000)))
    shown = job.log()
    assert len(shown) < jobs.LOG_BYTES + 10
    assert shown.startswith("…line ")
    assert shown.endswith("line 49999\n")


def test_damaged_folders_are_passed_over(place: Path) -> None:
    job = ended(jobs.start_local("name: rivers\n", "rivers", "me").id)
    (job.folder.parent / "20260101-000000-cut-0000").mkdir()
    (job.folder.parent / "20260101-000000-cut-0001").mkdir()
    (job.folder.parent / "20260101-000000-cut-0001" / "job.json").write_text('{"id": ')
    assert [each.id for each in jobs.jobs()] == [job.id]
