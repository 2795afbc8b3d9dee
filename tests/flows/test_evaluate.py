"""`thalweg evaluate`: what it adds to runs, once, and what it says when it cannot."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from thalweg.evaluation.uncertainty.probabilistic import pool
from thalweg.flows.cell import Cell, run_cell
from thalweg.flows.cli import main
from thalweg.flows.evaluation import PRODUCTS, evaluate, undone
from thalweg.flows.experiment import Experiment
from thalweg.storage import looks
from thalweg.storage.errors import InputError
from thalweg.storage.evaluations import read_table
from thalweg.storage.results import Run, run_name
from thalweg.storage.splits import make_folds
from thalweg.storage.store import open_store

PERIODS = {"train": ["2001-01-01", "2001-12-31"], "test": ["2002-01-01", "2002-12-31"]}
SPLITS = [
    {"kind": "temporal", **PERIODS, "validate": ["2000-07-01", "2000-12-31"]},
    {"kind": "ungauged_regions", **PERIODS, "validate_share": 0.5},
]
MODELS = {
    "lstm": {"kind": "lstm", "hidden": 8, "head": {"kind": "gaussian"}},
    "plain": {"kind": "lstm", "hidden": 8},
    "climatology": {"kind": "climatology"},
}
OWN = {"deterministic", "probabilistic", "signatures", "strata", "conformal"}


@pytest.fixture(scope="module")
def made(twin_store, tmp_path_factory):
    """Runs of three models: two seeds in time, and one fold of regions."""
    root = tmp_path_factory.mktemp("evaluate") / "runs"
    experiment = Experiment.model_validate(
        {
            "name": "small",
            "data": {"store": str(twin_store)},
            "splits": SPLITS,
            "models": MODELS,
            "training": {
                "epochs": 1,
                "window": 90,
                "warmup": 90,
                "batch_sites": 4,
                "learning_rate": 0.02,
                "seeds": [1, 2],
            },
        }
    )
    dataset = open_store(twin_store)
    folds = [make_folds(dataset, split.spec(), seed=0)[0] for split in experiment.splits]
    cells = [(model, 0, seed) for model in MODELS for seed in experiment.seeds_for(model)] + [("plain", 1, 1)]
    for model, place, seed in cells:
        fold = folds[place]
        folder = root / "small" / run_name(model, fold.split, fold.fold, seed)
        run_cell(Cell(experiment, model, fold, seed), folder)
    return root


@pytest.fixture
def runs(made, tmp_path):
    """A copy of the runs, to be changed."""
    shutil.copytree(made, tmp_path / "runs")
    return tmp_path / "runs"


def of(found, name):
    return next(each for each in found if each.run.path.name.startswith(name))


def command(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *map(str, arguments)])
    said = capsys.readouterr()
    return ended.value.code, said.out, said.err


def test_every_run_gets_its_tables(runs):
    found = evaluate(runs, ["small"], only=sorted(OWN))
    assert all(not each.failed for each in found)
    lstm, climatology = of(found, "lstm--"), of(found, "climatology")
    tables = {name: read_table(lstm.run.path, name) for name in ("skill", "probabilistic", "pit", "strata")}
    pd.testing.assert_series_equal(tables["skill"]["nse"], lstm.run.metrics()["nse"])
    assert {"crps", "log_score", "coverage_90", "spread_skill"} <= set(tables["probabilistic"])
    assert tables["pit"].groupby("site")["pit"].sum().to_numpy() == pytest.approx(1.0)
    assert {"season", "flow", "region", "slope"} <= set(tables["strata"]["by"])
    assert set(tables["strata"].query("by == 'season'")["days"]) == {"DJF", "MAM", "JJA", "SON"}
    compared = read_table(lstm.run.path, "signatures")
    assert set(compared["series"]) == {"observed", "simulated"}
    assert compared.query("series == 'observed'")["runoff_ratio"].between(0.0, 1.5).all()
    assert "baseflow_index" in set(read_table(lstm.run.path, "signature_skill")["signature"])
    for name in ("probabilistic", "conformal", "intervals"):
        assert read_table(climatology.run.path, name) is None
    assert len(read_table(climatology.run.path, "skill")) == 8


def test_it_is_done_once(runs):
    first = evaluate(runs, ["small/lstm--temporal--0--s1"], only=sorted(OWN))[0]
    assert set(first.made) == OWN
    path = first.run.path / "evaluation" / "skill.parquet"
    written = path.stat().st_mtime_ns
    again = evaluate(runs, ["small/lstm--temporal--0--s1"], only=sorted(OWN))[0]
    assert (set(again.kept), again.made, path.stat().st_mtime_ns) == (OWN, [], written)
    path.unlink()
    level = {"models.lstm.conformal.level": 0.5}
    changed = evaluate(runs, ["small/lstm--temporal--0--s1"], level, only=sorted(OWN))[0]
    assert set(changed.made) == {"deterministic", "conformal"}
    assert set(read_table(first.run.path, "conformal")["level"]) == {0.5}
    forced = evaluate(runs, ["small/lstm--temporal--0--s1"], only=sorted(OWN), force=True)[0]
    assert set(forced.made) == OWN


def test_seeds_are_pooled_to_a_run_of_their_own(runs):
    found = evaluate(runs, ["small"], only=["probabilistic"])
    ensemble = of(found, "lstm+ensemble").run
    assert (ensemble.kind, ensemble.state) == ("ensemble", "done")
    assert ensemble.manifest["members"] == ["lstm--temporal--0--s1", "lstm--temporal--0--s2"]
    members = [Run(ensemble.path.parent / name) for name in ensemble.manifest["members"]]
    mean = sum(run.predictions()["simulated"].load() for run in members) / 2
    np.testing.assert_allclose(ensemble.predictions()["simulated"], mean, rtol=1e-6)
    exact = pool([run.forecast().load() for run in members])
    kept = ensemble.forecast().transpose(*exact["location"].dims)
    np.testing.assert_allclose(kept["location"], exact["location"], rtol=1e-6)
    # squared errors are convex: at every site the mean is as good as the mean of scores, or better
    scores = np.mean([run.metrics()["nse"] for run in members], axis=0)
    assert (ensemble.metrics()["nse"].to_numpy() >= scores - 1e-9).all()
    crps = [read_table(run.path, "probabilistic")["crps"].to_numpy() for run in members]
    assert (read_table(ensemble.path, "probabilistic")["crps"] <= np.mean(crps, axis=0) + 1e-6).all()

    plain = of(found, "plain+ensemble").run  # without a distribution each seed is a member
    assert plain.forecast()["members"].sizes["member"] == 2
    again = evaluate(runs, ["small"], only=["probabilistic"])
    assert len(again) == len(found)
    assert all(each.kept == ["probabilistic"] for each in again)


def test_a_member_made_anew_makes_the_ensemble_anew(runs):
    evaluate(runs, ["small"], only=["deterministic"])
    member = runs / "small" / "lstm--temporal--0--s2"
    status = json.loads((member / "status.json").read_text())
    (member / "status.json").write_text(json.dumps({**status, "updated": "2030-01-01T00:00:00+00:00"}))
    found = evaluate(runs, ["small"], only=["deterministic"])
    assert of(found, "lstm+ensemble").made == ["deterministic"]
    assert of(found, "plain+ensemble").kept == ["deterministic"]


def test_an_ensemble_counts_as_a_model_that_was_scored(runs):
    tests = looks.tests_of([Run(runs / "small" / "lstm--temporal--0--s1")])
    before = looks.count(runs, tests)
    evaluate(runs, ["small"], only=["deterministic"])
    after = looks.count(runs, tests)
    assert (before.models, after.models) == (2, 4)
    evaluate(runs, ["small"], only=["deterministic"])
    assert looks.count(runs, tests).models == 4


def test_ensembles_of_all_folds_count_as_one_model(runs):
    tests = looks.tests_of([Run(runs / "small" / "lstm--temporal--0--s1")])
    for seed in (1, 2):
        other = runs / "small" / f"lstm--temporal--1--s{seed}"
        shutil.copytree(runs / "small" / f"lstm--temporal--0--s{seed}", other)
        manifest = json.loads((other / "manifest.json").read_text())
        (other / "manifest.json").write_text(json.dumps({**manifest, "fold": "1"}))
    found = evaluate(runs, ["small"], only=["deterministic"])
    pooled = [each.run for each in found if each.run.model == "lstm+ensemble"]
    assert [run.fold for run in pooled] == ["0", "1"]
    assert looks.count(runs, tests).models == 4


def test_runs_of_different_data_are_not_pooled(runs):
    path = runs / "small" / "lstm--temporal--0--s2" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "snapshot": "other"}))
    with pytest.raises(InputError, match=r"s1 and small/lstm--temporal--0--s2 differ in snapshot"):
        evaluate(runs, ["small"])


def test_intervals_hold_in_time_and_say_that_few_sites_promise_nothing(runs):
    found = evaluate(runs, ["small"], only=["conformal"])
    table = read_table(of(found, "lstm--").run.path, "conformal")
    gauge = table[table["by"] == "gauge"].set_index("interval")
    assert list(gauge["group"]) == ["gauged", "gauged"]
    assert (gauge.loc["conformal", "method"], gauge.loc["conformal", "pooling"]) == ("cqr", "days")
    assert gauge.loc["conformal", "coverage"] == pytest.approx(0.9, abs=0.08)
    assert set(table.query("by == 'region'")["group"]) == {"A", "B"}
    interval = read_table(of(found, "lstm--").run.path, "intervals")
    assert interval.sizes == {"site": 8, "time": 365}
    assert (interval["lower"] >= 0.0).all()
    assert (interval["upper"] >= interval["lower"]).all()

    split = read_table(of(found, "plain--temporal").run.path, "conformal").iloc[0]
    assert (split["method"], split["group"]) == ("split", "gauged")
    unknown = of(found, "plain--ungauged_regions")
    row = read_table(unknown.run.path, "conformal").iloc[0]
    assert (row["pooling"], row["group"], row["coverage"]) == ("new_site", "ungauged", 1.0)
    assert np.isinf(row["width"])
    days = {"models.plain.conformal.pooling": "days"}
    (again,) = evaluate(runs, [unknown.run.id], days, only=["conformal"])
    assert np.isfinite(read_table(again.run.path, "conformal").iloc[0]["width"])
    each = {"models.plain.conformal.pooling": "each_site"}
    (refused,) = evaluate(runs, [unknown.run.id], each, only=["conformal"])
    assert "each_site needs the tested sites in the validation part" in refused.failed["conformal"]


def test_what_fails_stops_nothing_else(runs, capsys):
    path = runs / "small" / "plain--temporal--0--s1" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["config"]["data"]["store"] = str(runs / "gone.zarr")
    path.write_text(json.dumps(manifest))
    given = [option for name in ("deterministic", "signatures") for option in ("--only", name)]
    code, _, errors = command(capsys, "small/plain--temporal--0--s1", *given, "--runs", runs)
    assert code == 1
    assert "small/plain--temporal--0--s1: signatures:" in errors
    assert "gone.zarr" in errors
    assert len(read_table(path.parent, "skill")) == 8


def test_the_command_shows_scores_and_counts_the_look(runs, capsys):
    tests = looks.tests_of([Run(runs / "small" / "lstm--temporal--0--s1")])
    given = ["small", "--runs", runs, *(option for name in sorted(OWN) for option in ("--only", name))]
    code, out, _ = command(capsys, *given, "--blind")
    assert code == 0
    assert "nse" not in out
    assert looks.count(runs, tests).shown == 0
    code, out, _ = command(capsys, *given)
    assert code == 0
    assert "lstm+ensemble" in out
    assert "conformal (cqr, days)" in out
    assert "too few to promise anything at a new one" in out
    assert looks.count(runs, tests).shown == 1
    code, out, _ = command(capsys, *given, "--json")
    content = json.loads(out)
    assert {row["model"] for row in content["models"]} >= {"lstm", "lstm+ensemble", "climatology"}
    assert looks.count(runs, tests).shown == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["smal1"], "no run 'smal1'"),
        (["small", "--only", "strats"], "--only strats: unknown; did you mean 'strata'?"),
        (["small/climatology", "--set", "models.lstm.conformal.levle=0.5"], "did you mean 'level'?"),
    ],
)
def test_wrong_names_are_one_clear_line(runs, capsys, arguments, message):
    code, _, errors = command(capsys, *arguments, "--runs", runs)
    assert code == 2
    assert message in errors
    assert "Traceback" not in errors


def test_nothing_done_is_said(runs, capsys):
    for path in (runs / "small").glob("*/status.json"):
        path.write_text('{"state": "failed"}')
    code, _, errors = command(capsys, "small", "--runs", runs)
    assert (code, "no run of small is done (failed)" in errors) == (2, True)


def test_runs_that_are_not_done_are_named(runs):
    (runs / "small" / "plain--temporal--0--s2" / "status.json").write_text('{"state": "failed"}')
    assert undone(runs, ["small"]) == ["small/plain--temporal--0--s2"]


def test_an_ensemble_is_not_reproduced(runs):
    from thalweg.flows.reproduction import reproduce

    evaluate(runs, ["small"], only=["deterministic"])
    with pytest.raises(InputError, match="is pooled from lstm--temporal--0--s1, lstm--temporal--0--s2"):
        reproduce(runs, "small/lstm+ensemble")


def test_products_are_named_once():
    names = [name for name, _ in PRODUCTS]
    assert len(set(names)) == len(names)
    assert set(names) >= OWN


def test_floods_are_scored_as_events_and_their_probabilities_calibrated(runs):
    found = evaluate(runs, ["small"], only=["events"])
    lstm, climatology = of(found, "lstm--"), of(found, "climatology")
    scores = read_table(lstm.run.path, "events")
    assert (scores["hits"] + scores["misses"]).between(15, 20).all(), "a twentieth of the days of a year"
    assert scores[["auroc", "auprc", "brier"]].apply(lambda column: column.between(0, 1)).all(axis=None)
    reliability = read_table(lstm.run.path, "event_reliability").set_index("whose")
    assert set(reliability.index) == {"model", "calibrated"}
    assert (reliability.groupby("whose")["days"].sum() == 8 * 365).all()
    # an epoch of training knows little; calibrated on another half year it is nearer to the truth
    error = reliability.groupby("whose")["calibration_error"].first()
    assert error["calibrated"] < error["model"]
    assert {"threshold", "pod", "csi"} <= set(read_table(climatology.run.path, "events"))
    assert read_table(climatology.run.path, "event_reliability") is None


def test_classes_of_attributes_are_the_same_in_all_folds(runs):
    found = evaluate(runs, ["small"], only=["strata"])
    in_time, fold = (
        read_table(of(found, name).run.path, "strata").query("by == 'slope'")
        for name in ("plain--temporal", "plain--ungauged_regions")
    )
    assert in_time["sites"].max() == 3
    assert fold["sites"].max() < 3
    assert set(fold["sites_of"]) <= set(in_time["sites_of"])
