"""What can be taken along from each page: nothing is made before it is asked for, and units stay."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from streamlit.testing.v1 import AppTest

from thalweg.dashboard.figures.hydrograph import Band
from thalweg.dashboard.reading import cards, contents, predictions, skill, stores
from thalweg.dashboard.reading.weather import Weather, weather
from thalweg.dashboard.scope import Scope, load_scope
from thalweg.dashboard.sharing import share, taken
from thalweg.dashboard.sharing.table_units import evaluated_dataset
from thalweg.dashboard.views.interpretation import _TAKEN

Open = Callable[..., AppTest]
OFFERED = {
    "skill": {"Scores by site", "Medians over sites", "Skill in parts"},
    "site": {"Flow at", "Signatures at", "Scores at"},
    "extrapolation": {"Scores by site"},
    "interpretation": set(_TAKEN["physics"]),
    "compare": {"Scores by site", "Flow at"},
    "data": {"by site", "Series at"},
}


@pytest.fixture
def scope(evaluated_runs: Path) -> Scope:
    found = load_scope("evaluated", "temporal", cards.read())
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
    assert "experiment=evaluated" in app.code[0].value or name in ("compare", "data")


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
    table, _ = predictions.flows({"hybrid": run}, site)
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


UNITLESS = {
    "experiment", "run", "model", "split", "seed", "site", "region", "latitude", "longitude", "parameter",
    "units", "attribute", "attribute_units", "flux", "told", "sites", "check", "statistic", "flag", "reason",
    "feature", "method", "question", "passes", "variable", "balance", "closed", "plausible", "beyond",
    "metric", "by", "label",
}  # fmt: skip


@pytest.mark.parametrize("asked", list(_TAKEN))
def test_every_number_of_an_evaluation_has_units(scope: Scope, asked: str) -> None:
    for name, make in taken.of_evaluation(scope.runs, _TAKEN[asked]).items():
        made = make()
        for column, values in made.data_vars.items():
            by_row = str(values.attrs.get("comment", "")).removeprefix("its units are told by ")
            if by_row == "attribute_units":
                continue  # their store does not know these attributes
            if by_row:
                assert (made[by_row] != "").all(), (name, column)
            elif str(column) not in UNITLESS or "units" in values.attrs:
                assert values.attrs.get("units"), (name, column)
        share.netcdf(made)


def test_units_of_an_evaluation_are_those_of_what_was_computed(scope: Scope) -> None:
    physics, parameters = (
        taken.of_evaluation(scope.runs, _TAKEN[name]) for name in ("physics", "parameters")
    )
    header = share.csv(physics["Untrained variables by site"]()).splitlines()[0].decode()
    for told in ("evapotranspiration (mm/year)", "runoff_ratio_simulated (1)", "lag (days)"):
        assert told in header
    shares = physics["Shares of the network"]().to_dataframe().groupby("flux")["units"].unique()
    assert list(shares.index) == ["discharge", "evapotranspiration", "target"]
    assert all(list(units) == ["mm/day"] for units in shares)
    classes = parameters["Parameters in classes of attributes"]().to_dataframe()
    assert dict(classes.groupby("parameter")["units"].first()) == {
        "field_capacity": "mm", "recharge_exponent": "1",
    }  # fmt: skip
    known = pd.DataFrame({"parameter": ["field_capacity"], "attribute": "area", "low": 1.0, "median": 2.0})
    row = evaluated_dataset("parameter_classes", known, scope.runs).isel(row=0)
    assert (row["units"].item(), row["attribute_units"].item()) == ("mm", "km2")
    importance = taken.of_evaluation(scope.runs, _TAKEN["network"])["Importance of inputs"]().to_dataframe()
    units = importance.groupby("method")["units"].unique()
    assert list(units["Shapley"]) == ["mm/day"]
    assert list(units["permutation"]) == ["1"]
    strata = taken.of_scope(scope, "nse")["Skill in parts"]().to_dataframe()
    assert dict(strata.groupby("metric")["units"].first()) == {"bias": "%", "nse": "1", "rmse": "mm/day"}


def test_trends_and_floods_go_out_with_units(scope: Scope) -> None:
    sites = pd.DataFrame(
        {"model": "a", "split": "t", "site": ["x"], "flow": "mean", "observed": 0.1, "simulated": 0.2}
    ).assign(observed_p=0.5)
    floods = pd.DataFrame({"model": ["a"], "split": "t", "pod": 0.5, "far": 0.1, "csi": 0.4, "fhv": -9.0})
    others = {"Floods": ("events", floods), "Trends by site": ("trends", sites), "None": ("x", floods[:0])}
    table = skill.metrics(scope.runs)[0]
    offered = taken.of_experiment(table, scope.measures, "nse", pd.DataFrame(), others)
    assert "None" not in offered
    trends = share.csv(offered["Trends by site"]()).decode()
    assert "observed (mm/day a decade),simulated (mm/day a decade),observed_p (1)" in trends
    assert offered["Floods"]()["fhv"].attrs["units"] == "%"


def test_contents_of_a_store_go_out_with_their_units(evaluated_runs: Path) -> None:
    store = str(evaluated_runs.parent / "weather.zarr")
    version = str(stores.log(store)["id"].iloc[0])
    site = contents.contents(store, version).places.index[2]
    offered = taken.of_contents(store, version, "area", site)
    assert list(offered) == ["area by site", f"Series at {site}"]
    area, series = (make() for make in offered.values())
    assert {name: series[name].attrs["units"] for name in ("discharge", "temperature")} == {
        "discharge": "mm/day", "temperature": "degC",
    }  # fmt: skip
    assert series["discharge"].dims == ("time",)
    assert area["area"].attrs["units"] == "km2"
    assert np.isfinite(area["latitude"]).all()
    assert b"area (km2)" in share.csv(area)
    share.netcdf(series)
    assert list(taken.of_contents(store, version, None, site)) == [f"Series at {site}"]


def test_rows_alike_in_all_dimensions_are_refused() -> None:
    twice = pd.DataFrame({"model": ["a", "a"], "nse": [0.1, 0.2]})
    with pytest.raises(ValueError, match="the same model"):
        share.dataset_of(twice, ("model",))
