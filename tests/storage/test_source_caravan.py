"""Caravan's folder layout."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from thalweg.storage.attributes import attribute_names, default_attributes
from thalweg.storage.errors import InputError
from thalweg.storage.sources import SourceChanged, read_source

BASIN = "timeseries/netcdf/camels/camels_01013500.nc"


def read(path, **options):
    return read_source({"kind": "caravan", "path": path, **options})


def rewrite(file, change):
    with xr.open_dataset(file, engine="h5netcdf") as dataset:
        changed = change(dataset.load())
    file.unlink()
    changed.to_netcdf(file, engine="h5netcdf")


def test_reads_series_regions_and_attributes(caravan):
    dataset = read(caravan)
    assert dict(dataset.sizes) == {"site": 6, "time": 800}
    assert dataset["site"].values[0] == "camels_01013500"
    assert dataset["region"].values.tolist() == ["01", "01", "03", "14", "18", "17"]
    assert dataset["discharge"].attrs["role"] == "target"
    with xr.open_dataset(caravan / BASIN, engine="h5netcdf") as basin:
        assert dataset["precipitation"].values[0] == pytest.approx(basin["total_precipitation_sum"].values)
    assert dataset["area"].attrs["units"] == "km2"
    assert dataset["gauge_name"].values[0] == "River 500, Somewhere"
    # classes are text, so that no network takes them for numbers
    assert dataset["glc_cl_smj"].values.tolist() == ["5", "6"] * 3


def test_evapotranspiration_is_computed_from_temperature(caravan):
    dataset = read(caravan)
    assert "Oudin" in dataset["potential_evapotranspiration"].attrs["comment"]
    yearly = dataset["potential_evapotranspiration"].sel(time="2000").sum("time")
    assert ((yearly > 300) & (yearly < 1500)).all()


def test_extremes_switch_to_hargreaves(caravan):
    for file in (caravan / "timeseries/netcdf/camels").glob("*.nc"):
        rewrite(
            file,
            lambda dataset: dataset.assign(
                temperature_2m_min=dataset["temperature_2m_mean"] - 6,
                temperature_2m_max=dataset["temperature_2m_mean"] + 6,
            ),
        )
    dataset = read(caravan)
    assert "Hargreaves" in dataset["potential_evapotranspiration"].attrs["comment"]
    assert {"temperature_min", "temperature_max"} <= set(dataset.data_vars)
    assert (
        "Oudin" in read(caravan, potential_evapotranspiration="oudin")["potential_evapotranspiration"].comment
    )


def test_csv_gives_the_same_as_netcdf(caravan):
    expected = read(caravan)
    target = caravan / "timeseries/csv/camels"
    target.mkdir(parents=True)
    for file in (caravan / "timeseries/netcdf/camels").glob("*.nc"):
        with xr.open_dataset(file, engine="h5netcdf") as dataset:
            dataset.to_dataframe().to_csv(target / f"{file.stem}.csv")
        file.unlink()
    xr.testing.assert_allclose(read(caravan), expected)
    last = target / "camels_01022500.csv"
    last.write_text(last.read_text().rstrip("\n")[:-1])  # the last value lost a digit
    with pytest.raises(SourceChanged, match=rf"{last.name}: the last line has no end, so .* cut off"):
        read(caravan)


def test_chosen_sites_from_a_list_and_a_file(caravan, tmp_path):
    names = tmp_path / "sites.txt"
    names.write_text("# two\ncamels_09210500\ncamels_01022500\n")
    assert read(caravan, sites=str(names))["site"].values.tolist() == ["camels_01022500", "camels_09210500"]
    assert read(caravan, sites=["camels_01022500"]).sizes["site"] == 1


def test_other_subsets_have_no_region_and_other_periods(caravan):
    """A second subset with a shorter period: missing days are NaN, the region is empty."""
    series, tables = caravan / "timeseries/netcdf/camelsgb", caravan / "attributes/camelsgb"
    series.mkdir()
    tables.mkdir()
    with xr.open_dataset(caravan / BASIN, engine="h5netcdf") as dataset:
        dataset.isel(date=slice(100, 200)).to_netcdf(series / "camelsgb_12001.nc", engine="h5netcdf")
    table = pd.DataFrame({"gauge_id": ["camelsgb_12001"], "gauge_lat": 57.0, "gauge_lon": -3.0, "area": 80.0})
    table.to_csv(tables / "attributes_other_camelsgb.csv", index=False)
    both = read(caravan)
    assert both.sizes["site"] == 7
    british = both.sel(site="camelsgb_12001")
    assert british["region"].item() == ""
    assert int(british["precipitation"].notnull().sum()) == 100
    assert np.isnan(british["p_mean"])
    assert read(caravan, subsets=["camelsgb"]).sizes == {"site": 1, "time": 100}


def test_convertible_units_are_converted(caravan):
    def to_kelvin(dataset):
        dataset["temperature_2m_mean"] = dataset["temperature_2m_mean"] + 273.15
        dataset["temperature_2m_mean"].attrs["units"] = "K"
        return dataset

    expected = read(caravan)["temperature"]
    rewrite(caravan / BASIN, to_kelvin)
    assert read(caravan)["temperature"].values == pytest.approx(expected.values, abs=1e-3)


def test_default_attributes_leave_out_what_is_unusable(caravan):
    dataset = read(caravan)
    assert default_attributes(dataset) == ["area", "p_mean", "slp_dg_sav"]
    assert {"aridity", "pet_mean", "dis_m3_pyr"} <= set(attribute_names(dataset))


def wrong_unit(dataset):
    dataset["streamflow"].attrs["units"] = "m3/s"
    return dataset


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda root: rewrite(root / BASIN, wrong_unit),
            "camels_01013500.nc: variable 'streamflow': unit 'm3/s'",
        ),
        (
            lambda root: rewrite(root / BASIN, lambda dataset: dataset.drop_vars("streamflow")),
            "camels_01013500.nc: no variable 'streamflow'; it has total_precipitation_sum, ",
        ),
        (
            lambda root: rewrite(root / BASIN, lambda dataset: dataset.rename(date="day")),
            "camels_01013500.nc: no coordinate 'date'",
        ),
        (lambda root: (root / BASIN).write_text("not netCDF"), "camels_01013500.nc: cannot be read"),
        (
            lambda root: (root / "attributes/camels/attributes_other_camels.csv").unlink(),
            "no column 'gauge_lat'",
        ),
    ],
)
def test_broken_files_are_named(caravan, change, message):
    change(caravan)
    with pytest.raises(InputError, match=message):
        read(caravan)


def test_a_site_without_attributes_is_named(caravan):
    for file in (caravan / "attributes/camels").glob("*.csv"):
        lines = [line for line in file.read_text().splitlines() if "01022500" not in line]
        file.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match="site camels_01022500 without attributes"):
        read(caravan)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sites": ["camels_01013501"]}, "no file under .* did you mean 'camels_01013500'"),
        ({"sites": [1022500]}, "is a number; write the name in quotes"),
        ({"sites": []}, "the list is empty"),
        ({"sites": "nowhere.txt"}, "nowhere.txt: no such file"),
        ({"subsets": ["camel"]}, "unknown subset .*'camel'; did you mean 'camels'"),
        ({"subset": ["camels"]}, "unknown option of source caravan: 'subset'; did you mean 'subsets'"),
        ({"variables": {"streamflow": "runoff"}}, "unknown canonical variable .*'runoff'"),
        ({"variables": {"flow": "discharge"}}, "no variable 'flow'; it has"),
        ({"potential_evapotranspiration": "penman"}, "unknown method 'penman'"),
        ({"potential_evapotranspiration": "hargreaves"}, "needs temperature_min and temperature_max"),
    ],
)
def test_wrong_options(caravan, options, message):
    with pytest.raises(InputError, match=message):
        read(caravan, **options)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"path": "x"}, "key 'kind' is missing"),
        ({"kind": "carvan"}, "unknown kind 'carvan'; did you mean 'caravan'"),
        ({"kind": "caravan"}, "option 'path' is missing"),
        ({"kind": "caravan", "path": "no/such/folder"}, "no/such/folder: no such folder"),
        ({"kind": "no.such.module:read"}, "cannot import"),
        ({"kind": "math:tau"}, "is not a function"),
        ({"kind": "builtins:dict"}, "gave a dict"),
        ("caravan", "not a mapping"),
    ],
)
def test_wrong_specs(spec, message):
    with pytest.raises(InputError, match=message):
        read_source(spec)


def test_a_function_as_source(make_dataset, monkeypatch):
    monkeypatch.setattr(
        "thalweg.storage.sources.caravan.a_function", lambda sites: make_dataset(sites), raising=False
    )
    assert read_source({"kind": "thalweg.storage.sources.caravan:a_function", "sites": 3}).sizes["site"] == 3
