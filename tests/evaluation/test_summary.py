"""Tables over runs: pooling, comparisons that may say nothing, an audit that can be failed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from thalweg.evaluation.comparison import conclude
from thalweg.evaluation.intervals import Difference
from thalweg.evaluation.summary import baseflow_check, compare, compare_sites, site_values, summarize
from thalweg.storage.errors import InputError


def rows(model: str, values: dict[str, float], **changes: object) -> pd.DataFrame:
    labels = {
        "experiment": "e",
        "model": model,
        "kind": "hybrid",
        "split": "temporal",
        "fold": "0",
        "seed": 1,
    }
    labels |= changes
    run = f"e/{model}--{labels['split']}--{labels['fold']}--s{labels['seed']}"
    table = pd.DataFrame({"site": list(values), "nse": list(values.values())})
    return table.assign(run=run, **labels)


def sites(count: int, seed: int = 0, centre: float = 0.6) -> dict[str, float]:
    values = np.random.default_rng(seed).normal(centre, 0.1, count)
    return {f"s{number:03d}": float(value) for number, value in enumerate(values)}


def planned(*cells: tuple[str, str, int, str, object]) -> pd.DataFrame:
    """What is planned: model, fold, seed, state, sites."""
    table = pd.DataFrame(cells, columns=["model", "fold", "seed", "state", "sites"])
    table["run"] = [f"e/{c[0]}--temporal--{c[1]}--s{c[2]}" for c in cells]
    return table.assign(experiment="e", kind="lstm", split="temporal", message="")


def test_seeds_are_averaged_by_site_and_folds_put_together() -> None:
    table = pd.concat(
        [
            rows("a", {"s1": 0.1, "s2": 0.5}, seed=1),
            rows("a", {"s1": 0.3, "s2": 0.7}, seed=2),
            rows("a", {"s3": 0.9, "s4": np.nan}, fold="1"),
        ]
    )
    assert site_values(table, "nse").round(9).to_dict() == pytest.approx(
        {"s1": 0.2, "s2": 0.6, "s3": 0.9, "s4": np.nan}, nan_ok=True
    )
    (row,) = summarize(table).to_dict("records")
    assert row["median"] == pytest.approx(0.6)
    assert row["low"] == pytest.approx(0.2)
    assert row["high"] == pytest.approx(0.9)
    assert (row["sites"], row["undefined"], row["folds"], row["seeds"], row["runs"]) == (3, 1, 2, 2, 3)
    assert row["runs_expected"] is None, "unknown"
    assert row["note"] == "1 sites undefined"
    assert np.isnan(row["baseflow_correlation"])
    assert row["baseflow_flag"] is False


def test_a_row_for_each_experiment_model_and_split() -> None:
    table = pd.concat(
        [rows("b", sites(5)), rows("a", sites(5)), rows("a", sites(5), split="ungauged_sites"),
         rows("a", sites(5), experiment="f")]
    )  # fmt: skip
    summary = summarize(table, "nse")
    assert summary[["experiment", "model", "split"]].to_numpy().tolist() == [
        ["e", "a", "temporal"], ["e", "a", "ungauged_sites"], ["e", "b", "temporal"], ["f", "a", "temporal"],
    ]  # fmt: skip
    with pytest.raises(InputError, match="has no kge"):
        summarize(table, "kge")


def test_what_is_missing_is_said() -> None:
    table = pd.concat([rows("a", sites(5)), rows("a", sites(5), fold="1")])
    plan = planned(
        ("a", "0", 1, "done", 6), ("a", "1", 1, "done", 5), ("a", "2", 1, "failed", 5),
        ("a", "3", 1, "running", 5), ("b", "0", 1, "failed", pd.NA),
    )  # fmt: skip
    summary = summarize(table, "nse", plan).set_index("model")
    assert summary.loc["a", "runs"] == 2
    assert summary.loc["a", "runs_expected"] == 4
    note = summary.loc["a", "note"]
    assert note == "2 of 4 runs without results (1 failed, 1 running); 1 of 11 sites without a row"
    assert np.isnan(summary.loc["b", "median"])
    assert summary.loc["b", "note"] == "1 of 1 runs without results (1 failed)"
    assert summary.loc["b", "kind"] == "lstm"
    complete = summarize(rows("a", sites(5)), "nse", planned(("a", "0", 1, "done", 5)))
    assert complete["note"].tolist() == [""]


def test_empty_tables_have_the_columns() -> None:
    from thalweg.storage.results import collect_metrics, collect_runs

    for table in (collect_metrics([]), pd.DataFrame()):
        summary = summarize(table)
        assert summary.empty
        assert "median" in summary.columns
        assert baseflow_check(table).empty
    assert summarize(collect_metrics([]), "nse", collect_runs([])).empty


def test_a_clear_difference_is_said_with_its_size() -> None:
    b = sites(60)
    a = {site: value + 0.05 + 0.01 * (int(site[1:]) % 3) for site, value in b.items()}
    a["only_a"] = 0.9
    (result,) = compare(pd.concat([rows("a", a), rows("b", b)]), "nse", "a", "b")
    assert result.verdict == "a"
    assert result.difference.median == pytest.approx(0.06)
    assert result.share_better == 1.0
    assert (result.only_a, result.only_b) == (1, 0)
    assert result.sentence.startswith(
        "temporal: a is better than b in Nash-Sutcliffe efficiency (median difference +0.06"
    )
    assert "100% of 60 sites" in result.sentence
    (other,) = compare(pd.concat([rows("a", a), rows("b", b)]), "nse", "b", "a")
    assert other.verdict == "b"
    assert other.sentence == result.sentence, "the better one comes first, whichever way one asks"
    assert other.difference.median == pytest.approx(-0.06)


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        ((0.0015, 3.8e-5, 0.0031), "+0.00150, 90% interval +0.00004 to +0.00310"),
        ((0.02, -0.0004, 0.05), "+0.0200, 90% interval -0.0004 to +0.0500"),
        ((-1e-13, -1e-12, 0.05), "+0.000, 90% interval +0.000 to +0.050"),  # and not -0.000
        ((0.1, 0.0, 0.2), "+0.100, 90% interval +0.000 to +0.200"),
    ],
)
def test_digits_are_as_many_as_the_smaller_end_needs(ends: tuple[float, float, float], told: str) -> None:
    x = np.linspace(0.5, 0.9, 60)
    found = conclude(x, x - 0.001, "nse", "a", "b", Difference(*ends, 0.6, 60), level=0.9)
    assert f"median difference {told}; a better" in found.sentence


def test_no_clear_difference_when_the_interval_includes_zero() -> None:
    table = pd.concat([rows("a", sites(60, seed=1)), rows("b", sites(60, seed=2))])
    (result,) = compare(table, "nse", "a", "b")
    assert result.difference.low < 0 < result.difference.high
    assert result.verdict == "none"
    assert "no clear difference between a and b" in result.sentence
    (same,) = compare(pd.concat([rows("a", sites(9)), rows("b", sites(9))]), "nse", "a", "b")
    assert same.verdict == "none"
    assert same.share_better == 0.0


def test_few_sites_tell_nothing() -> None:
    a, b = {f"s{n}": 0.9 for n in range(4)}, {f"s{n}": 0.1 + n / 100 for n in range(4)}
    (result,) = compare(pd.concat([rows("a", a), rows("b", b)]), "nse", "a", "b")
    assert result.verdict == "unknown"
    assert result.sentence == "temporal: too few common sites (4) to tell a and b apart"


def test_the_better_direction_depends_on_the_metric() -> None:
    index = [f"s{n}" for n in range(20)]
    wobble = np.linspace(0, 0.1, 20)
    low, high = pd.Series(1.0 + wobble, index), pd.Series(2.0 + wobble[::-1], index)
    assert compare_sites(low, high, "nse", "low", "high").verdict == "b"
    assert compare_sites(low, high, "rmse", "low", "high").verdict == "a"
    assert compare_sites(low, high, "peak_timing", "low", "high").share_better == 1.0
    assert compare_sites(low, high, "variance_ratio", "low", "high").verdict == "a"
    minus, plus = -10 - low, low
    result = compare_sites(minus, plus, "bias", "minus", "plus")
    assert result.verdict == "b"
    assert "distance of the relative bias from 0" in result.sentence
    assert " %, 90%" in result.sentence
    with pytest.raises(InputError, match="no metric"):
        compare_sites(low, high, "n_days", "a", "b")


def test_models_and_runs_to_compare_must_be_there() -> None:
    table = pd.concat(
        [rows("a", sites(9)), rows("b", sites(9), split="ungauged_sites"), rows("a", sites(9), seed=2)]
    )
    with pytest.raises(InputError, match="no metrics of model 'c'; there are those of a, b"):
        compare(table, "nse", "a", "c")
    with pytest.raises(InputError, match="no common split"):
        compare(table, "nse", "a", "b")
    (seeds,) = compare(table, "nse", "e/a--temporal--0--s1", "e/a--temporal--0--s2")
    assert seeds.verdict == "none"
    (apart,) = compare(table, "nse", "e/a--temporal--0--s1", "e/b--ungauged_sites--0--s1")
    assert apart.split == "temporal against ungauged_sites"
    both = pd.concat(
        [table, rows("b", sites(9)), rows("a", sites(9), experiment="f"), rows("b", sites(9), experiment="f")]
    )
    assert [item.split for item in compare(both, "nse", "a", "b")] == ["e, temporal", "f, temporal"]


def physics(
    simulated: np.ndarray, reference: np.ndarray, nse: float = 0.85, model: str = "hybrid"
) -> pd.DataFrame:
    table = rows(model, {f"s{number:02d}": nse for number in range(len(reference))})
    return table.assign(baseflow_index_simulated=simulated, baseflow_index_reference=reference)


def test_a_model_right_for_the_wrong_reason_is_flagged() -> None:
    generator = np.random.default_rng(4)
    reference = generator.uniform(0.2, 0.9, 40)
    noise = generator.normal(0, 0.03, 40)
    table = pd.concat(
        [
            physics(reference + noise, reference, model="sound"),
            physics(1 - reference + noise, reference, model="reversed"),
            physics(np.full(40, 0.6), reference, model="constant"),
            physics(1 - reference, reference, nse=0.2, model="poor"),
            physics(reference[:4], 1 - reference[:4], model="few"),
            rows("lstm", sites(40)),
        ]
    )
    check = baseflow_check(table).set_index("model")
    assert check["flag"].to_dict() == {
        "sound": False, "reversed": True, "constant": True, "poor": False, "few": False,
    }  # fmt: skip
    assert check.loc["sound", "correlation"] > 0.95
    assert "correlates at -0.9" in check.loc["reversed", "reason"]
    assert check.loc["constant", "reason"].endswith("is constant")
    assert check.loc["few", "reason"].startswith("only 4 sites")
    summary = summarize(table).set_index("model")
    assert summary.loc["reversed", "baseflow_flag"]
    assert summary.loc["reversed", "baseflow_correlation"] < -0.9
    assert np.isnan(summary.loc["lstm", "baseflow_correlation"])


def test_the_audit_of_the_misspecified_twin() -> None:
    """Streamflow NSE of 0.85 with baseflow correlated at about -0.2 over sites must not pass."""
    generator = np.random.default_rng(8)
    reference = generator.uniform(0.3, 0.8, 80)
    simulated = 0.6 - 0.1 * (reference - 0.55) + generator.normal(0, 0.07, 80)
    (row,) = baseflow_check(physics(simulated, reference)).to_dict("records")
    assert -0.5 < row["correlation"] < 0.1
    assert row["flag"]
