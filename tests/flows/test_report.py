"""`thalweg report`: what stands on the page of an experiment."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from thalweg.evaluation.comparison import compare
from thalweg.evaluation.skill import skill
from thalweg.flows import commands
from thalweg.flows.cli import parser
from thalweg.flows.reporting import figures
from thalweg.flows.reporting.differences import compare_on
from thalweg.flows.reporting.experiment import write_report
from thalweg.flows.reporting.page import page
from thalweg.flows.reporting.section import Figure, Section, Table, between, number
from thalweg.flows.split_kinds import split_kinds
from thalweg.storage import evaluations
from thalweg.storage.errors import InputError
from thalweg.storage.results import (
    collect_metrics,
    find_runs,
    write_manifest,
    write_metrics,
    write_parameters,
    write_predictions,
    write_status,
)

SITES = 30
RIVERS = np.random.default_rng(0).uniform(0.2, 0.8, SITES)


class Reader(HTMLParser):
    """Checks that tags close in order; keeps the text and every address that is asked for."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.addresses = [], "", []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "link", "br", "img"):
            self.open.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def read(path):
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    assert reader.open == []
    # one file that needs nothing else: only places and images within it are linked to
    assert all(address.startswith(("#", "data:image/png;")) for address in reader.addresses)
    return re.sub(r"\s+", " ", reader.text)


def make_run(root, content, model, split, nse, state="done", seed=1):
    folder = root / "e" / f"{model}--{split}--0--s{seed}"
    folder.mkdir(parents=True)
    kind = content["models"][model]["kind"]
    write_manifest(
        folder,
        {
            "experiment": "e", "model": model, "split": split, "fold": "0", "seed": seed, "config": content,
            "kind": "floor" if kind == "climatology" else kind, "test": {"sites": SITES},
            "snapshot": "abcdef" * 9,
        },
    )  # fmt: skip
    write_status(folder, {"state": state, "message": "ran out of memory" if state == "failed" else ""})
    if state == "done":
        sites = [f"s{place:02d}" for place in range(SITES)]
        write_metrics(folder, pd.DataFrame({"site": sites, "nse": nse, "bias": 5.0}))
    return folder


@pytest.fixture
def root(tmp_path, content):
    content = {**content, "name": "e"}
    for model, gain in (("physics", 0.0), ("hybrid", 0.1), ("climatology", -0.5)):
        make_run(tmp_path, content, model, "temporal", RIVERS + gain)
    make_run(tmp_path, content, "physics", "ungauged_regions", RIVERS - 0.1)
    make_run(tmp_path, content, "hybrid", "ungauged_regions", RIVERS - 0.3)
    return tmp_path


def test_it_says_which_model_is_best_and_what_is_lost_outside(root):
    text = read(write_report(root, "e"))
    assert "temporal: hybrid has the best median Nash-Sutcliffe efficiency" in text
    assert "ungauged_regions: physics has the best median" in text
    assert "hybrid, ungauged_regions against temporal: loses skill outside (+0.4" in text
    assert "physics is better" in text
    assert "climatology (floor)" in text
    assert "snapshot abcdefabcdef" in text
    assert "kind: calibrated" in text


def test_no_clear_difference_is_said(root, content):
    noise = np.random.default_rng(1).normal(0, 0.05, SITES)
    content = {
        **content,
        "name": "e",
        "models": {**content["models"], "twin": {"kind": "calibrated", "process": "hbv"}},
    }
    make_run(root, content, "twin", "temporal", RIVERS + noise)
    assert "No clear difference between" in read(write_report(root, "e"))


def test_what_evaluation_left_is_shown(root):
    sites = [f"s{place:02d}" for place in range(SITES)]
    for run in find_runs(root, "e"):
        far = np.linspace(0.1, 4, SITES)
        table = pd.DataFrame(
            {"site": sites, "nearest": far, "mahalanobis": far, "applicability": 0.5, "days_outside": 0.25}
        )
        flows = pd.DataFrame(
            {
                "site": sites,
                "flow": "mean",
                "observed": far,
                "simulated": far,
                "observed_p": 0.01,
                "years": 20,
            }
        )
        evaluations.write_product(run.path, "support", {"support": table}, "x")
        evaluations.write_product(run.path, "trends", {"trends": flows}, "x")
    text = read(write_report(root, "e"))
    assert "Skill in classes of distance" in text
    assert "25.0%" in text
    assert "100% of 30" in text


def test_the_audit_the_ledger_and_the_maps_are_by_model(root):
    sites = [f"s{place:02d}" for place in range(SITES)]
    for run in find_runs(root, "e"):
        wrong = run.model == "hybrid"
        audit = {"check": "baseflow", "statistic": "correlation over sites", "value": -0.2 if wrong else 0.8}
        audit |= {"limit": 0.3, "sites": SITES, "flag": wrong, "reason": "baseflow is wrong" if wrong else ""}
        shares = {"flux": "baseflow", "told": "elsewhere", "share": 0.25, "share_of_means": 0.5}
        shares |= {"low": 0.2, "high": 0.3, "mean": 1.0, "mean_elsewhere": 1.1}
        places = {"site": sites, "longitude": np.linspace(-120, -80, SITES), "latitude": 40.0}
        held = {**places, "parameter": "field_capacity", "value": 100.0, "place": np.linspace(0, 1, SITES)}
        for name, table in (("physics_audit", [audit]), ("network_share", [shares]), ("parameters", held)):
            frame = pd.DataFrame(table).assign(components=0.0, time=np.nan)
            evaluations.write_product(run.path, name, {name: frame}, "x")
    text = read(write_report(root, "e"))
    assert "hybrid, temporal: baseflow is wrong." in text
    assert "−0.20" in text
    assert "0.25 (0.50)" in text
    assert "where parameters lie in their ranges" in text


def test_the_mean_year_of_a_parameter_that_varies(root):
    times = pd.date_range("2001-01-01", periods=730)
    values = np.tile(np.sin(np.arange(730) * 2 * np.pi / 365), (4, 1))
    run = find_runs(root, "e")[0]
    held = xr.Dataset({"rate": (("site", "time"), values)}, {"site": list("abcd"), "time": times})
    write_parameters(run.path, held)
    assert "the mean year of parameters that vary in time" in read(write_report(root, "e"))


def test_what_is_not_there_is_told(root, content):
    make_run(root, {**content, "name": "e"}, "climatology", "ungauged_regions", None, "failed")
    text = read(write_report(root, "e"))
    assert "1 of 6 runs have no results" in text
    assert "ran out of memory" in text


def test_one_split_has_no_outside(tmp_path, content):
    make_run(tmp_path, {**content, "name": "e"}, "physics", "temporal", RIVERS)
    text = read(write_report(tmp_path, "e", tmp_path / "mine.html"))
    assert "Nothing here extrapolates" in text
    assert (tmp_path / "mine.html").exists()


def test_shares_of_the_data_make_a_curve(tmp_path, content):
    splits = [
        {
            "kind": "data_share",
            "train": ["2001-01-01", "2001-12-31"],
            "test": ["2002-01-01", "2002-12-31"],
            "shares": [0.1, 0.5, 1.0],
        }
    ]
    content = {**content, "name": "e", "splits": splits}
    for share in (10, 50, 100):
        make_run(tmp_path, content, "physics", f"data_share-{share}", RIVERS * share / 100)
    assert set(split_kinds(find_runs(tmp_path, "e")).values()) == {"data_share"}
    assert "Data efficiency" in read(write_report(tmp_path, "e"))


def test_a_run_of_another_version_has_the_kind_that_its_split_is_named_after(tmp_path, content):
    for split in ("temporal", "mine"):
        make_run(tmp_path, {"models": content["models"]}, "physics", split, RIVERS)
    assert split_kinds(find_runs(tmp_path, "e")) == {"temporal": "temporal"}


@pytest.mark.parametrize(
    ("name", "metric", "said"),
    [("f", "nse", "has no runs of 'f'"), ("e", "skill", "--metric skill: unknown")],
)
def test_wrong_names(root, name, metric, said):
    with pytest.raises(InputError, match=said):
        write_report(root, name, metric=metric)


def test_a_wrong_metric_is_refused_before_anything_is_evaluated(root, monkeypatch):
    monkeypatch.setattr(
        "thalweg.flows.reporting.experiment.evaluate", lambda *_, **__: pytest.fail("evaluated")
    )
    options = parser().parse_args(["report", "e", "--metric", "nsee", "--runs", str(root)])
    with pytest.raises(InputError, match="--metric nsee: unknown; did you mean 'nse'"):
        commands.report(options)


def test_nothing_done(tmp_path, content):
    make_run(tmp_path, {**content, "name": "e"}, "physics", "temporal", None, "failed")
    with pytest.raises(InputError, match="none of its 1 runs is done"):
        write_report(tmp_path, "e")


def test_names_cannot_become_markup(tmp_path):
    section = Section("a", "<b>A</b>", ["<script>alert(1)</script>", Table("<i>", ["<u>"], [["</td>"]])])
    text = page("<img src=x>", ["<p>"], [section], "<!--")
    assert "<script>" not in text
    assert "<img" not in text
    (tmp_path / "a.html").write_text(text, encoding="utf-8")
    assert "<script>alert(1)</script>" in read(tmp_path / "a.html")


def test_the_same_numbers_make_the_same_figure():
    def draw():
        figure, (panel,) = figures.panels(1)
        figures.distribution(panel, {"a": [0.1, 0.5, np.nan], "b": []}, figures.colours(["a", "b"]), -0.5)
        return figures.svg(figure)

    assert draw() == draw()
    assert draw().startswith("<svg")
    assert page("t", [], [Section("a", "A", [Figure("c", draw())])]).count("<svg") == 1


def test_colours_are_the_dashboards():
    from thalweg.dashboard.look import LIGHT, strokes

    models, floors = ["lstm", "hybrid", "climatology", "physics"], ["climatology"]
    expected = {name: stroke.color for name, stroke in strokes(sorted(models), floors, LIGHT).items()}
    assert figures.colours(models, floors) == expected


def test_numbers():
    assert number(-0.004, 2) == "0.00"
    assert number(-1.234, 2) == "−1.23"
    assert number(float("nan")) == number(None) == number(float("-inf")) == "–"
    assert between(-0.5, 1) == "−0.50 to 1.00"


def test_the_best_of_a_bias_is_the_one_nearest_to_zero(root, content):
    for run in find_runs(root, "e"):
        wrong = {"physics": 40.0, "hybrid": -3.0, "climatology": 0.5}[run.model]
        table = run.metrics()
        write_metrics(run.path, table.assign(bias=wrong + np.linspace(-1, 1, SITES)))
    text = read(write_report(root, "e", metric="bias"))
    assert "temporal: hybrid has the best median relative bias, −3.00" in text
    assert "A floor, climatology, is better: 0.50." in text
    assert "the steeper a curve rises at 0" in text
    assert "Sites below −0.5" not in text


def test_two_splits_by_shares_are_two_curves(tmp_path, content):
    years = {"train": ["2001-01-01", "2001-12-31"], "test": ["2002-01-01", "2002-12-31"]}
    splits = [
        {"kind": "data_share", "shares": [0.1, 1.0], **years},
        {"kind": "data_share", "name": "record", "of": "years", "shares": [0.1, 1.0], **years},
    ]
    content = {**content, "name": "e", "splits": splits}
    medians = {"data_share-10": 0.1, "data_share-100": 0.5, "record-10": 0.3, "record-100": 0.4}
    for split, value in medians.items():
        make_run(tmp_path, content, "physics", split, np.full(SITES, value))
    text = read(write_report(tmp_path, "e"))
    for split, value in medians.items():
        curve, share = split.split("-")
        assert f"{curve}physics{share} %{value:.3f}" in text


def series(root, error, years, seed=0):
    """Give every run predictions: observed flow times noise, as wide as its model's error says."""
    random = np.random.default_rng(seed)
    times = pd.date_range("1990-10-01", periods=365 * years)
    sites = [f"s{place:02d}" for place in range(SITES)]
    observed = random.lognormal(0, 0.5, (SITES, len(times)))
    for run in find_runs(root, "e"):
        simulated = observed * random.lognormal(0, error[run.model], observed.shape)
        both = {"simulated": (("site", "time"), simulated), "observed": (("site", "time"), observed)}
        predictions = xr.Dataset(both, {"site": sites, "time": times})
        write_predictions(run.path, predictions)
        write_metrics(run.path, skill(predictions["simulated"], predictions["observed"], metrics=["nse"]))


def test_differences_hold_for_other_years_and_are_tested_day_by_day(root):
    series(root, {"physics": 0.3, "hybrid": 0.1, "climatology": 0.9}, years=7)
    metrics, runs = collect_metrics(find_runs(root, "e")), find_runs(root, "e")
    (pair,) = compare_on(metrics, runs, "temporal", [("hybrid", "physics")], "nse")
    assert (pair.comparison.verdict, pair.over) == ("a", "years and sites")
    assert pair.p_value < 0.001
    assert pair.comparison.difference.sites == SITES
    # drawn years make it wider than sites alone
    (alone,) = compare(metrics, "nse", "hybrid", "physics")[:1]
    assert alone.difference.median == pytest.approx(pair.comparison.difference.median)
    text = read(write_report(root, "e"))
    assert "hybrid is better" in text
    assert "years and sites<0.001" in text


def test_equal_models_are_not_told_apart_and_few_years_say_nothing_of_others(root):
    series(root, {"physics": 0.3, "hybrid": 0.3, "climatology": 0.9}, years=2)
    metrics, runs = collect_metrics(find_runs(root, "e")), find_runs(root, "e")
    (pair,) = compare_on(metrics, runs, "temporal", [("hybrid", "physics")], "nse")
    assert (pair.comparison.verdict, pair.over) == ("none", "sites")
    assert pair.p_value > 0.05
    assert "No clear difference between" in read(write_report(root, "e"))


def held(root, coverage, width, verdict, sites=20):
    row = {
        "group": "ungauged", "sites": SITES, "days": 1000, "coverage": coverage, "low": coverage - 0.02,
        "high": coverage + 0.02, "width": width, "level": 0.9, "verdict": verdict, "by": "gauge",
        "interval": "conformal", "method": "split", "pooling": "new_site", "calibration_sites": sites,
        "calibration_days": 1000, "margin": 1.0,
    }  # fmt: skip
    run = next(run for run in find_runs(root, "e") if run.split == "ungauged_regions")
    evaluations.write_product(run.path, "conformal", {"conformal": pd.DataFrame([row])}, "x")
    return read(write_report(root, "e"))


def test_what_intervals_promise_and_hold(root):
    text = held(root, 0.7, 2.0, "too low")
    assert "holds 70.0% of days at ungauged sites, fewer than it promises" in text
    text = held(root, 0.98, 2.0, "too high")
    assert "more than asked: it is wider than they need" in text
    assert "unlike what it was calibrated on" not in text
    # within chance nothing is blamed, and an infinite interval is no success
    assert "than it promises" not in held(root, 0.86, 2.0, "holds")
    text = held(root, 1.0, np.inf, "too high", sites=4)
    assert "is infinite and says nothing: it was calibrated on too little (4 sites)" in text
    assert "more than asked" not in text


def test_a_damaged_table_is_named_with_what_makes_it_again(root):
    run = find_runs(root, "e")[0]
    evaluations.write_product(run.path, "support", {"support": pd.DataFrame({"site": ["a"]})}, "x")
    (run.path / "evaluation" / "support.parquet").write_text("garbage")
    with pytest.raises(InputError, match=f"support.parquet: is damaged; .* evaluate {run.id} --force"):
        write_report(root, "e")


def test_signatures_of_sites_with_a_region_are_compared(root):
    """Tables by site carry the sites' places, which are text, too."""
    run = next(run for run in find_runs(root, "e") if run.model == "physics")
    sites = [f"s{place:02d}" for place in range(SITES)]
    tables = [
        pd.DataFrame({"series": series, "site": sites, "q5": sign * RIVERS, "latitude": 1.0, "region": "A"})
        for series, sign in (("observed", 1.0), ("simulated", -1.0))
    ]
    evaluations.write_product(run.path, "signatures", {"signatures": pd.concat(tables)}, "x")
    text = read(write_report(root, "e"))
    assert "splitmodelq5" in text.replace(" ", "")
    assert f"{run.split}physics−1.00" in text.replace(" ", "")
