"""Pages in Streamlit's own test harness: what they say, what they keep, and that they always stand."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from thalweg.storage.results import Run

Open = Callable[..., AppTest]
pytestmark = pytest.mark.usefixtures("runs")


def said(page: AppTest) -> str:
    """All the text that a page's own HTML shows."""
    return re.sub(
        r"<style>.*?</style>|<[^>]+>", " ", " ".join(part.proto.body for part in page.html), flags=re.S
    )


def stands(page: AppTest) -> AppTest:
    assert not page.exception
    assert [error.value for error in page.error] == []
    return page


@pytest.mark.parametrize("name", ["overview", "skill", "extrapolation", "site", "data"])
def test_without_runs_a_page_says_which_command_makes_some(
    name: str, open_page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THALWEG_RUNS", str(tmp_path / "none"))
    page = stands(open_page(name))
    assert page.code[0].value == "thalweg run examples/sample.yaml"


def test_skill_compares_the_models_of_a_split(open_page: Open) -> None:
    page = stands(open_page("skill", experiment="sample", split="ungauged_sites"))
    text = said(page)
    for word in ("hybrid", "lstm", "physics", "climatology", "NSE", "Bias", "8 test sites", "seeds 1, 2"):
        assert word in text
    assert len(page.get("plotly_chart")) == 3  # distribution, map, site by site


def test_choices_stand_in_the_address_and_on_the_next_page(open_page: Open) -> None:
    page = stands(open_page("skill", experiment="sample"))
    page.segmented_control(key="choice:split").set_value("ungauged_sites").run()
    page.selectbox(key="choice:metric").set_value("rmse").run()
    assert page.query_params["split"] == "ungauged_sites"
    assert page.query_params["metric"] == "rmse"
    page.switch_page("views/site.py").run()
    assert stands(page).selectbox(key="choice:experiment").value == "sample"
    assert page.segmented_control(key="choice:split").value == "ungauged_sites"


def test_an_address_that_names_nothing_is_put_right(open_page: Open) -> None:
    page = stands(open_page("site", experiment="gone", split="<b>", site="x", seed="9", period="1066"))
    assert page.query_params["experiment"] != "gone"
    assert page.query_params["site"] == page.selectbox(key="choice:site").value


def test_site_opens_the_site_in_the_address(open_page: Open) -> None:
    site = (
        open_page("site", experiment="sample", split="ungauged_sites")
        .selectbox(key="choice:site")
        .options[-1]
    )
    page = stands(
        open_page(
            "site", experiment="sample", split="ungauged_sites", site=site, period="all", log="1", seed="2"
        )
    )
    assert site in said(page)
    assert page.toggle(key="choice:log").value is True
    assert page.segmented_control(key="choice:seed").value == "2"
    # hydrograph, locator, flow-duration curve, regime, and errors by flow, by month and from day to day
    assert len(page.get("plotly_chart")) == 7


def test_no_model_leaves_the_observed_line(open_page: Open) -> None:
    page = open_page("site", experiment="sample", split="temporal")
    page.pills(key="choice:models").set_value([]).run()
    assert len(stands(page).get("plotly_chart")) == 4


def test_who_never_chose_a_year_sees_each_sites_flood_year(runs: Path, open_page: Open) -> None:
    predictions = Run(runs / "sample" / "hybrid--temporal--0--s1").predictions()
    assert predictions is not None
    floods = predictions["observed"].idxmax("time").to_series()
    years = floods.dt.year + (floods.dt.month >= 10)
    page = open_page("site", experiment="sample", split="temporal", site=years.idxmin())
    assert page.query_params["period"] == str(years.min())
    page.selectbox(key="choice:site").set_value(years.idxmax()).run()
    assert years.max() > years.min()
    assert page.query_params["period"] == str(years.max())


@pytest.mark.parametrize("name", ["skill", "extrapolation", "site"])
@pytest.mark.parametrize("experiment", ["one_site", "undefined", "damaged", "nightly"])
def test_odd_runs_leave_the_page_standing(name: str, experiment: str, open_page: Open) -> None:
    page = stands(open_page(name, experiment=experiment))
    assert page.query_params["experiment"] == experiment


def test_what_is_missing_is_said(open_page: Open) -> None:
    text = said(open_page("skill", experiment="damaged"))
    assert "damaged/lstm--temporal--0--s1: metrics.parquet: cannot be read" in text
    text = said(open_page("site", experiment="damaged"))
    assert "damaged/hybrid--temporal--0--s1: predictions.zarr: missing" in text


def test_an_experiment_without_results_says_how_far_it_is(open_page: Open) -> None:
    text = said(stands(open_page("skill", experiment="started")))
    assert "No results yet" in text
    assert "1 under way" in text


def test_an_unforeseen_error_is_one_readable_line(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks() -> None:
        raise RuntimeError("the disk sleeps")

    monkeypatch.setattr("thalweg.dashboard.reading.cards.read", breaks)
    page = open_page("skill")
    assert not page.exception
    assert "the disk sleeps" in page.error[0].value
    assert "Traceback" not in page.error[0].value
