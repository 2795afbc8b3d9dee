"""The page Data: which versions there are, what was found in them, and what is kept out."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from thalweg.dashboard.reading import contents, stores
from thalweg.dashboard.reading.attributes import Names
from thalweg.dashboard.sharing import share, taken
from thalweg.storage import versions
from thalweg.storage.repository import Repository

Open = Callable[..., AppTest]


@pytest.fixture(scope="module")
def helpers(beside: Callable[[str], ModuleType]) -> ModuleType:
    return beside("synthetic_store")


@pytest.fixture(scope="module")
def world(synthetic: ModuleType, helpers: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs and the store that they read, each an earlier version of it."""
    folder = tmp_path_factory.mktemp("data-page")
    rivers = synthetic.make_world(1, "2000-10-01", "2001-09-30")
    for seed in (1, 2):
        synthetic.write_run(folder / "runs", "stations", rivers, "hybrid", "temporal", "0", seed)
    snapshots = helpers.write_store(folder / "stations.zarr")
    helpers.give(folder / "runs" / "stations", "stations.zarr", snapshots)
    return folder


@pytest.fixture
def runs(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder of runs, beside a copy of the store; the server was started elsewhere."""
    st.cache_data.clear()
    shutil.copytree(world, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("THALWEG_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def said(page: AppTest) -> str:
    return " ".join(part.proto.body for part in page.html)


def stands(page: AppTest) -> AppTest:
    assert not page.exception
    assert [error.value for error in page.error] == []
    return page


def test_the_present_version_and_what_was_found_in_it(runs: Path, open_page: Open) -> None:
    page = stands(open_page("data", view="quality"))
    assert page.selectbox(key="choice:version").value == page.query_params["version"]
    assert (
        "12 sites · 2000-01-01 to 2001-12-30 · 3 kept out · 4 errors · 2 warnings · read by no run"
        in said(page)
    )
    for reason in ("<b>gauge_03</b> is kept out: mean discharge", "<b>gauge_12</b> is kept out: "):
        assert reason in said(page)
    found = page.dataframe[0].value
    assert list(found.columns) == ["severity", "check", "site", "variable", "first_day", "count", "message"]
    assert found["severity"].iloc[0] == "error"
    assert found.loc[found["check"] == "negative", "first_day"].tolist() == ["2000-04-10"]
    assert found.loc[found["check"] == "unreadable", "first_day"].tolist() == [""]


def test_all_versions_are_listed(runs: Path, open_page: Open) -> None:
    log = stands(open_page("data", view="versions")).dataframe[0].value
    assert list(map(list, log["names"])) == [["main"], [], ["paper"]]
    assert log["sites"].tolist() == [12, 12, 9]
    assert log["runs"].tolist() == [0, 1, 1]
    assert log[""].tolist() == ["●", "", ""]


def test_findings_are_narrowed_down(runs: Path, open_page: Open) -> None:
    page = open_page("data", view="quality")
    page.pills(key="choice:severity").set_value(["error"]).run()
    assert set(stands(page).dataframe[0].value["severity"]) == {"error"}
    assert page.query_params["severity"] == "error"
    page.selectbox(key="choice:of-site").set_value("gauge_05").run()
    assert set(page.dataframe[0].value["check"]) == {"negative", "water_balance"}
    page.selectbox(key="choice:of-check").set_value("flat").run()
    assert "0 findings of 10" in said(stands(page))


def test_what_the_checks_found_can_be_taken_along(runs: Path, open_page: Open) -> None:
    page = open_page("data", view="quality")
    page.session_state[share.KEY] = True
    page.run()
    assert any("What the checks found" in part.value for part in stands(page).markdown)
    report = stores.report.__wrapped__  # of a page alone
    made = share.dataset_of(report(page.query_params["store"], page.query_params["version"]))
    assert (
        share.csv(made).decode().splitlines()[0] == "row,severity,check,site,variable,first_day,count,message"
    )
    assert share.netcdf(made)


def test_an_earlier_version_is_told_as_it_was(runs: Path, open_page: Open) -> None:
    page = open_page("data")
    first = page.selectbox(key="choice:version").options[-1]
    assert first.endswith(" · paper")
    page.selectbox(key="choice:version").select_index(2).run()
    assert "9 sites · 2000-01-01 to 2001-11-30 · 2 kept out" in said(stands(page))
    assert "read by 1 run" in said(page)
    assert "gauge_12" not in said(page)


def test_what_is_published_later_is_seen_at_once(runs: Path, open_page: Open) -> None:
    page = stands(open_page("data", view="versions"))
    store = Repository.open(runs.parent / "stations.zarr")
    versions.rollback(store, "paper")
    log = stands(page.run()).dataframe[0].value
    assert list(map(list, log["names"])) == [[], [], ["main", "paper"]]
    assert [line.endswith("(rolled back)") for line in log["read"]] == [True, True, False]
    assert "9 sites" in said(page)  # who looks at the present version goes on doing so


def test_a_store_that_is_gone_is_one_line(runs: Path, open_page: Open) -> None:
    shutil.rmtree(runs.parent / "stations.zarr")
    page = open_page("data")
    assert not page.exception
    assert not page.error
    assert "This store cannot be opened" in said(page)
    assert "no such store" in said(page)
    assert page.selectbox(key="choice:store").value.endswith("stations.zarr")


def test_runs_that_name_no_store(runs: Path, open_page: Open) -> None:
    for path in runs.glob("*/*/manifest.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "store": None}))
    page = stands(open_page("data"))
    assert page.code[0].value == "thalweg run examples/sample.yaml"


def test_where_a_store_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "data").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "b")
    monkeypatch.setenv("THALWEG_RUNS", str(tmp_path / "a" / "runs"))
    assert stores.place("data") == str(tmp_path / "a" / "data")
    assert stores.place("none") == str(tmp_path / "b" / "none")
    assert stores.place("s3://bucket/x") == stores.shown("s3://bucket/x") == "s3://bucket/x"
    assert stores.place("/x/y.zarr") == stores.shown("/x/y.zarr") == "/x/y.zarr"
    assert stores.shown(str(tmp_path / "b" / "c")) == "c"


def test_what_is_in_it_is_mapped_and_drawn(runs: Path, open_page: Open) -> None:
    page = stands(open_page("data"))
    assert page.query_params["view"] == "contents"
    assert page.query_params["variable"] == "discharge"
    assert len(page.get("plotly_chart")) == 2
    assert "Median 100 %" in said(page)
    page.selectbox(key="choice:variable").set_value("area").run()
    assert "Median 100" in said(stands(page))
    page.selectbox(key="choice:site").set_value("gauge_06").run()
    assert page.query_params["site"] == "gauge_06"
    assert len(stands(page).get("plotly_chart")) == 2


def test_what_changed_between_versions(runs: Path, open_page: Open) -> None:
    page = stands(open_page("data", view="versions"))
    text = " ".join(said(page).split())
    assert "at 1 site that both versions have" in text
    table = page.dataframe[1].value
    assert table[["site", "years"]].to_numpy().tolist() == [["gauge_02", "2001"]]
    page.selectbox(key="choice:before").select_index(1).run()
    text = " ".join(said(stands(page)).split())
    assert "2000-01-01 to 2001-11-30 became 2000-01-01 to 2001-12-30" in text
    assert "3: gauge_10, gauge_11, gauge_12" in text
    page.selectbox(key="choice:version").select_index(2).run()
    assert "sites removed" in said(stands(page))


def test_counts_and_gaps() -> None:
    days = pd.date_range("2000-01-01", "2001-12-31")
    values = pd.Series(1.0, days)
    values["2000-02-28":"2000-03-01"] = float("nan")
    values.iloc[[0, -1]] = float("nan")
    found = contents.gaps(values)
    assert [(str(first.date()), str(last.date()), long) for first, last, long in found] == [
        ("2000-02-28", "2000-03-01", 3),
        ("2000-01-01", "2000-01-01", 1),
        ("2001-12-31", "2001-12-31", 1),
    ]
    assert contents.gaps(values.dropna()) == []
    assert contents.gaps(values[:0]) == []
    held = contents.Contents(pd.DataFrame(index=["a", "b"]), {}, {}, Names(), "2000-01-01", "2001-12-31")
    rows = [
        ("a", "flow", 2000, 366, 1.0),
        ("a", "flow", 2001, 183, 4.0),
        ("b", "flow", 2000, 0, float("nan")),
    ]
    counted = pd.DataFrame(rows, columns=["site", "variable", "year", "days", "mean"])
    table = contents.by_site(counted, held, "flow")
    assert table["share"].tolist() == pytest.approx([100 * 549 / 731, 0.0])
    assert table["mean"].tolist() == pytest.approx([2.0, float("nan")], nan_ok=True)


def test_what_is_on_the_map_can_be_taken_along(runs: Path) -> None:
    store = str(runs.parent / "stations.zarr")
    version = str(stores.log(store)["id"].iloc[0])
    made = taken.of_contents(store, version, "discharge", "gauge_01")
    mean, series = (make() for make in made.values())
    here = mean.sel(site="gauge_01")
    assert here["discharge"].item() == pytest.approx(series["discharge"].mean().item(), rel=1e-4)
    assert here["discharge_complete"].item() == pytest.approx(
        100 * series["discharge"].notnull().mean().item()
    )
    assert mean["discharge"].attrs["units"] == series["discharge"].attrs["units"] == "mm/day"
    assert mean["discharge_complete"].attrs["units"] == "%"
