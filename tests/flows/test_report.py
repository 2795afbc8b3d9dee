"""`thalweg report`: what stands on the page of an experiment."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from thalweg.flows.reporting import figures
from thalweg.flows.reporting.experiment import write_report
from thalweg.flows.reporting.page import page
from thalweg.flows.reporting.section import Figure, Section, Table, between, number
from thalweg.flows.split_kinds import split_kinds
from thalweg.storage import evaluations
from thalweg.storage.errors import InputError
from thalweg.storage.results import find_runs, write_manifest, write_metrics, write_status

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
    # one file that needs nothing else: only places within it are linked to
    assert all(address.startswith("#") for address in reader.addresses)
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
    for model, skill in (("physics", 0.0), ("hybrid", 0.1), ("climatology", -0.5)):
        make_run(tmp_path, content, model, "temporal", RIVERS + skill)
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
    expected = {name: stroke.color for name, stroke in strokes(models, floors, LIGHT).items()}
    assert figures.colours(models, floors) == expected


def test_numbers():
    assert number(-0.004, 2) == "0.00"
    assert number(-1.234, 2) == "−1.23"
    assert number(float("nan")) == number(None) == number(float("-inf")) == "–"
    assert between(-0.5, 1) == "−0.50 to 1.00"
