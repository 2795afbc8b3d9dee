"""An experiment that ingests in a Ray job: what is tried again when it fails there, and what is not."""

import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from copied_files import cut_until_it_failed, write_rivers

from thalweg.flows import submitted
from thalweg.flows.job_details import LATER
from thalweg.flows.packing import ORDER
from thalweg.flows.prefect_settings import prefect_settings
from thalweg.flows.services import ray_job, retrying
from thalweg.storage.errors import InputError, UnavailableError
from thalweg.storage.results import find_runs

HERE = Path(__file__).parent
sys.path.append(str(HERE))
from cluster_host import Host  # noqa: E402

JOB = "rivers-0123456789-1"
AWAY = "s3://lab: does not answer"


@pytest.fixture
def rivers(write, folder):
    """An experiment on two rivers; gives its file and the table of one of them, which is whole."""
    tables = write_rivers(folder)
    sites = [each.stem for each in tables]
    year = int(tables[-1].read_text().splitlines()[1][:4]) + 1
    experiment = {
        "name": "rivers",
        "data": {"store": "a.zarr", "source": {"kind": "caravan", "path": "sample", "sites": sites}},
        "splits": [
            {
                "kind": "temporal",
                "train": [f"{year}-01-01", f"{year}-12-31"],
                "test": [f"{year + 1}-01-01", f"{year + 1}-12-31"],
            }
        ],
        "models": {"climatology": {"kind": "climatology"}},
    }
    return write(experiment, "rivers.yaml"), tables[0]


def told(capsys):
    """Do a job's order as the cluster would, but for Ray, and give its exit code and what it said."""
    order = {"command": "run", "experiment": "rivers.yaml", "directory": str(Path.cwd()), "runs": "runs"}
    Path(ORDER).write_text(json.dumps({**order, "changes": {}, "options": []}))
    with pytest.raises(SystemExit) as ended:
        submitted.main()
    return ended.value.code, capsys.readouterr().err


def test_the_exit_code_of_a_job_says_what_may_pass(rivers, monkeypatch, capsys):
    spec, file = rivers
    monkeypatch.setenv("THALWEG_JOB", JOB)
    monkeypatch.setattr("thalweg.flows.run.cluster", nullcontext)
    whole = file.read_bytes()
    file.write_bytes(whole[:-7])
    code, said = told(capsys)
    assert code == LATER
    assert f"{file.name}: the last line has no end, so the file is cut off" in said

    def away(experiment):
        raise UnavailableError(AWAY)

    file.write_bytes(whole)
    with monkeypatch.context() as patch:
        patch.setattr("thalweg.flows.ingestion.make_store", away)
        assert told(capsys) == (LATER, f"rivers: no store yet; starting\n{AWAY}\n")
    file.write_bytes(whole.replace(b"date", b"day", 1))
    code, said = told(capsys)
    assert code == 2, said
    spec.write_text(spec.read_text().replace("models", "model"))
    code, said = told(capsys)
    assert code == 2
    assert "did you mean 'models'" in said


@pytest.mark.parametrize(
    ("code", "error", "again"),
    [
        (LATER, UnavailableError, True),
        (None, retrying.JobLostError, True),
        (2, InputError, False),
        (1, retrying.WorkFailedError, False),
    ],
)
def test_what_a_code_means_to_who_submitted_it(code, error, again, monkeypatch):
    job = SimpleNamespace(state="failed", ended=True, code=code, message="killed", experiment="rivers")
    jobs = SimpleNamespace(find=lambda identity: job, logs=lambda identity: "starting\na.csv: is cut off\n")
    monkeypatch.setattr(ray_job, "Jobs", lambda: jobs)
    monkeypatch.setattr("thalweg.flows.submission.submit", lambda *_, **__: SimpleNamespace(id=JOB))
    with pytest.raises(error, match=JOB) as raised:
        ray_job.run_as_job(Path("rivers.yaml"), Path("runs"), {}, False, 1.0)
    assert retrying.passes(None, None, SimpleNamespace(data=raised.value)) is again
    if code in (LATER, 2):
        assert str(raised.value) == f"{JOB}: a.csv: is cut off"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_job_whose_files_were_being_copied_is_submitted_again(
    rivers, folder, prefect_server, monkeypatch, tmp_path_factory
):
    """On a real cluster: the first job finds a file that is cut off, the next one the whole."""
    from prefect import flow

    spec, file = rivers
    failed = cut_until_it_failed(file, monkeypatch)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    # one node: two on one machine would unpack the job's code into one folder, one over the other
    head = {"num_cpus": 2, "include_dashboard": True, "dashboard_port": 0}
    with Host(tmp_path_factory.mktemp("jobs") / "log", **head) as host:
        monkeypatch.setenv("RAY_API_SERVER_ADDRESS", host.url)
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
        monkeypatch.setenv("RAY_AUTH_TOKEN", host.environment["RAY_AUTH_TOKEN"])
        monkeypatch.setenv("PREFECT_API_URL", prefect_server.url)

        @flow
        def night():
            work = retrying.guarded(0.1, name="run rivers")(ray_job.run_as_job)
            return work(spec, folder / "runs", {}, False, 0.1)

        with prefect_settings(prefect_server, folder):
            assert night().endswith("-2 succeeded")
    (first,) = failed
    assert f"{file.name}: the last line has no end" in first
    assert [run.state for run in find_runs("runs")] == ["done"]
