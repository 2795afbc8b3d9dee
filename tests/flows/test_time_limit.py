"""Time limits: what runs out of time is ended, its Ray job too, and is not tried again; a network's is."""

import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from thalweg.flows.prefect_settings import prefect_settings
from thalweg.flows.services import ray_job, retrying
from thalweg.flows.services.retrying import OutOfTimeError, guarded
from thalweg.storage.errors import UnavailableError

JOB = "rivers-0123456789-1"


class Cluster:
    """In the place of a Ray cluster: one job, which runs until it is stopped."""

    def __init__(self):
        self.submitted, self.state, self.calls = 0, "running", []
        self.away = set()  # calls that find nobody, each time

    def __call__(self):
        return self

    def submit(self, spec, **given):
        self.submitted += 1
        return SimpleNamespace(id=JOB)

    def find(self, identity):
        self._answer("find")
        ended = self.state != "running"
        return SimpleNamespace(state=self.state, ended=ended, code=0, message="", experiment="rivers")

    def cancel(self, identity):
        self._answer("cancel")
        assert identity == JOB
        self.state = "stopped"
        return True

    def logs(self, identity):
        return "all cells are done"

    def _answer(self, call):
        self.calls.append(call)
        if call in self.away:
            raise UnavailableError("no Ray cluster answers")


@pytest.fixture
def cluster(monkeypatch, folder, prefect_server):
    monkeypatch.setenv("PREFECT_API_URL", prefect_server.url)
    made = Cluster()
    monkeypatch.setattr(ray_job, "Jobs", made)
    monkeypatch.setattr("thalweg.flows.submission.submit", made.submit)
    monkeypatch.setattr(ray_job, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(ray_job, "LOST_SECONDS", 0.2)
    monkeypatch.setattr(retrying, "RETRY_SECONDS", (0.1, 0.1))
    with prefect_settings(prefect_server, folder):
        yield made


@pytest.fixture(params=["alarm", "thread"])
def interrupted(request):
    """Prefect ends a task by an alarm; by another thread where somebody else, as pytest, has the alarm."""
    handler, timer = signal.getsignal(signal.SIGALRM), signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL if request.param == "alarm" else lambda *_: None)
    yield
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, *timer)


def run(work, hours):
    """Do work as the only task of a flow with this time limit."""
    from prefect import flow

    @flow
    def night():
        return guarded(hours, name="work")(work)()

    return night()


def job(hours):
    return ray_job.run_as_job(Path("rivers.yaml"), Path("runs"), {}, False, hours)


def test_a_job_is_stopped_at_the_limit(cluster):
    """Ours comes before Prefect's, so that the message says what was stopped."""
    with pytest.raises(OutOfTimeError, match=f"{JOB}: took longer than its time limit, and was stopped"):
        run(lambda: job(0.5 / 3600), 0.5 / 3600)
    assert (cluster.submitted, cluster.state) == (1, "stopped")


def test_a_job_is_stopped_when_prefect_ends_the_task(cluster, interrupted, monkeypatch):
    from prefect.task_engine import TaskRunTimeoutError

    monkeypatch.setattr(retrying, "GRACE_SECONDS", 0.5)
    with pytest.raises(TaskRunTimeoutError):
        run(lambda: job(1.0), 0.0)
    assert (cluster.submitted, cluster.state) == (1, "stopped")
    assert cluster.calls.count("cancel") == 1


def test_a_job_of_a_cluster_that_is_away_is_attached_to(cluster):
    cluster.away.add("find")

    def work():
        if cluster.submitted:
            cluster.away.clear()
            cluster.state = "succeeded"
        return job(1.0)

    assert run(work, 1.0) == f"rivers: {JOB} succeeded"
    assert cluster.submitted == 2
    assert "cancel" not in cluster.calls


def test_a_job_that_could_not_be_stopped_is_stopped_by_the_next_attempt(cluster, interrupted, monkeypatch):
    from prefect.task_engine import TaskRunTimeoutError

    monkeypatch.setattr(retrying, "GRACE_SECONDS", 0.5)
    cluster.away.add("cancel")

    def work():
        if cluster.submitted:
            cluster.away.clear()
        return job(1.0)

    with pytest.raises(TaskRunTimeoutError):
        run(work, 0.0)
    assert (cluster.submitted, cluster.state) == (2, "stopped")


def test_what_takes_too_long_is_ended_once(cluster, interrupted, monkeypatch):
    from prefect.task_engine import TaskRunTimeoutError

    monkeypatch.setattr(retrying, "GRACE_SECONDS", 0.5)
    begun = []

    def work():
        begun.append(time.monotonic())
        try:
            raise ConnectionError("reset by peer")  # on the way, and got over
        except ConnectionError:
            while time.monotonic() < begun[0] + 30:
                time.sleep(0.05)

    with pytest.raises(TaskRunTimeoutError):
        run(work, 0.0)
    assert len(begun) == 1
    assert time.monotonic() - begun[0] < 20


@pytest.mark.parametrize(
    "error", [TimeoutError("the read operation timed out"), TimeoutError(110, "timed out")]
)
def test_a_networks_time_limit_is_tried_again(cluster, error):
    calls = []

    def work():
        calls.append(len(calls))
        if len(calls) == 1:
            raise error
        return "done"

    assert run(work, 1.0) == "done"
    assert calls == [0, 1]


def test_an_ingest_waits_for_another_one_no_longer_than_its_limit(cluster, write):
    """Somebody else holds the limit of the store all the time."""
    from prefect import flow
    from prefect.concurrency.sync import concurrency

    from thalweg.flows.services import updating

    spec = write({"store": "a.zarr", "source": {"kind": "thalweg.flows.twin:twin"}}, "rivers.yaml")

    @flow
    def night():
        return updating.ingest(spec, 1.0 / 3600)

    said = r"a\.zarr: another ingest of it did not end in 0\.000278 hours"
    with concurrency(updating.only_one("a.zarr"), occupy=1), pytest.raises(OutOfTimeError, match=said):
        night()
    assert not Path("a.zarr").exists()
