"""The nightly chain on data that advance: what it says of a model on new days, and when it trains anew."""

import json
import os
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import yaml

from thalweg.flows import nightly, nightly_spec
from thalweg.flows.cell import run_cell
from thalweg.flows.cell_spec import Cell
from thalweg.flows.experiment import load_experiment, override
from thalweg.storage import run_sharing
from thalweg.storage.errors import InputError, UnavailableError
from thalweg.storage.ingest.pipeline import Options, ingest_all
from thalweg.storage.results import Run, run_name
from thalweg.storage.splits import make_folds
from thalweg.storage.store import open_store

# A gauge network up to the day in a file; from another day on its discharge is what a shifted gauge tells.
SOURCE = """
import json
from pathlib import Path

from thalweg.flows.twin import twin


def read():
    now = json.loads(Path("now.json").read_text())
    whole = twin(sites=6, regions=2, years=6, seed=3)
    if "shifted" in now:
        moved = whole["discharge"] * 4.0
        kept = whole["discharge"].where(whole["time"] < pandas_day(now["shifted"]), moved)
        whole["discharge"] = kept.assign_attrs(whole["discharge"].attrs)
    return whole.sel(time=slice(None, now["until"]))


def pandas_day(text):
    import pandas as pd

    return pd.Timestamp(text)
"""
EXPERIMENT = {
    "name": "rivers",
    "data": {"store": "rivers.zarr", "source": {"kind": "advancing:read"}},
    "splits": [
        {"kind": "temporal", "train": ["2001-01-01", "2001-12-31"], "test": ["2002-01-01", "2003-06-30"]}
    ],
    "models": {"physics": {"kind": "calibrated", "process": "hbv"}},
    "training": {"epochs": 3, "window": 90, "warmup": 180, "learning_rate": 0.05},
}
CHAIN = {"nightly": {"experiment": "rivers.yaml", "model": "physics", "days": 60}}


@pytest.fixture
def advance(folder, monkeypatch):
    """Write the source and the files; gives a function that lets time go on and ingests."""
    monkeypatch.syspath_prepend(str(folder))
    (folder / "advancing.py").write_text(SOURCE)
    (folder / "rivers.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    (folder / "nightly.yaml").write_text(yaml.safe_dump(CHAIN))

    def until(day, **more):
        Path("now.json").write_text(json.dumps({"until": day, **more}))
        return ingest_all("rivers.zarr", {"kind": "advancing:read"}, Options(workers=1))

    yield until
    sys.modules.pop("advancing", None)


def train(root, changes=None):
    """Run the only cell of the experiment here, without a cluster."""
    experiment = override(load_experiment(Path("rivers.yaml")), changes or {})
    dataset = open_store("rivers.zarr")
    (fold,) = make_folds(dataset, experiment.splits[0].spec(), seed=0)
    place = root / experiment.name / run_name("physics", fold.split, fold.fold, 1)
    place.mkdir(parents=True)
    with run_sharing.worked_on(place):
        run_cell(Cell(experiment, "physics", fold, 1, str(dataset.attrs["snapshot"])), place)
    return Run(place)


def test_nights_that_go_on(advance, folder):
    advance("2003-06-30")
    root = folder / "runs"
    chain, _experiment = nightly_spec.read_chain(Path("nightly.yaml"))
    assert nightly.newest_run(root, chain, "rivers") is None
    run = train(root)
    weights = (run.path / "weights.pt").read_bytes()
    assert nightly.newest_run(root, chain, "rivers").id == run.id
    assert nightly.look(run, chain) is None  # no new day

    advance("2003-07-20")
    assert nightly.look(run, chain) is None  # too few

    advance("2003-09-30")
    quiet = nightly.look(run, chain)
    assert not quiet.drift
    assert (quiet.first, quiet.last, quiet.sites) == ("2003-08-02", "2003-09-30", 6)
    assert "does not drift" in quiet.text()
    assert quiet.nse > 0

    advance("2003-11-30", shifted="2003-10-01")
    loud = nightly.look(run, chain)
    assert loud.drift
    assert loud.ratio > 2 > loud.limit > 1
    assert loud.share == 1.0
    assert loud.nse < quiet.nse
    assert "DRIFTS" in loud.text()
    assert (run.path / "weights.pt").read_bytes() == weights
    assert open_store("rivers.zarr").attrs["snapshot"] == loud.snapshot != quiet.snapshot

    for found in (quiet, loud, loud):
        nightly.keep_look(folder / "runs" / "rivers", found)
    kept = nightly.read_record(folder / "runs" / "rivers")["looks"]
    assert [each["drift"] for each in kept] == [False, True]


def test_a_look_sees_what_the_test_would_have_seen(advance, folder):
    """The simulation of new days is that of a test which had reached so far: no state is lost at the join."""
    advance("2003-09-30")
    root = folder / "runs"
    short = train(root)
    longer = {"splits": [{**EXPERIMENT["splits"][0], "test": ["2002-01-01", "2003-09-30"]}]}
    whole = train(root, {"name": "longer", **longer}).predictions().load()
    from thalweg.flows.products.run_data import RunData

    recent = nightly._recent(RunData(short), open_store("rivers.zarr"), 60)
    same = whole.sel(site=recent["site"], time=recent["time"])
    np.testing.assert_allclose(recent["simulated"], same["simulated"], rtol=1e-5)
    np.testing.assert_array_equal(recent["observed"], same["observed"])


def test_trained_anew_once_a_week(advance, folder):
    advance("2003-06-30")
    root = folder / "runs"
    chain, experiment = nightly_spec.read_chain(Path("nightly.yaml"))
    place = root / "rivers"
    assert nightly.due(place, chain, experiment) is None  # the store has not gone on
    advance("2003-07-30")
    changes = nightly.due(place, chain, experiment)
    assert changes["name"] == "rivers-20030730"
    (split,) = changes["splits"]
    assert split["train"] == ["2001-01-01", "2002-01-30"]
    assert split["test"] == ["2002-01-31", "2003-07-30"]
    override(load_experiment(Path("rivers.yaml")), changes)  # and that is an experiment

    place.mkdir(parents=True)
    nightly.keep_retrained(place, changes["name"])
    advance("2003-08-10")
    assert nightly.due(place, chain, experiment) is None  # within the week
    later = datetime.now(UTC) + timedelta(days=8)
    assert nightly.due(place, chain, experiment, later)["name"] == "rivers-20030810"
    never = chain.model_copy(update={"retrain_days": 0})
    assert nightly.due(place, never, experiment, later) is None


def test_the_newest_run_is_the_one_retrained_last(advance, folder):
    advance("2003-07-30")
    root = folder / "runs"
    chain, experiment = nightly_spec.read_chain(Path("nightly.yaml"))
    train(root)
    train(root, nightly.due(root / "rivers", chain, experiment))
    assert nightly.newest_run(root, chain, "rivers").experiment == "rivers-20030730"
    assert nightly.retrained_on("rivers-20030730", "rivers") == date(2003, 7, 30)
    assert nightly.retrained_on("rivers-reproduced", "rivers") is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "phsics"}, "nightly.yaml:4: nightly.model: rivers.yaml has no 'phsics'"),
        ({"split": "temporl"}, "nightly.split: rivers.yaml has no 'temporl'"),
        ({"dayz": 3}, "nightly.dayz: unknown key; did you mean 'days'?"),
        ({"days": 3}, "nightly.days: Input should be greater than or equal to 10"),
        ({"experiment": "nothing.yaml"}, "nothing.yaml: no such file"),
    ],
)
def test_mistakes_are_named(advance, folder, changes, said):
    content = {"nightly": {**CHAIN["nightly"], **changes}}
    Path("nightly.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(InputError) as refused:
        nightly_spec.read_chain(Path("nightly.yaml"))
    assert said in str(refused.value)


@pytest.mark.slow
def test_nights_with_runs_in_an_object_store(advance, folder, place, become, prefect_server, monkeypatch):
    """The model is trained on another machine, and the next night is done by a third one."""
    from prefect import flow

    from thalweg.flows.prefect_settings import prefect_settings
    from thalweg.flows.services import chain, work

    monkeypatch.setenv("PREFECT_API_URL", prefect_server.url)
    monkeypatch.setattr(chain, "ingest", lambda spec, hours: "ingested")
    trained = []

    def elsewhere(path, runs, changes, force, hours):
        here = os.environ["THALWEG_SCRATCH"]
        become("cluster")
        trained.append(train(run_sharing.opened(place), changes).id)
        os.environ["THALWEG_SCRATCH"] = here
        return f"trained {trained[-1]}"

    monkeypatch.setattr(chain, "train", elsewhere)

    @flow
    def night():
        return work.nightly(Path("nightly.yaml"), run_sharing.opened(place), 1.0)

    advance("2003-06-30")
    with prefect_settings(prefect_server, folder):
        assert "too few new days" in night()
        advance("2003-09-30")
        become("three")
        said = night()
    assert "rivers/physics--temporal--0--s1 does not drift" in said
    assert trained == ["rivers/physics--temporal--0--s1", "rivers-20030930/physics--temporal--0--s1"]
    become("four")
    runs = run_sharing.opened(place)
    run_sharing.pull(runs)
    kept = nightly.read_record(runs / "rivers")
    assert [each["drift"] for each in kept["looks"]] == [False]
    assert kept["retrained"]["experiment"] == "rivers-20030930"


def test_a_night_outlives_what_is_out_of_reach_once(advance, folder, prefect_server, monkeypatch):
    """Whatever asks for the store or the runs is refused the first time; the night is as if it were not."""
    from prefect import flow

    from thalweg.flows.prefect_settings import prefect_settings
    from thalweg.flows.services import chain, retrying, work
    from thalweg.storage import store

    monkeypatch.setenv("PREFECT_API_URL", prefect_server.url)
    monkeypatch.setenv("PREFECT_LOCAL_STORAGE_PATH", str(folder / "results"))
    monkeypatch.setattr(retrying, "RETRY_SECONDS", (0.05,))
    monkeypatch.setattr(chain, "ingest", lambda spec, hours: "ingested")
    steps = ["pull", "read_chain", "_key", "look", "due", "push"]
    refused = []

    def away_once(module, name):
        whole = getattr(module, name)

        def asked(*given, **more):
            """Refuse each step once."""
            who = name if name in ("pull", "push") else sys._getframe(1).f_code.co_name
            if who in steps and who not in refused:
                refused.append(who)
                raise UnavailableError("s3://lab: did not answer")
            return whole(*given, **more)

        monkeypatch.setattr(module, name, asked)

    advance("2003-06-30")
    root = folder / "runs"
    train(root)
    advance("2003-09-30")
    trained = []
    monkeypatch.setattr(
        chain, "train", lambda path, runs, changes, force, hours: trained.append(changes["name"]) or "trained"
    )
    for module, name in ((run_sharing, "pull"), (run_sharing, "push"), (store, "open_store")):
        away_once(module, name)
    away_once(nightly_spec, "check")

    @flow
    def night():
        return work.nightly(Path("nightly.yaml"), root, 1.0)

    with prefect_settings(prefect_server, folder):
        said = night()
    assert "rivers/physics--temporal--0--s1 does not drift" in said
    assert trained == ["rivers-20030930"]
    assert refused == steps


@pytest.mark.slow
def test_the_chain_from_the_first_night_on(advance, folder, prefect_server, ray_cluster, monkeypatch):
    """Nothing is replaced: ingests, cells on Ray, looks, drift, and training anew when it is time."""
    from prefect import events, flow

    from thalweg.flows.prefect_settings import prefect_settings
    from thalweg.flows.services import chain, work

    monkeypatch.setenv("PREFECT_API_URL", prefect_server.url)
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    told, emit = [], events.emit_event

    def emitted(name, **given):
        if name == chain.DRIFT_EVENT:
            told.append(given["payload"])
        return emit(name, **given)

    monkeypatch.setattr(events, "emit_event", emitted)
    root = folder / "runs"

    @flow
    def scheduled():
        return work.nightly(Path("nightly.yaml"), root, 1.0)

    def night(until, **more):
        """Give what is said of each step after the ingest, when the source has days until then."""
        Path("now.json").write_text(json.dumps({"until": until, **more}))
        said = scheduled()
        assert f"rivers.zarr: 6 sites, 2000-01-01 to {until}" in said
        done = sorted(path.parent.parent.name for path in root.rglob("weights.pt"))
        return [line for line in said.splitlines() if line.startswith("rivers") and ".zarr" not in line], done

    with prefect_settings(prefect_server, folder):
        said, done = night("2003-06-30")
        assert said[0] == "rivers: 1 runs are done"
        assert said[1].endswith("too few new days to tell of drift")
        assert done == ["rivers"]

        (look, trained), done = night("2003-09-30")
        assert look.startswith(
            "rivers/physics--temporal--0--s1 does not drift: errors of 2003-08-02 to 2003-09"
        )
        assert trained == "rivers-20030930: 1 runs are done"
        assert done == ["rivers", "rivers-20030930"]
        assert told == []
        first = Run(root / "rivers" / "physics--temporal--0--s1")
        anew = Run(root / "rivers-20030930" / "physics--temporal--0--s1")
        assert str(first.predictions()["time"].values[-1])[:10] == "2003-06-30"
        assert str(anew.predictions()["time"].values[-1])[:10] == "2003-09-30"

        (look,), done = night("2003-11-30", shifted="2003-10-01")  # within the week: nothing is trained
        assert look.startswith("rivers-20030930/physics--temporal--0--s1 DRIFTS")
        assert done == ["rivers", "rivers-20030930"]
        assert told == [{"run": "rivers-20030930/physics--temporal--0--s1", "message": look}]

        record = nightly.read_record(root / "rivers")
        record["retrained"]["at"] = str(datetime.now(UTC) - timedelta(days=7, minutes=1))
        (root / "rivers" / nightly.RECORD).write_text(json.dumps(record))
        said, done = night("2003-12-01", shifted="2003-10-01")
        assert said[-1] == "rivers-20031201: 1 runs are done"
        assert done == ["rivers", "rivers-20030930", "rivers-20031201"]
    record = nightly.read_record(root / "rivers")
    assert [each["drift"] for each in record["looks"]] == [False, True, True]
    assert record["retrained"]["experiment"] == "rivers-20031201"
