"""What `thalweg evaluate` tells of a model's inside."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from thalweg.evaluation.interpretation.identifiability import identifiability
from thalweg.flows.cell import Cell, run_cell
from thalweg.flows.evaluation import evaluate
from thalweg.flows.experiment import Experiment
from thalweg.flows.products import explanation
from thalweg.storage.evaluations import read_table
from thalweg.storage.results import run_name
from thalweg.storage.splits import make_folds
from thalweg.storage.store import ingest, open_store

MODELS = {
    "hybrid": {
        "kind": "hybrid",
        "process": "exp_hydro",
        "components": 2,
        "network": {"kind": "mlp", "hidden": [4]},
    },
    "varying": {
        "kind": "hybrid",
        "process": "exp_hydro",
        "components": 1,
        "network": {"kind": "lstm", "hidden": 4, "static_hidden": [4]},
        "varying": ["capacity"],
        "head": {"kind": "gaussian"},
    },
    "physics": {"kind": "calibrated", "process": "hbv"},
    "lstm": {"kind": "lstm", "hidden": 4},
    "climatology": {"kind": "climatology"},
}


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """Runs of all kinds of models on twelve sites of a twin, evaluated: folders by model."""
    folder = tmp_path_factory.mktemp("interpretation")
    store = folder / "twin.zarr"
    ingest(store, {"kind": "thalweg.flows.twin:twin", "sites": 12, "regions": 2, "years": 6, "seed": 3})
    experiment = Experiment.model_validate(
        {
            "name": "inside",
            "data": {"store": str(store)},
            "splits": [
                {
                    "kind": "temporal",
                    "train": ["2001-01-01", "2001-12-31"],
                    "test": ["2002-09-01", "2005-11-30"],
                }
            ],
            "models": MODELS,
            "training": {"epochs": 1, "window": 90, "warmup": 90, "batch_sites": 12, "seeds": [1, 2]},
        }
    )
    (fold,) = make_folds(open_store(store), experiment.splits[0].spec(), seed=0)
    root = folder / "runs"
    runs = []
    for model, seed in [*((model, 1) for model in MODELS), ("hybrid", 2)]:
        seed = 0 if model == "climatology" else seed
        runs.append(run_name(model, fold.split, 0, seed))
        run_cell(Cell(experiment, model, fold, seed), root / "inside" / runs[-1])
    found = evaluate(root, ["inside"], only=["parameters", "physics", "network_share"])
    with pytest.MonkeyPatch.context() as patch:
        for name, few in {"WARMUP": 30, "DAYS": 60, "LENGTH": 60, "LAG_SITES": 4}.items():
            patch.setattr(explanation, name, few)
        explained = [
            f"inside/{name}" for name in runs if not name.startswith("hybrid") or name.endswith("s1")
        ]
        found += evaluate(root, explained, only=["explanation"])
    assert not any(each.failed for each in found), [each.failed for each in found]
    return {each.run.path.name.replace("--temporal--0", ""): each.run.path for each in found}


def table(evaluated, run, name):
    return read_table(evaluated[run], name)


def test_parameters_and_their_responses(evaluated):
    found = table(evaluated, "hybrid--s1", "parameters")
    assert found["parameter"].nunique() == 8, "six of the process and two of the routing"
    assert found["place"].between(0, 1).all()
    assert found[found["parameter"] == "capacity"]["components"].gt(0).all()
    assert found[["latitude", "longitude"]].notna().all(axis=None)
    moving = table(evaluated, "varying--s1", "parameters")
    assert moving[moving["parameter"] == "capacity"]["time"].notna().all()
    response = table(evaluated, "hybrid--s1", "parameter_response")
    assert len(response) == 8 * 8
    assert (response["q_value"] >= response["p_value"]).all()
    assert set(table(evaluated, "hybrid--s1", "parameter_classes")["attribute"]) == set(response["attribute"])
    seeds = pd.concat(
        [table(evaluated, f"hybrid--s{seed}", "parameters").assign(seed=seed) for seed in (1, 2)]
    )
    assert (identifiability(seeds)["sites"] == 12).all()


@pytest.mark.parametrize("run", ["hybrid--s1", "varying--s1", "physics--s1"])
def test_physics_is_audited_and_loses_nothing(evaluated, run):
    sites, audit = (table(evaluated, run, name) for name in ("physics", "physics_audit"))
    assert len(sites) == 12
    assert sites[["evapotranspiration", "balance", "dryness", "snow_share", "nse"]].notna().all(axis=None)
    assert {"evapotranspiration", "season", "runoff ratio"} <= set(audit["check"])
    assert ("baseflow" in set(audit["check"])) == (run == "physics--s1"), "the other process has none"
    assert (audit.loc[audit["flag"], "reason"] != "").all()
    balance = table(evaluated, run, "balance")
    assert balance["closed"].all(), balance["share"].max()
    terms = table(evaluated, run, "balance_terms")
    assert set(terms["side"]) == {"inflow", "outflow", "stored"}
    assert "precipitation" in set(terms.loc[terms["side"] == "inflow", "name"])


def test_shares_of_the_network(evaluated):
    hybrid = table(evaluated, "hybrid--s1", "network_share")
    assert set(hybrid["told"]) == {"elsewhere"}
    assert {"target", "surface_runoff", "snowpack"} <= set(hybrid["flux"])
    assert set(table(evaluated, "varying--s1", "network_share")["told"]) == {"elsewhere", "another time"}
    physics = table(evaluated, "physics--s1", "network_share").set_index("flux")
    assert physics.loc["target", "share"] < 0.05, "one epoch hardly told the sites apart"
    assert table(evaluated, "lstm--s1", "network_share")["flux"].unique().tolist() == ["target"]


def test_networks_are_explained_with_checks(evaluated):
    hybrid = table(evaluated, "hybrid--s1", "explanation_checks")
    assert {"capacity", "mean discharge"} <= set(hybrid["question"])
    assert {"completeness", "randomised weights", "remove and retrain", "skill"} == set(hybrid["check"])
    shapley = hybrid[(hybrid["method"] == "Shapley") & (hybrid["check"] == "completeness")]
    assert shapley["passes"].all()
    importance = table(evaluated, "hybrid--s1", "explanation_importance")
    whole = importance[importance["importance"] > 0].groupby(["question", "method"])["share"].sum()
    np.testing.assert_allclose(whole, 1.0)
    assert set(table(evaluated, "hybrid--s1", "explanation_curves")["curve"]) == {"partial_dependence", "ale"}
    for run, question in (("varying--s1", "capacity"), ("lstm--s1", "discharge")):
        lags = table(evaluated, run, "explanation_lags")
        assert set(lags["question"]) == {question}
        assert lags["lag"].max() == 59
    assert table(evaluated, "hybrid--s1", "explanation_lags") is None, "its network does not look back"


def test_what_has_no_inside_has_no_tables(evaluated):
    names = ("parameters", "physics", "network_share", "explanation_checks")
    for run in ("climatology--s0", "hybrid+ensemble--s0"):
        assert run in evaluated
        assert all(table(evaluated, run, name) is None for name in names), run
    assert table(evaluated, "physics--s1", "explanation_checks") is None, "there is no network"
