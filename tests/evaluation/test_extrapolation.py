"""The gap between skill inside and outside, and models on the line of one against the other."""

import numpy as np
import pandas as pd
import pytest

from thalweg.evaluation.extrapolation.gaps import accuracy_on_the_line, extrapolation_gaps, lines_outside
from thalweg.evaluation.extrapolation.shares import share_curves
from thalweg.storage.errors import InputError

KINDS = {"time": "temporal", "pub": "ungauged_sites"}


def table(model, split, values, sites=None, kind="hybrid"):
    sites = [f"s{place:02d}" for place in range(len(values))] if sites is None else sites
    labels = {"run": f"e/{model}", "model": model, "kind": kind, "split": split}
    return pd.DataFrame({**labels, "site": sites, "nse": values})


def test_a_gap_is_paired_by_site():
    """Rivers differ by far more than the gap, which shows all the same."""
    rivers = np.random.default_rng(0).uniform(-1, 1, 60)
    metrics = pd.concat([table("a", "time", rivers), table("a", "pub", rivers - 0.05)])
    (row,) = extrapolation_gaps(metrics, KINDS).to_dict("records")
    assert row["paired"]
    assert row["inside_split"] == "time"
    assert (row["gap"], row["low"], row["high"]) == pytest.approx((0.05, 0.05, 0.05))
    assert "loses skill outside" in row["sentence"]


def test_only_shared_sites_count():
    inside = table("a", "time", [0.9] * 6, [f"s{place}" for place in range(6)])
    outside = table("a", "pub", [0.1] + [0.8] * 5, ["elsewhere", *[f"s{place}" for place in range(5)]])
    (row,) = extrapolation_gaps(pd.concat([inside, outside]), KINDS).to_dict("records")
    assert row["sites"] == 5
    assert row["outside"] == pytest.approx(0.8)


def test_no_gap_and_a_gain_are_said():
    random = np.random.default_rng(1)
    noise = random.normal(0, 0.1, (2, 80))
    same = pd.concat([table("a", "time", 0.5 + noise[0]), table("a", "pub", 0.5 + noise[1])])
    assert "no clear difference" in extrapolation_gaps(same, KINDS)["sentence"].iloc[0]
    gain = pd.concat([table("a", "time", 0.5 + noise[0]), table("a", "pub", 0.9 + noise[1])])
    assert "gains skill outside" in extrapolation_gaps(gain, KINDS)["sentence"].iloc[0]


def test_a_bias_of_either_sign_is_a_loss():
    values = np.linspace(-1, 1, 30)
    metrics = pd.concat([table("a", "time", values), table("a", "pub", values * 20)]).rename(
        columns={"nse": "bias"}
    )
    (row,) = extrapolation_gaps(metrics, KINDS, "bias").to_dict("records")
    assert row["gap"] < 0
    assert "loses skill outside" in row["sentence"]


def test_validation_is_inside_where_no_split_is_in_time():
    metrics = table("a", "pub", np.linspace(0.2, 0.4, 20))
    validation = table("a", "pub", np.linspace(0.6, 0.8, 9), [f"v{place}" for place in range(9)])
    (row,) = extrapolation_gaps(metrics, KINDS, validation=validation).to_dict("records")
    assert not row["paired"]
    assert row["inside_split"] == "validation"
    assert row["gap"] == pytest.approx(0.4)
    assert row["low"] < 0.4 < row["high"]
    assert extrapolation_gaps(metrics, KINDS).empty


def test_few_sites_decide_nothing():
    metrics = pd.concat([table("a", "time", [0.9] * 3), table("a", "pub", [0.1] * 3)])
    assert "too few sites (3)" in extrapolation_gaps(metrics, KINDS)["sentence"].iloc[0]


def test_an_unknown_metric():
    with pytest.raises(InputError, match="'skil' is no metric"):
        extrapolation_gaps(table("a", "pub", [1.0]), KINDS, "skil")


def points(values):
    runs = [f"r{place}" for place in range(len(values))]
    return pd.DataFrame({"run": runs, "model": "m", "kind": "lstm", "split": "pub", "value": values})


def test_models_on_a_line_and_one_above_it():
    """A line of bounded scores is found again, one that holds better outside lies above it."""
    bounded = np.linspace(0.5, 0.9, 9)
    inside, outside = 2 - 1 / bounded, 2 - 1 / (0.8 * bounded)
    outside[4] += 0.2
    found = accuracy_on_the_line(points(inside), points(outside))
    assert found.attrs["slope"] == pytest.approx(0.8)
    assert found.attrs["rank_correlation"] > 0.8
    above = found["above"].to_numpy()
    assert above[4] == pytest.approx(0.2)
    assert np.delete(above, 4) == pytest.approx(0, abs=1e-9)


def test_two_models_make_no_line():
    found = accuracy_on_the_line(points([0.1, 0.2]), points([0.1, 0.2]))
    assert found["above"].isna().all()
    assert list(found["inside"]) == [0.1, 0.2]


def test_each_split_outside_has_a_line_over_models_and_seeds():
    rows = [
        table(model, split, np.array([0.1, 0.5, 0.6]) - lost - 0.1 * seed).assign(seed=seed)
        for model in ("a", "b")
        for split, lost in (("time", 0.0), ("pub", 0.2))
        for seed in (1, 2)
    ]
    inside, lines = lines_outside(pd.concat(rows), KINDS)
    assert inside == "time"
    assert list(lines) == ["pub"]
    assert list(lines["pub"]["run"]) == ["a/1", "a/2", "b/1", "b/2"]
    assert lines["pub"]["inside"].to_numpy() == pytest.approx([0.4, 0.3, 0.4, 0.3])
    assert lines["pub"]["outside"].to_numpy() == pytest.approx([0.2, 0.1, 0.2, 0.1])
    assert lines_outside(pd.concat(rows[2:4]), KINDS) == ("", {}), "nothing is inside"


def test_shares_of_sites_and_of_years_are_two_curves():
    """Ten per cent of the sites and ten per cent of the years test different things."""
    kinds = {f"{name}-{share}": "data_share" for name in ("sites", "record") for share in (10, 100)}
    kinds |= {"years-1990": "extreme_years", "alone-50": "data_share"}
    skill = {"sites-10": 0.1, "sites-100": 0.5, "record-10": 0.3, "record-100": 0.4}
    skill |= {"years-1990": 0.9, "alone-50": 0.9}
    metrics = pd.concat([table("a", split, [value] * 6) for split, value in skill.items()])
    found = share_curves(metrics, kinds)
    assert found[["curve", "share", "median"]].to_numpy().tolist() == [
        ["record", 10.0, 0.3], ["record", 100.0, 0.4], ["sites", 10.0, 0.1], ["sites", 100.0, 0.5],
    ]  # fmt: skip
    assert found["sites"].tolist() == [6] * 4
    assert share_curves(metrics, {}).empty


def test_a_share_of_the_years_is_not_outside():
    metrics = pd.concat([table("a", "time", [0.8] * 6), table("a", "record-10", [0.3] * 6)])
    assert extrapolation_gaps(metrics, {**KINDS, "record-10": "data_share"}).empty
