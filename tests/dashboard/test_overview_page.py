"""The page Overview: experiments, how far they are, what they took, what failed, and how new the data are."""

import json
import os
import re
import shutil
import time
from collections.abc import Callable
from html import unescape
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from thalweg.dashboard.reading import cards, experiments
from thalweg.storage.results import write_status

Open = Callable[..., AppTest]


@pytest.fixture
def own(made_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder of runs that a test may change."""
    st.cache_data.clear()
    root = tmp_path / "runs"
    shutil.copytree(made_runs, root)
    monkeypatch.setenv("THALWEG_RUNS", str(root))
    monkeypatch.setattr(experiments, "FIRST_SECONDS", 60.0)
    monkeypatch.chdir(tmp_path)
    return root


def said(page: AppTest) -> str:
    html = " ".join(part.proto.body for part in page.html)
    return " ".join(unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.S)).split())


def stands(page: AppTest) -> AppTest:
    assert not page.exception
    assert [error.value for error in page.error] == []
    return page


def summary(name: str) -> experiments.Summary:
    return next(each for each in experiments.summaries(cards.read()) if each.name == name)


def test_it_tells_what_was_run_and_what_failed(own: Path, open_page: Open) -> None:
    page = stands(open_page("overview", experiment="nightly"))
    text = said(page)
    for words in ("6 experiments", "1 failed", "1 running", "temporal, median NSE", "tested on 2000-10-01"):
        assert words in text
    assert "nightly lstm · ungauged_sites · fold 1 · seed 1 failed: loss became NaN at epoch 7" in text
    assert "manifest.json: cannot be read" in text
    assert page.expander[0].label == "1 run failed or stopped, in 1 experiment"


def test_all_experiments_are_listed_and_the_runs_of_one(own: Path, open_page: Open) -> None:
    page = stands(open_page("overview", experiment="sample"))
    listed, runs = (table.value for table in page.dataframe)
    assert set(listed["experiment"]) == {path.name for path in own.iterdir() if path.is_dir()}
    row = listed.set_index("experiment").loc["sample"]
    assert (row["state"], row["runs"], row["progress"], row[""]) == ("done", "21 done", 100.0, "●")
    assert re.fullmatch(r"0\.\d\d (hybrid|lstm|physics)", row["of:temporal"])
    assert listed.set_index("experiment").loc["nightly", "failed"] == "1"
    assert len(runs) == 21
    page = stands(open_page("overview", experiment="nightly"))
    assert {"done", "failed", "running", "waiting", "unknown"} == set(page.dataframe[1].value["state"])


def test_a_run_in_the_address_is_told_in_detail(own: Path, open_page: Open) -> None:
    page = stands(open_page("overview", experiment="sample", run="sample/hybrid--temporal--0--s1"))
    assert "5b1c0e94a7d2" in said(page)
    assert len(page.get("plotly_chart")) == 1


def test_the_time_that_is_left(own: Path) -> None:
    folder = own / "nightly" / "lstm--ungauged_sites--2--s1"
    status = {"state": "running", "epoch": 12, "epochs": 30, "seconds_left": 300.0}
    write_status(folder, status)
    # 300 s of one that runs, then one that waits, as long as the others of its model took
    took = pd.Series([run.seconds for run in cards.read() if run.id.startswith("nightly/lstm--temporal")])
    left = summary("nightly").left
    assert left == pytest.approx(300.0 + took.median(), abs=5.0)
    write_status(
        folder, {**status, "updated": "2020-01-01T00:00:00+00:00"}
    )  # long ago: nothing is left of it
    assert summary("nightly").left == pytest.approx(took.median(), abs=5.0)
    write_status(folder, {**status, "state": "done"})
    assert summary("nightly").left is None


def test_a_run_that_writes_nothing_any_more_is_suspected(own: Path, open_page: Open) -> None:
    ledger = own / "nightly" / "lstm--ungauged_sites--2--s1" / "ledger.json"
    ledger.write_text(json.dumps({"attempts": [{"wall_seconds": 61.0, "cpu_seconds": 50.0, "attempts": 1}]}))
    assert summary("nightly").silent == ()
    before = time.time() - 600
    os.utime(ledger, (before, before))
    found = summary("nightly")
    assert [run.id for run in found.silent] == ["nightly/lstm--ungauged_sites--2--s1"]
    assert found.cost.cpu_seconds == 50.0
    text = said(stands(open_page("overview", experiment="nightly")))
    assert "lstm · ungauged_sites · fold 2 · seed 1 says it runs and has written nothing for minutes" in text
    assert "work 61 s, 50 s of CPU" in text


def test_what_a_search_found(own: Path, open_page: Open) -> None:
    trial = {"state": "done", "within_noise": True}
    content = {
        "search": {"algorithm": "asha", "model": "lstm"},
        "split": "temporal",
        "best": {"score": 0.7321, "values": {"training.learning_rate": 0.00512}},
        "noise": {"floor": 0.0213},
        "trials": [
            trial,
            trial,
            {"state": "cut", "within_noise": False},
            {"state": "running", "within_noise": False},
        ],
    }
    (own / "searched").mkdir()
    (own / "searched" / "search.json").write_text(json.dumps(content))
    page = stands(open_page("overview", experiment="searched"))
    text = said(page)
    assert "search asha of lstm on temporal, 4 trials, 1 under way" in text
    assert "best trial 0.732 in validation: learning_rate 0.00512" in text
    assert "noise floor 0.021: what the seed alone may do; 2 trials within it" in text
    assert len(page.dataframe) == 1
    (own / "searched" / "search.json").write_text('{"search": ')
    assert "searched" in said(stands(open_page("overview", experiment="searched")))


def test_how_new_the_data_are(own: Path, open_page: Open, beside: Callable[[str], ModuleType]) -> None:
    helpers = beside("synthetic_store")
    snapshots = helpers.write_store(own.parent / "stations.zarr")
    helpers.give(own / "sample", "stations.zarr", snapshots)
    text = said(stands(open_page("overview", experiment="sample")))
    assert "stations.zarr until 2001-12-30, ingested just now 14 of 21 runs read an earlier version" in text
    shutil.rmtree(own.parent / "stations.zarr")
    st.cache_data.clear()
    assert "cannot be opened now; 21 runs read it" in said(stands(open_page("overview", experiment="sample")))


def test_medians_are_read_a_few_at_a_time(own: Path) -> None:
    found = experiments.summaries(cards.read())
    experiments._read.clear()
    tables, whole = experiments.medians(found, "nse", budget=-1.0)
    assert (tables, whole) == ({}, False)
    tables, whole = experiments.medians(found, "nse", budget=60.0)
    assert whole
    assert set(tables["sample"]["split"]) == {"temporal", "ungauged_sites"}
    assert experiments.medians(found, "nse", budget=-1.0)[1]  # they are known by now


def test_the_same_reason_is_told_once(own: Path, open_page: Open) -> None:
    for number in range(30):
        folder = own / "nightly" / f"lstm--temporal--0--s{100 + number}"
        folder.mkdir()
        write_status(folder, {"state": "failed", "message": "no room left on the disk"})
    text = said(stands(open_page("overview", experiment="sample")))
    assert text.count("no room left on the disk") == 1
    assert "nightly 30 runs, lstm · temporal · fold 0 · seed 100 among them, failed" in text
