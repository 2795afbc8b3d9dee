"""An ingest as a Prefect flow: a task for each partition, retries, and the quality report beside the run."""

import json
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from thalweg.flows import ingest_flow
from thalweg.flows.ingest_flow import run_as_flow
from thalweg.flows.prefect_settings import HOME
from thalweg.flows.server import ServerError
from thalweg.storage.errors import InputError
from thalweg.storage.ingest.pipeline import Options, ingest_all
from thalweg.storage.store import has_store, open_store, quality_report

SITES = [f"s{number:03d}" for number in range(70)]  # two partitions

# Fails at its first read of more than one site, with the error that its file names.
FRAGILE = """
from pathlib import Path

from ingest_fakes import Computed
from thalweg.storage.errors import InputError

ERRORS = {"connection": ConnectionError("reset by peer"), "input": InputError("line 3 is cut off")}


class Fragile(Computed):
    def __init__(self, path, error):
        super().__init__(path)
        self.error = error

    def read(self, sites, first, last):
        mark = self.path.with_name("failed")
        if sites[0] == "s000" and len(sites) > 1 and not mark.exists():
            mark.touch()
            raise ERRORS[self.error]
        return super().read(sites, first, last)
"""


@pytest.fixture
def source(folder, monkeypatch):
    """Make the spec of a computed source; one with an error fails with it, once."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "storage"))
    monkeypatch.syspath_prepend(str(folder))
    (folder / "fragile.py").write_text(FRAGILE)

    def make(error=None, **more):
        content = {"sites": SITES, "first": "2000-01-01", "last": "2001-12-31", **more}
        Path("content.json").write_text(json.dumps(content))
        if error:
            return {"kind": "fragile:Fragile", "path": "content.json", "error": error}
        return {"kind": "ingest_fakes:Computed", "path": "content.json"}

    return make


@pytest.fixture
def asked(prefect_server, monkeypatch, folder):
    """Ingest on the server of the tests, and ask it what it knows of the flow run of a store."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_server.url)
    monkeypatch.setattr(ingest_flow, "FIRST_PAUSE", 0.05)
    started = datetime.now(UTC).isoformat()  # the server remembers the tests of other days

    def ask(what, store):
        found = {"name": {"any_": [store]}, "start_time": {"after_": started}}
        runs = httpx.post(f"{prefect_server.url}/flow_runs/filter", json={"flow_runs": found}).json()
        if what == "flow_runs":
            return runs
        these = {"any_": [run["id"] for run in runs]}
        body = {"flow_runs": {"id": these}}
        return httpx.post(f"{prefect_server.url}/{what}/filter", json=body).json()

    return ask


def tasks():
    """Give what Prefect's log says of tasks."""
    lines = (HOME / "flow.log").read_text().splitlines()
    return [line.partition("prefect.task_runs ")[2] for line in lines if "prefect.task_runs" in line]


def ingest(store, spec):
    return ingest_all(store, spec, Options(retries=2), run=run_as_flow)


def test_a_task_for_each_partition(source, asked):
    result = ingest("whole.zarr", source())
    (run,) = asked("flow_runs", "whole.zarr")
    assert run["state_type"] == "COMPLETED"
    assert run["parameters"]["plan"].startswith("whole.zarr: 2 partitions (70 new sites)")
    assert len(result.plan.partitions) == 2
    assert tasks() == ["Finished in state Completed()"] * 3  # and the one that publishes


def test_the_quality_report_is_kept_with_the_run(source, asked, monkeypatch):
    monkeypatch.setattr(ingest_flow, "ROWS_SHOWN", 2)
    result = ingest("checked.zarr", source(revised={"s001": -9.0, "s064": -9.0}, ends={"s003": "1999-01-01"}))
    report = quality_report("checked.zarr")
    assert result.quarantined == 2
    (artifact,) = asked("artifacts", "checked.zarr")
    assert (artifact["type"], artifact["key"]) == ("table", "quality-checked-zarr")
    assert artifact["description"] == (
        f"Quality of checked.zarr, snapshot {result.snapshot[:12]}: {len(report)} findings, "
        "2 sites in quarantine"
    )
    rows = json.loads(artifact["data"])
    assert len(rows) == 2 < len(report)
    for row, (_, found) in zip(rows, report.iterrows(), strict=False):
        assert row == {**found, "first_day": str(found["first_day"])[:10].replace("NaT", "")}


def test_what_may_pass_is_tried_again(source, asked):
    ingest("again.zarr", source(error="connection"))
    (failed, *others) = tasks()
    assert failed.startswith("Task run failed with exception: ConnectionError('reset by peer') - Retry 1/2")
    assert others == ["Finished in state Completed()"] * 3
    assert open_store("again.zarr").sizes["site"] == 70


def test_what_a_person_must_put_right_is_not(source, asked):
    with pytest.raises(InputError, match="line 3 is cut off"):
        ingest("wrong.zarr", source(error="input"))
    (run,) = asked("flow_runs", "wrong.zarr")
    assert run["state_type"] == "FAILED"
    assert not any("Retry" in line for line in tasks())
    assert not has_store("wrong.zarr")


@pytest.mark.parametrize("error", [None, "connection"])
def test_without_a_server_the_data_are_there_all_the_same(source, folder, monkeypatch, capsys, error):
    def ended(self):
        raise ServerError("the Prefect server ended with code 1")

    monkeypatch.setattr("thalweg.flows.server.Server.wait", ended)
    result = ingest("alone.zarr", source(error=error))
    assert open_store("alone.zarr").attrs["snapshot"] == result.snapshot
    assert "ended with code 1; going on without Prefect" in capsys.readouterr().err


def test_a_configured_server_that_does_not_answer_is_an_error(source, folder, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setattr("thalweg.flows.server.WAIT_SECONDS", 0.2)
    with pytest.raises(ServerError, match="from PREFECT_API_URL"):
        ingest("none.zarr", source())
