"""`thalweg run` as a Prefect flow, and the commands that look at what it left."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from thalweg.flows import commands
from thalweg.flows.cli import parser
from thalweg.flows.run import Session, run_experiment
from thalweg.storage.errors import InputError
from thalweg.storage.results import find_runs

SMALL = {"epochs": 1, "steps_per_epoch": 1, "window": 90, "warmup": 90, "batch_sites": 4}


@pytest.fixture(scope="module")
def results(tmp_path_factory, twin_store, ray_cluster, prefect_server):
    """A working directory in which an experiment was run."""
    place = tmp_path_factory.mktemp("results")
    started = datetime.now(UTC).isoformat()
    content = {
        "name": "small",
        "data": {
            "store": "data/new.zarr",
            "source": {"kind": "thalweg.flows.twin:twin", "sites": 6, "regions": 2, "years": 2},
        },
        "splits": [
            {"kind": "temporal", "train": ["2000-01-01", "2000-12-31"], "test": ["2001-01-01", "2001-12-30"]},
        ],
        "models": {
            "hybrid": {"kind": "hybrid", "components": 1, "network": {"kind": "mlp", "hidden": [4]}},
            "climatology": {"kind": "climatology"},
            "persistence": {"kind": "persistence"},
        },
        "training": SMALL,
    }
    (place / "small.yaml").write_text(yaml.safe_dump(content))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("PREFECT_API_URL", prefect_server.url)
        session = run_experiment(Session(Path("small.yaml"), Path("runs")))
    return place, session, started, datetime.now(UTC).isoformat()


@pytest.fixture
def in_results(results, monkeypatch):
    monkeypatch.chdir(results[0])
    return results[1]


def command(*arguments):
    options = parser().parse_args(arguments)
    return commands.COMMANDS[options.command](options)


def output(capsys, *arguments):
    assert command(*arguments) == 0
    return capsys.readouterr().out


def test_the_store_was_made_and_all_cells_are_done(in_results):
    assert [job.state for job in in_results.jobs] == ["done"] * 3
    assert Path("data/new.zarr").is_dir()
    table = in_results.table.set_index("model")
    assert table.loc["persistence", "sites"] == 6
    assert table.loc["hybrid", "runs"] == table.loc["hybrid", "runs_expected"] == 1
    assert {run.id for run in find_runs("runs")} == {
        "small/climatology--temporal--0--s0",
        "small/hybrid--temporal--0--s1",
        "small/persistence--temporal--0--s0",
    }


def test_prefect_knows_the_flow(results, prefect_server):
    import httpx

    created = {"start_time": {"after_": results[2], "before_": results[3]}}
    flows = httpx.post(f"{prefect_server.url}/flow_runs/filter", json={"flow_runs": created}).json()
    assert [(flow["name"], flow["state_type"]) for flow in flows] == [("small", "COMPLETED")]
    run = {"artifacts": {"flow_run_id": {"any_": [flows[0]["id"]]}}}
    artifacts = httpx.post(f"{prefect_server.url}/artifacts/filter", json=run).json()
    assert [item["key"] for item in artifacts] == ["skill-small"]
    assert {row["model"] for row in json.loads(artifacts[0]["data"])} == {
        "hybrid",
        "climatology",
        "persistence",
    }


def test_the_log_is_in_a_file(results):
    text = (results[0] / ".thalweg" / "prefect" / "flow.log").read_text()
    assert "Beginning flow run 'small'" in text


def test_running_again_does_nothing(in_results, capsys):
    assert command("run", "small.yaml", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [cell["kept"] for cell in found["cells"]] == [True] * 3
    assert {row["model"] for row in found["skill"]} == {"hybrid", "climatology", "persistence"}
    text = output(capsys, "run", "small.yaml")
    assert "0 of 3 cells run, 3 done before; results in runs/small" in text
    assert "persistence" in text


def test_another_configuration_under_the_same_name(in_results):
    with pytest.raises(InputError, match=r"another configuration \(differs in training.epochs\): .*--force"):
        command("run", "small.yaml", "--set", "training.epochs=2")


def test_runs(in_results, capsys):
    rows = json.loads(output(capsys, "runs", "small", "--json"))
    assert {row["state"] for row in rows} == {"done"}
    assert [row["kind"] for row in rows] == ["floor", "hybrid", "floor"]
    assert "small/hybrid--temporal--0--s1" in output(capsys, "runs")
    with pytest.raises(InputError, match="did you mean 'small'"):
        command("runs", "smal")
    assert "no runs in nothing" in output(capsys, "runs", "--runs", "nothing")


def test_show(in_results, capsys):
    text = output(capsys, "show", "hybrid")
    for part in (
        "small/hybrid--temporal--0--s1  done",
        "kind hybrid",
        "6 sites, 2001-01-01 to 2001-12-30",
        "nse",
    ):
        assert part in text
    assert "baseflow index over sites: correlation" in text
    found = json.loads(output(capsys, "show", "small/hybrid", "--json"))
    assert found["status"]["state"] == "done"
    assert found["skill"]["nse"]["median"] <= 1
    with pytest.raises(InputError, match="no run 'nothing'"):
        command("show", "nothing")


def test_compare(in_results, capsys):
    text = output(capsys, "compare", "small")
    assert "climatology" in text
    assert "persistence" in text
    found = json.loads(output(capsys, "compare", "hybrid", "persistence", "--metric", "kge_2012", "--json"))
    assert found["pairs"][0]["difference"]["sites"] == 6
    assert found["pairs"][0]["metric"] == "kge_2012"
    with pytest.raises(InputError, match="did you mean 'nse'"):
        command("compare", "small", "--metric", "nsee")
    with pytest.raises(InputError, match="name another run"):
        command("compare", "hybrid")


def test_failed_cells_are_reported(content, write, folder, ray_cluster, prefect_server, monkeypatch, capsys):
    monkeypatch.setenv("PREFECT_API_URL", prefect_server.url)
    shutil.copy(Path(__file__).with_name("cell_fakes.py"), folder)
    content["splits"] = content["splits"][:1]
    content["resources"] = {"retries": 0}
    session = run_experiment(Session(write(content), Path("runs"), runner="cell_fakes:never_good"))
    assert [job.cell.model for job in session.failed] == ["hybrid"]
    from thalweg.flows import outcome_view

    outcome_view.show(session)
    shown = capsys.readouterr()
    assert "2 of 3 cells run" in shown.out
    assert "failed: hybrid--temporal--0--s1: RuntimeError: it broke" in shown.err
    assert "RuntimeError: it broke" in output(capsys, "show", "hybrid")


def test_interrupted_in_the_terminal_and_resumed(
    content, write, folder, prefect_server, ray_cluster, monkeypatch
):
    content["models"] = {"lstm": {"kind": "lstm", "hidden": 4}}
    content["splits"] = content["splits"][:1]
    content["training"] |= {"epochs": 150, "steps_per_epoch": 4}
    write(content)
    import ray

    cluster = ray.get_runtime_context().gcs_address  # a cluster that is there is used
    environment = {**os.environ, "PREFECT_API_URL": prefect_server.url, "RAY_ADDRESS": cluster}
    start = [sys.executable, "-m", "thalweg.flows.cli", "run", "experiment.yaml"]
    process = subprocess.Popen(start, env=environment, stderr=subprocess.PIPE, text=True)
    status = folder / "runs" / "small" / "lstm--temporal--0--s1" / "status.json"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if status.exists() and (json.loads(status.read_text()).get("epoch") or 0) >= 2:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert "thalweg: interrupted" in said
    assert "Traceback" not in said
    assert json.loads(status.read_text())["state"] == "stopped"
    before = (status.parent / "history.csv").read_text().splitlines()
    assert 3 <= len(before) < 151
    monkeypatch.setenv("PREFECT_API_URL", prefect_server.url)
    session = run_experiment(Session(Path("experiment.yaml"), Path("runs")))
    assert [job.state for job in session.jobs] == ["done"]
    assert json.loads(status.read_text())["state"] == "done"
    after = (status.parent / "history.csv").read_text().splitlines()
    assert after[: len(before) - 1] == before[:-1]  # the epochs before were not trained again
    assert len(after) == 151
