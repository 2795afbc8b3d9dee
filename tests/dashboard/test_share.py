"""What can be taken along from each page: nothing is made before it is asked for, and units stay."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from streamlit.testing.v1 import AppTest

from thalweg.dashboard import data, share, taken
from thalweg.dashboard.figures.hydrograph import Band
from thalweg.dashboard.scope import Scope, load_scope
from thalweg.dashboard.views.interpretation import _TAKEN
from thalweg.dashboard.weather import Weather, weather

Open = Callable[..., AppTest]
OFFERED = {
    "skill": {"Scores by site", "Medians over sites", "Skill in parts"},
    "site": {"Flow at", "Signatures at", "Scores at"},
    "extrapolation": {"Scores by site"},
    "interpretation": set(_TAKEN["physics"]),
    "compare": {"Scores by site", "Flow at"},
}


@pytest.fixture
def scope(evaluated_runs: Path) -> Scope:
    found = load_scope("evaluated", "temporal", data.cards())
    assert found is not None
    return found


@pytest.mark.parametrize("name", list(OFFERED))
def test_a_page_offers_its_numbers_once_it_is_asked(name: str, evaluated_runs: Path, open_page: Open) -> None:
    app = open_page(name)
    assert not app.error
    assert not app.get("download_button")
    app.session_state[share.KEY] = True
    app.run()
    assert not app.exception
    assert not app.error
    told = " ".join(part.value for part in app.markdown)
    assert all(what in told for what in OFFERED[name])
    assert app.radio[0].options == list(share.FIGURES.values())
    assert "experiment=evaluated" in app.code[0].value or name == "compare"


def test_scores_are_over_models_and_sites_and_know_where_they_are(scope: Scope) -> None:
    made = taken.of_scope(scope, "nse")["Scores by site"]()
    assert made["nse"].dims == ("model", "site")
    assert made["bias"].attrs["units"] == "%"
    hybrid = scope.by_site("hybrid")["nse"]
    assert np.allclose(made["nse"].sel(model="hybrid"), hybrid[made["site"].values])
    assert np.allclose(made["latitude"], scope.places.loc[made["site"].values, "latitude"])
    with xr.open_dataset(io.BytesIO(share.netcdf(made)), engine="h5netcdf") as again:
        assert again["region"].dims == ("site",)


def test_medians_have_the_interval_of_the_chosen_metric(scope: Scope) -> None:
    written = pd.read_csv(io.BytesIO(share.csv(taken.of_scope(scope, "bias")["Medians over sites"]())))
    assert {"model", "bias (%)", "bias_low (%)", "bias_high (%)", "nse (1)"} <= set(written)
    shown = written.set_index("model").loc["lstm"]
    assert shown["bias_low (%)"] <= shown["bias (%)"] <= shown["bias_high (%)"]


def test_flow_of_a_site_comes_with_its_weather_and_interval(scope: Scope) -> None:
    site = scope.typical_site
    run = scope.run_at("hybrid", site, 1)
    assert run is not None
    table, _ = data.flows({"hybrid": run}, site)
    band = Band("hybrid", "hybrid, 80 %", pd.DataFrame({"lower": 1.0, "upper": 2.0}, index=table.index[10:]))
    offered = taken.of_site(scope, site, 1, table, weather(run, site), band, pd.DataFrame)
    made = offered[f"Flow at {site}"]()
    assert {"observed", "hybrid", "precipitation", "temperature", "hybrid_lower"} <= set(made)
    assert made["temperature"].attrs["units"] == "degC"
    assert made["hybrid_upper"].attrs["long_name"] == "upper end of hybrid, 80 %"
    assert np.isnan(made["hybrid_lower"][:10]).all()
    assert float(made["hybrid_lower"][10]) == 1.0
    assert made["observed"].equals(
        xr.DataArray(table["observed"].to_numpy(), {"time": table.index}, ("time",))
    )
    nothing = taken.of_site(scope, site, 1, pd.DataFrame(), Weather(pd.DataFrame(), {}), None, pd.DataFrame)
    assert list(nothing) == [f"Scores at {site}"]


def test_tables_of_an_evaluation_are_offered_as_far_as_there_are_any(scope: Scope) -> None:
    offered = taken.of_evaluation(scope.runs, _TAKEN["network"] | {"Nothing": "no_such_table"})
    assert set(offered) == set(_TAKEN["network"])
    made = offered["Importance of inputs"]()
    assert "row" in made.dims
    assert "aridity" in made["feature"].values
    assert len(share.csv(made).splitlines()) == made.sizes["row"] + 1


def test_rows_alike_in_all_dimensions_are_refused() -> None:
    twice = pd.DataFrame({"model": ["a", "a"], "nse": [0.1, 0.2]})
    with pytest.raises(ValueError, match="the same model"):
        share.dataset_of(twice, ("model",))
