"""Looks at tests as the commands count and tell them, and models compared without showing the tests."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from thalweg.evaluation.extrapolation.holdout import bounded
from thalweg.flows import commands, comparison, outcome_view, results_view
from thalweg.flows.cli import parser
from thalweg.flows.guarded import guarded
from thalweg.flows.look_count import ADVICE, look, show
from thalweg.flows.run import Session
from thalweg.storage import looks
from thalweg.storage.errors import InputError
from thalweg.storage.results import find_runs, write_manifest, write_metrics, write_status

SITES = 40


def efficiencies(mean, random):
    return np.clip(mean + 0.15 * random.standard_normal(SITES), -1, 0.99)


def make_run(root, model, test, validation, config, seed=1, split="t"):
    """A run that was scored: what a cell leaves, without training one."""
    folder = root / "e" / f"{model}--{split}--0--s{seed}"
    folder.mkdir(parents=True)
    site = [f"s{number:02d}" for number in range(SITES)]
    write_metrics(folder, pd.DataFrame({"site": site, "nse": test}))
    if validation is not None:
        write_metrics(folder, pd.DataFrame({"site": site, "nse": validation}), "validation.parquet")
    kind = config["models"][model]["kind"]
    write_manifest(
        folder,
        {
            "experiment": "e", "model": model, "split": split, "fold": "0", "seed": seed, "config": config,
            "kind": "floor" if kind == "climatology" else kind,
            "validate": None if validation is None else {"sites": SITES},
            "test": {"sites": SITES, "start": "2001-01-01", "end": "2002-12-31", "id": f"{split:x>16}"},
        },
    )  # fmt: skip
    write_status(folder, {"state": "done"})
    looks.scored(root, f"{split:x>16}", f"e/{folder.name}", model, floor=kind == "climatology")


@pytest.fixture
def root(tmp_path, content, monkeypatch):
    """Three models: one does on the test as in validation, one was fitted to validation, one is a floor."""
    random = np.random.default_rng(1)
    monkeypatch.setattr("thalweg.flows.guarded.noise", lambda: np.random.default_rng(7))
    config = {**content, "name": "e"}
    make_run(tmp_path, "hybrid", efficiencies(0.7, random), efficiencies(0.7, random), config)
    make_run(tmp_path, "physics", efficiencies(-0.3, random), efficiencies(0.9, random), config)
    make_run(tmp_path, "climatology", efficiencies(0.1, random), efficiencies(0.1, random), config)
    return tmp_path


def test_a_model_that_holds_is_told_by_validation_and_one_that_does_not_by_the_test(root):
    rows = {row["model"]: row for row in guarded(root, find_runs(root, "e"))}
    assert set(rows) == {"hybrid", "physics"}
    assert not rows["hybrid"]["held_out"]
    assert rows["hybrid"]["guarded"] == rows["hybrid"]["validation"] == pytest.approx(0.7, abs=0.05)
    assert rows["physics"]["held_out"]
    assert rows["physics"]["validation"] == pytest.approx(0.9, abs=0.05)
    assert rows["physics"]["guarded"] == pytest.approx(-0.3, abs=0.3)
    assert [row["left"] for row in rows.values()] == [100, 99]
    assert looks.count(root, ["x" * 15 + "t"]).asked == 2


def test_the_same_question_has_the_same_answer(root):
    first = guarded(root, find_runs(root, "e"))
    again = [guarded(root, find_runs(root, "e")) for _ in range(5)]
    assert again == [[{**row, "left": first[-1]["left"]} for row in first]] * 5
    # removing a run does not give a second try
    shutil.rmtree(root / "e" / "hybrid--t--0--s1")
    assert guarded(root, find_runs(root, "e"))[0]["guarded"] == first[1]["guarded"]


def test_another_seed_is_another_question_and_is_averaged_by_site(root, content):
    before = {row["model"]: row for row in guarded(root, find_runs(root, "e"))}
    random = np.random.default_rng(5)
    other = efficiencies(0.5, random)
    make_run(root, "hybrid", other, other, {**content, "name": "e"}, seed=2)
    after = {row["model"]: row for row in guarded(root, find_runs(root, "e"))}
    runs = [run for run in find_runs(root, "e") if run.model == "hybrid"]
    scores = np.mean([bounded(run.validation()["nse"]) for run in runs], axis=0)
    assert after["hybrid"]["validation"] == pytest.approx(2 - 1 / scores.mean())
    assert after["hybrid"]["validation"] != before["hybrid"]["validation"]
    assert after["physics"] == {**before["physics"], "left": after["physics"]["left"]}


def test_the_hold_out_is_spent_for_good(root, content):
    guarded(root, find_runs(root, "e"))
    with looks.asking(root) as (entries, add):
        last = {key: value for key, value in entries[-1].items() if key not in ("time", "event", "tests")}
        add(entries[-1]["tests"], {**last, "question": "another", "left": 0})
    make_run(root, "hybrid", [0.1] * SITES, [0.9] * SITES, {**content, "name": "e"}, seed=2)
    with pytest.raises(InputError, match="given all its answers"):
        guarded(root, find_runs(root, "e"))


@pytest.mark.parametrize("metric", ["rmse", "bias", "nonsense"])
def test_only_efficiencies_can_be_guarded(root, metric):
    with pytest.raises(InputError, match=f"not '{metric}': one of nse, kge_2009"):
        guarded(root, find_runs(root, "e"), metric)


def test_a_split_without_validation(root, content):
    make_run(root, "physics", [0.5] * SITES, None, {**content, "name": "e"}, split="u")
    assert {row["split"] for row in guarded(root, find_runs(root, "e"))} == {"t"}
    alone = [run for run in find_runs(root, "e") if run.split == "u"]
    with pytest.raises(InputError, match="no split of e has a validation part to answer from"):
        guarded(root, alone)
    (root / "e" / "hybrid--t--0--s1" / "validation.parquet").unlink()
    with pytest.raises(InputError, match="hybrid--t--0--s1: lacks nse of validation or test"):
        guarded(root, find_runs(root, "e"))
    with pytest.raises(InputError, match="no trained model here is done"):
        guarded(root, [])


def test_the_command_compares_without_showing_tests(root, capsys):
    options = parser().parse_args(["compare", "e", "--guarded", "--runs", str(root), "--json"])
    assert commands.compare(options) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["model"] for row in rows} == {"hybrid", "physics"}
    assert commands.compare(parser().parse_args(["compare", "e", "--guarded", "--runs", str(root)])) == 0
    shown = capsys.readouterr().out
    assert "validation: the test agrees" in shown
    assert "test, with noise" in shown
    assert looks.count(root, ["x" * 15 + "t"]).shown == 0
    with pytest.raises(InputError, match="compares the models of one experiment, not f"):
        comparison.compare_guarded(root, ["f"], "nse")


def test_every_command_that_shows_scores_counts_and_tells(root, capsys):
    test = ["x" * 15 + "t"]
    comparison.show(comparison.compare(root, ["e"], "nse"))
    assert (
        "test of t: 2 models in 3 runs of 1 experiment scored on it, shown 1 time" in capsys.readouterr().out
    )
    results_view.show_run(results_view.describe_run(root, "e/hybrid"))
    assert "scored on it, shown 2 times" in capsys.readouterr().out
    results_view.run_rows(root)
    assert looks.count(root, test).shown == 3
    assert [entry.get("by") for entry in looks.read(root)[0]][-3:] == ["compare", "show", "runs"]


def test_many_models_on_one_test_are_said_to_be_luck(root, capsys):
    for number in range(9):
        looks.scored(root, "x" * 15 + "t", f"other/m{number}--t--0--s1", f"m{number}", floor=False)
    rows = look(root, find_runs(root, "e"), "compare")
    assert rows[0]["models"] == 11
    show(rows)
    assert ADVICE in capsys.readouterr().out


def test_a_look_that_cannot_be_counted_is_said(root, capsys):
    (root / looks.FILE).unlink()
    (root / looks.FILE).mkdir()
    (row,) = look(root, find_runs(root, "e"), "show")
    assert row["text"] == "not counted: its runs are from before looks were"
    assert "this look at the tests is not counted" in capsys.readouterr().err


def test_a_blind_run_shows_no_score(root, content, write, capsys):
    session = Session(
        write({**content, "name": "e", "training": content["training"]}), root, blind=True, force=True
    )
    session.report()
    outcome_view.show(session)
    shown = capsys.readouterr().out
    assert "results in" in shown
    assert "NSE" not in shown
    assert outcome_view.as_json(session)["skill"] == outcome_view.as_json(session)["looks"] == []
    assert looks.count(root, ["x" * 15 + "t"]).shown == 0
