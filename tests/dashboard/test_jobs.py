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


def scheduled(text: str, cron: str, name: str = "rivers") -> jobs.Job:
    return ended(jobs.start_scheduled(text, name, "me", cron).id)


def test_an_experiment_has_one_schedule_however_often_it_is_scheduled(place: Path) -> None:
    first = scheduled("name: rivers\n", "0 3 * * *")
    assert (first.state, first.code, first.clock) == ("scheduled", 0, "0 3 * * * UTC")
    second = scheduled("name: rivers # changed\n", "0  4 * * *")
    other = scheduled("name: other\n", "0 5 * * *", "other")
    found = {job.id: (job.state, job.clock) for job in jobs.jobs()}
    assert found == {
        first.id: ("done", "0 3 * * * UTC"),
        second.id: ("scheduled", "0 4 * * * UTC"),
        other.id: ("scheduled", "0 5 * * * UTC"),
    }
    file = place / "runs" / ".jobs" / "schedules" / "rivers.yaml"
    for job, cron in ((first, "0 3 * * *"), (second, "0 4 * * *")):
        command = json.loads((job.folder / "job.json").read_text())["command"]
        runs = ["--runs", str(place / "runs")]
        assert command == [*FAKE, "schedule", str(file), *runs, "--cron", cron, "--timezone", "UTC"]
    assert file.read_text() == "name: rivers # changed\n"
    assert (first.folder / "experiment.yaml").read_text() == "name: rivers\n"


def test_a_schedule_is_removed_by_a_job(place: Path) -> None:
    job = scheduled("name: rivers\n", "0 3 * * *")
    file = place / "runs" / ".jobs" / "schedules" / "rivers.yaml"
    removal = ended(jobs.start_removal(job, "you").id)
    assert (removal.state, removal.by, removal.what) == ("done", "you", "thalweg schedule --remove")
    assert f"deleted {file}" in removal.log()
    command = json.loads((removal.folder / "job.json").read_text())["command"]
    assert command == [*FAKE, "schedule", str(file), "--runs", str(place / "runs"), "--remove"]
    after = jobs.find(job.id)
    assert after is not None
    assert after.state == "done"
    assert list(file.parent.iterdir()) == []
    with pytest.raises(InputError, match="has no schedule that could be removed"):
        jobs.start_removal(after, "me")
    with pytest.raises(InputError, match="has no schedule that could be removed"):
        jobs.start_removal(removal, "me")


def test_what_could_not_be_removed_is_there_still(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = scheduled("name: rivers\n", "0 3 * * *")
    (place / "refuse-removal").touch()
    assert ended(jobs.start_removal(job, "me").id).state == "failed"
    again = jobs.find(job.id)
    assert again is not None
    assert again.state == "scheduled"
    (place / "refuse-removal").unlink()
    jobs.start_local("fake: wait\n", "x", "me")
    monkeypatch.setattr(jobs, "MOST_ALIVE", 1)  # a schedule can be removed however much runs
    assert ended(jobs.start_removal(again, "me").id).state == "done"


def test_a_schedule_that_fails_leaves_the_one_before_as_it_was(place: Path) -> None:
    job = scheduled("name: rivers\n", "0 3 * * *")
    file = place / "runs" / ".jobs" / "schedules" / "rivers.yaml"
    assert scheduled("fake: fail\n", "0 4 * * *").state == "failed"
    assert file.read_text() == "name: rivers\n"
    assert jobs.find(job.id).state == "scheduled"
    assert scheduled("fake: fail\n", "0 4 * * *", "other").state == "failed"
    assert not file.with_name("other.yaml").exists()


def test_without_a_server_the_job_keeps_the_clock_until_it_is_cancelled(place: Path) -> None:
    job = jobs.start_scheduled("fake: wait\n", "rivers", "me", "0 3 * * *")
    until(lambda: "fake schedule" in jobs.find(job.id).log())
    assert jobs.find(job.id).state == "running"
    with pytest.raises(InputError, match="schedules rivers already: cancel that job first"):
        jobs.start_scheduled("name: rivers\n", "rivers", "me", "0 4 * * *")
    assert len(jobs.jobs()) == 1
    assert job.cancel()
    assert ended(job.id).state == "stopped"
    assert "tidied up" in jobs.find(job.id).log()
    assert list((place / "runs" / ".jobs" / "schedules").iterdir()) == []


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".", "..", "A", "x" * 201, "a\n", "/etc/x"])
def test_no_name_leads_out_of_the_folder_of_schedules(name: str, place: Path) -> None:
    with pytest.raises(InputError, match="cannot be scheduled"):
        jobs.start_scheduled("", name, "me", "0 3 * * *")
    assert list(place.iterdir()) == []


def test_a_damaged_note_of_a_schedule_is_none(place: Path) -> None:
    job = scheduled("name: rivers\n", "0 3 * * *")
    note = place / "runs" / ".jobs" / "schedules" / "rivers.json"
    for text in ("", "[]", '"x"', "{}", '{"job": 3}'):
        note.write_text(text)
        assert jobs.find(job.id).state == "done"


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
