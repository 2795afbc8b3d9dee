"""Gridded fields: time axes, cells to sites, units, files."""

import pickle

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.storage.errors import InputError
from thalweg.storage.ingest.pipeline import ingest_all
from thalweg.storage.quality import check_quality
from thalweg.storage.sources import SourceChanged, find_source, read_source
from thalweg.storage.sources.grid_space import Grid2d, site_weights
from thalweg.storage.store import open_store

LATITUDE, LONGITUDE = np.array([50.0, 49.0, 48.0, 47.0]), np.array([6.0, 7.0, 8.0, 9.0, 10.0])


def field(times, units, values=None, **attrs):
    """A field over the small grid; by default its value is 100 x row + column at every time."""
    place = 100.0 * np.arange(4)[:, None] + np.arange(5)[None, :]
    data = np.broadcast_to(place, (len(times), 4, 5)).copy() if values is None else np.asarray(values, float)
    if data.ndim == 1:
        data = np.broadcast_to(data[:, None, None], (len(times), 4, 5)).copy()
    return xr.DataArray(
        data,
        dims=("time", "latitude", "longitude"),
        coords={
            "time": times,
            "latitude": ("latitude", LATITUDE, {"units": "degrees_north"}),
            "longitude": ("longitude", LONGITUDE, {"units": "degrees_east"}),
        },
        attrs={"units": units, **attrs},
    )


@pytest.fixture
def stations(tmp_path):
    file = tmp_path / "stations.csv"
    file.write_text("site,latitude,longitude,area,slope\nb,47.9,8.2,120,3.5\na,49.25,6.5,900,2\n")
    return file


@pytest.fixture
def read(tmp_path, stations):
    """Return a function that writes fields to a netCDF file and reads them as a source."""

    def write_and_read(fields, variables, encoding=None, **options):
        file = tmp_path / "grid.nc"
        xr.Dataset(fields).to_netcdf(file, engine="h5netcdf", encoding=encoding)
        options = {"potential_evapotranspiration": "none"} | options
        return read_source(
            {"kind": "grid", "path": file, "variables": variables, "stations": stations, **options}
        )

    return write_and_read


DAYS = pd.date_range("2000-02-27", periods=4)


def test_nearest_cell_and_static_attributes(read):
    dataset = read({"rain": field(DAYS, "mm/day")}, {"precipitation": "rain"})
    assert dataset["site"].values.tolist() == ["a", "b"]
    assert dataset["precipitation"].values[:, 0].tolist() == [100.0, 202.0]
    assert dataset["slope"].values.tolist() == [2.0, 3.5]
    assert dataset["area"].attrs["units"] == "km2"
    assert dataset["precipitation"].attrs["standard_name"] == "lwe_precipitation_rate"


def test_bilinear_is_exact_for_a_plane(read):
    dataset = read({"rain": field(DAYS, "mm/day")}, {"precipitation": "rain"}, method="bilinear")
    expected = [100 * (50 - 49.25) + 0.5, 100 * (50 - 47.9) + 2.2]
    assert dataset["precipitation"].values[:, 0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("label", ["start", "middle"])
def test_six_hourly_rates_amounts_and_extremes(read, label):
    times = pd.date_range("2000-01-01", periods=12, freq="6h")
    degrees = np.array([1.0, 3, 9, 5] * 3) + 273.15
    dataset = read(
        {"t2m": field(times, "K", degrees), "tp": field(times, "m", np.full(12, 0.002))},
        {
            "temperature": "t2m",
            "temperature_min": {"field": "t2m"},
            "temperature_max": {"field": "t2m"},
            "precipitation": "tp",
        },
        time_label=label,
    )
    assert dataset.sizes["time"] == 3
    assert dataset["temperature"].values == pytest.approx(4.5, abs=1e-4)
    assert dataset["temperature_min"].values == pytest.approx(1.0, abs=1e-4)
    assert dataset["temperature_max"].values == pytest.approx(9.0, abs=1e-4)
    assert dataset["precipitation"].values == pytest.approx(8.0)  # 4 x 2 mm


def test_amounts_that_end_at_the_time_stamp_belong_to_the_day_before(read):
    times = pd.date_range("2000-01-01 06:00", periods=8, freq="6h")
    rain = np.repeat([1.0, 2.0], 4)
    fields = {"tp": field(times, "mm", rain)}
    dataset = read(fields, {"precipitation": "tp"}, time_label="end")
    assert [str(day)[:10] for day in dataset["time"].values] == ["2000-01-01", "2000-01-02"]
    assert dataset["precipitation"].values[0].tolist() == [4.0, 8.0]


def test_an_amount_that_grows_over_the_day(read):
    times = pd.date_range("2000-01-01 06:00", periods=8, freq="6h")
    fields = {"tp": field(times, "mm", [1, 2, 3, 4, 10, 20, 30, 40])}
    variables = {"precipitation": {"field": "tp", "aggregation": "last"}}
    dataset = read(fields, variables, time_label="end")
    assert dataset["precipitation"].values[0].tolist() == [4.0, 40.0]


def test_incomplete_days_and_missing_steps_are_missing(read):
    times = pd.date_range("2000-01-01 12:00", periods=16, freq="6h").delete(7)
    dataset = read({"tp": field(times, "mm/day", np.ones(15))}, {"precipitation": "tp"})
    assert [str(day)[:10] for day in dataset["time"].values[[0, -1]]] == ["2000-01-02", "2000-01-04"]
    assert np.isfinite(dataset["precipitation"].values[0]).tolist() == [True, False, True]


def test_monthly_means_and_amounts(read):
    months = pd.date_range("2000-01-01", periods=3, freq="MS")
    dataset = read(
        {
            "pr": field(months, "kg m-2 s-1", np.array([1, 2, 3]) / 86400),
            "tp": field(months, "mm", [31, 58, 62]),
        },
        {"precipitation": "pr", "potential_evapotranspiration": "tp"},
    )
    rain, evaporation = (
        dataset[name].values[0] for name in ("precipitation", "potential_evapotranspiration")
    )
    assert dataset.sizes["time"] == 91
    assert rain[[0, 30, 31, 59, 60, 90]] == pytest.approx([1, 1, 2, 2, 3, 3])
    assert evaporation[[0, 31, 90]] == pytest.approx([1, 2, 2])
    assert "monthly" in dataset["precipitation"].attrs["comment"]


def test_bounds_say_to_which_day_a_value_belongs(read):
    """Times at the end of the interval, as their bounds tell: no label is needed."""
    ends = pd.date_range("2000-01-02", periods=3)
    bounds = np.stack([ends - pd.Timedelta("1D"), ends], axis=1)
    rain = field(ends, "mm/day", [1, 2, 3])
    rain["time"].attrs["bounds"] = "time_bnds"
    dataset = read({"rain": rain, "time_bnds": (("time", "nv"), bounds)}, {"precipitation": "rain"})
    assert str(dataset["time"].values[0])[:10] == "2000-01-01"
    assert dataset["precipitation"].values[0].tolist() == [1, 2, 3]


def with_calendar(rain, calendar, days, units="days since 2000-02-26"):
    rain = rain.assign_coords(time=np.asarray(days, float))
    rain["time"].attrs = {"units": units, "calendar": calendar}
    return rain


def test_a_calendar_without_leap_days(read):
    rain = with_calendar(field(DAYS, "mm/day", [1, 2, 3, 4]), "noleap", [1, 2, 3, 4])
    dataset = read({"rain": rain}, {"precipitation": "rain"})
    assert [str(day)[5:10] for day in dataset["time"].values] == ["02-27", "02-28", "02-29", "03-01", "03-02"]
    assert dataset["precipitation"].values[0][[0, 1, 3, 4]].tolist() == [1, 2, 3, 4]
    assert np.isnan(dataset["precipitation"].values[0, 2])
    filled = read({"rain": rain}, {"precipitation": "rain"}, leap_days="previous")
    assert filled["precipitation"].values[0].tolist() == [1, 2, 2, 3, 4]


@given(st.integers(0, 60 * 365), st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_no_leap_dates_agree_with_counting(start, length):
    from thalweg.storage.sources.grid_time import decode

    dates = pd.date_range("1950-01-01", "2011-12-31")
    dates = dates[~((dates.month == 2) & (dates.day == 29))]
    values = np.arange(start, start + length)
    attributes = {"units": "days since 1950-01-01", "calendar": "noleap"}
    assert (decode(values, attributes, "x") == dates[values].values.astype("datetime64[s]")).all()


def test_several_files_and_zarr_of_both_formats(tmp_path, stations):
    rain = field(pd.date_range("2000-01-01", periods=6), "mm/day", np.arange(6.0))
    whole = xr.Dataset({"rain": rain})
    whole.isel(time=slice(3, 6)).to_netcdf(tmp_path / "a_later.nc", engine="h5netcdf")
    whole.isel(time=slice(0, 3)).to_netcdf(tmp_path / "b_sooner.nc", engine="scipy")  # netCDF-3
    whole.to_zarr(tmp_path / "two.zarr", zarr_format=2)
    whole.to_zarr(tmp_path / "three.zarr", zarr_format=3)
    spec = {"kind": "grid", "variables": {"precipitation": "rain"}, "stations": stations}
    expected = read_source({**spec, "path": tmp_path / "two.zarr"})
    assert expected["precipitation"].values[0].tolist() == [0, 1, 2, 3, 4, 5]
    for path in (
        tmp_path / "three.zarr",
        f"{tmp_path}/*.nc",
        [str(tmp_path / "a_later.nc"), f"{tmp_path}/b*.nc"],
    ):
        found = read_source({**spec, "path": path})
        xr.testing.assert_equal(found, expected)


def test_blocks_are_parts_of_the_whole_and_the_source_travels(tmp_path, stations):
    times = pd.date_range("2000-01-01", periods=40, freq="6h")
    rng = np.random.default_rng(1)
    xr.Dataset({"tp": field(times, "mm", rng.random((40, 4, 5)))}).to_netcdf(
        tmp_path / "g.nc", engine="h5netcdf"
    )
    source = find_source(
        {
            "kind": "grid",
            "path": tmp_path / "g.nc",
            "variables": {"precipitation": "tp"},
            "stations": stations,
        }
    )
    catalog = source.catalog()
    assert (catalog.sites, str(catalog.first), str(catalog.last)) == (("a", "b"), "2000-01-01", "2000-01-10")
    whole = source.read(catalog.sites, catalog.first, catalog.last)
    day = pd.Timestamp("2000-01-04").date(), pd.Timestamp("2000-01-12").date()
    block = pickle.loads(pickle.dumps(source)).read(["b"], *day)
    assert block.sizes == {"site": 1, "time": 9}
    xr.testing.assert_equal(block.isel(time=slice(0, 7)), whole.sel(site=["b"]).isel(time=slice(3, 10)))
    assert np.isnan(block["precipitation"].values[0, 7:]).all()


def test_a_file_that_is_replaced_is_noticed(tmp_path, stations):
    file = tmp_path / "g.nc"
    xr.Dataset({"tp": field(DAYS, "mm")}).to_netcdf(file, engine="h5netcdf")
    spec = {"kind": "grid", "path": file, "variables": {"precipitation": "tp"}, "stations": stations}
    source = find_source(spec)
    catalog = source.catalog()
    file.unlink()
    xr.Dataset({"tp": field(DAYS, "mm", np.zeros(4))}).to_netcdf(file, engine="h5netcdf")
    with pytest.raises(SourceChanged, match=r"g\.nc: changed while it was read"):
        source.read(catalog.sites, catalog.first, catalog.last)
    file.unlink()
    with pytest.raises(SourceChanged, match=r"g\.nc: no longer there"):
        source.read(catalog.sites, catalog.first, catalog.last)


def test_weights_of_a_table(tmp_path, read):
    table = tmp_path / "weights.csv"
    table.write_text("site,latitude,longitude,weight\na,50,6,1\na,50,7,3\nb,47,10,0.2\nb,48,10,0\n")
    dataset = read({"rain": field(DAYS, "mm/day")}, {"precipitation": "rain"}, weights=table)
    assert dataset["precipitation"].values[:, 0].tolist() == [0.75, 304.0]


def test_sea_is_left_out_of_an_average(tmp_path, read):
    table = tmp_path / "weights.csv"
    table.write_text("site,latitude,longitude,weight\na,50,6,2\na,50,7,3\nb,50,6,3\nb,50,7,2\n")
    rain = field(DAYS, "mm/day")
    rain.values[:, 0, 0] = np.nan
    dataset = read({"rain": rain}, {"precipitation": "rain"}, weights=table)
    assert dataset["precipitation"].values[0, 0] == 1.0
    assert np.isnan(dataset["precipitation"].values[1, 0])  # 60 % of its weight has no value
    assert set(check_quality(dataset)["check"]) == {"no_forcing"}


@st.composite
def grids(draw):
    rows, columns = draw(st.integers(2, 6)), draw(st.integers(2, 6))
    south, west = draw(st.floats(-60, 40)), draw(st.floats(-180, 359))
    step = draw(st.floats(0.1, 3.0))
    latitude, longitude = south + step * np.arange(rows), west + step * np.arange(columns)
    if draw(st.booleans()):
        latitude = latitude[::-1].copy()
    if draw(st.booleans()):
        longitude = (longitude + 180) % 360 - 180
    return Grid2d(latitude, longitude), south - step / 2, west - step / 2, rows * step, columns * step


@given(grids(), st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**31))
@settings(max_examples=80, deadline=None)
def test_boxes_conserve_the_mean_of_the_area(made, down, across, seed):
    """Boxes that tile the grid have, weighted by their areas, the mean of the cells weighted by theirs."""
    grid, south, west, height, width = made
    values = np.random.default_rng(seed).random(grid.shape)
    rows = []
    for i in range(down):
        for j in range(across):
            low, high = south + height * i / down, south + height * (i + 1) / down
            left, right = west + width * j / across, west + width * (j + 1) / across
            rows.append({"south": low, "north": high, "west": left, "east": right})
    table = pd.DataFrame(rows).assign(latitude=0.0, longitude=0.0)
    weights = site_weights(grid, "area", table, "grid")
    means = weights.average(values.ravel()[None, weights.cells])[0]
    areas = np.sin(np.radians(table["north"])) - np.sin(np.radians(table["south"]))
    step = height / grid.shape[0]
    edges = np.radians([grid.latitude - step / 2, grid.latitude + step / 2])
    cells = np.broadcast_to((np.sin(edges[1]) - np.sin(edges[0]))[:, None], grid.shape)
    assert (means * areas).sum() / areas.sum() == pytest.approx(np.average(values, weights=cells), rel=1e-9)


@given(grids(), st.floats(0, 1), st.floats(0, 1), st.sampled_from(["nearest", "bilinear", "area"]))
@settings(max_examples=80, deadline=None)
def test_a_constant_field_stays_constant_and_averages_stay_within_the_cells(made, down, across, method):
    grid, south, west, height, width = made
    table = pd.DataFrame(
        {"latitude": [south + height * down], "longitude": [west + width * across], "area": [1.0]},
        index=["a"],
    )
    if method == "area":  # the square may not stand out by more than half
        table["latitude"] = np.clip(table["latitude"], south + 0.01, south + height - 0.01)
        table["longitude"] = west + np.clip(width * across, 0.05, width - 0.05)
    weights = site_weights(grid, method, table, "grid")
    assert np.bincount(np.repeat(0, weights.weights.size), weights.weights) == pytest.approx(1.0)
    assert (weights.weights >= 0).all()
    assert weights.average(np.full((2, weights.cells.size), 3.25)) == pytest.approx(3.25)


def test_a_global_grid_joins_at_the_date_line():
    grid = Grid2d(np.arange(-89.5, 90), np.arange(0.5, 360))
    table = pd.DataFrame({"latitude": [10.5], "longitude": [0.0]}, index=["x"])
    values = np.broadcast_to(np.where(np.arange(360) == 359, 1.0, 0.0), (180, 360)).ravel()
    weights = site_weights(grid, "bilinear", table, "grid")
    assert weights.average(values[None, weights.cells])[0, 0] == pytest.approx(0.5)
    box = table.assign(south=0.0, north=1.0, west=-1.0, east=1.0)
    weights = site_weights(grid, "area", box, "grid")
    assert weights.average(values[None, weights.cells])[0, 0] == pytest.approx(0.5)


def test_a_curvilinear_grid_has_nearest_cells(tmp_path, stations):
    rows, columns = np.meshgrid(LATITUDE, LONGITUDE, indexing="ij")
    dataset = xr.Dataset(
        {
            "rain": (
                ("time", "y", "x"),
                field(DAYS, "mm/day").values,
                {"units": "mm/day", "coordinates": "lat lon"},
            )
        },
        coords={
            "time": DAYS,
            "lat": (("y", "x"), rows, {"units": "degrees_north"}),
            "lon": (("y", "x"), columns, {"units": "degrees_east"}),
        },
    )
    dataset["rain"].attrs.pop("coordinates")
    dataset.to_netcdf(tmp_path / "c.nc", engine="h5netcdf")
    spec = {
        "kind": "grid",
        "path": tmp_path / "c.nc",
        "variables": {"precipitation": "rain"},
        "stations": stations,
    }
    assert read_source(spec)["precipitation"].values[:, 0].tolist() == [100.0, 202.0]
    with pytest.raises(InputError, match="two dimensions; use method nearest"):
        read_source({**spec, "method": "bilinear"})


RAIN = {"precipitation": "rain"}
RATE = field(DAYS, "mm/day")


@pytest.mark.parametrize(
    ("fields", "variables", "options", "message"),
    [
        ({"rain": RATE}, {"precipitation": "rian"}, {}, "no field 'rian'; did you mean 'rain'"),
        (
            {"rain": field(DAYS, "K")},
            RAIN,
            {},
            "grid.nc: field 'rain': unit 'K' cannot be converted to 'mm/day'",
        ),
        ({"rain": field(DAYS, "")}, RAIN, {}, "field 'rain' has no units; give them as"),
        (
            {"rain": field(DAYS, "mm")},
            {"precipitation": {"field": "rain", "aggregation": "mean"}},
            {},
            "'mean' of an am",
        ),
        ({"rain": RATE}, {"precipitation": {"field": "rain", "aggregation": "sum"}}, {}, "'sum' of a ra"),
        ({"rain": RATE}, {"precipitation": {"fild": "rain"}}, {}, "unknown key of variable .*'fild'"),
        ({"rain": RATE}, ["rain"], {}, "'variables' is .*; write it as"),
        ({"rain": RATE}, RAIN, {"method": "cubic"}, "unknown method of source grid: 'cubic'"),
        ({"rain": RATE}, RAIN, {"time_label": "begin"}, "unknown time_label"),
        ({"rain": field(DAYS[:1], "mm/day")}, RAIN, {}, "one time step without bounds"),
        (
            {"rain": field(DAYS[[0, 0, 1, 2]], "mm/day")},
            RAIN,
            {},
            "time is not increasing: 2000-02-27.* occurs twice",
        ),
        (
            {"rain": field(DAYS[[1, 0, 2, 3]], "mm/day")},
            RAIN,
            {},
            "2000-02-27T00:00:00 stands after 2000-02-28",
        ),
        (
            {"rain": field(pd.date_range("2000", periods=4, freq="5h"), "mm/day")},
            RAIN,
            {},
            "steps of 5 hours",
        ),
        (
            {"rain": field(pd.date_range("2000", periods=4, freq="7D"), "mm/day")},
            RAIN,
            {},
            "steps of 168 hours",
        ),
        (
            {"rain": with_calendar(RATE, "360_day", range(4))},
            RAIN,
            {},
            "grid.nc: time: calendar '360_day' has days that do not exist",
        ),
        (
            {"rain": with_calendar(RATE, "standard", range(4), "fortnights since")},
            RAIN,
            {},
            "'fortnights since' cannot be read as times",
        ),
        ({"rain": RATE.expand_dims(level=2)}, RAIN, {}, "has dims .*level, .*; time, latitude and"),
        ({"rain": RATE.drop_vars("latitude")}, RAIN, {}, "no coordinate of latitude"),
    ],
)
def test_refusals(read, fields, variables, options, message):
    with pytest.raises(InputError, match=message):
        read(fields, variables, **options)


@pytest.mark.parametrize(
    ("rows", "method", "message"),
    [
        ("a,10,6", "nearest", "site 'a' at 10, 6 is not on the grid of .*grid.nc"),
        ("a,10,6", "bilinear", "site 'a' at 10, 6 is not on the grid"),
        ("a,48,7", "area", "needs columns south, north, west and east"),
        ("a,x,6", "nearest", r"stations.csv: line 2, column 'latitude': 'x'; degrees"),
        ("a,48,7\na,48,8", "nearest", "stations.csv: line 3: site 'a' again"),
        ("", "nearest", "no stations under the header"),
    ],
)
def test_wrong_stations(read, stations, rows, method, message):
    stations.write_text(f"site,latitude,longitude\n{rows}\n")
    with pytest.raises(InputError, match=message):
        read({"rain": RATE}, RAIN, method=method)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("site,latitude,longitude,weight\na,50,6,1\nb,50,20,1", "line 3: 50, 20 is no cell of"),
        ("site,latitude,longitude,weight\na,50,6,1", "no weights above 0 for site 'b'"),
        ("site,latitude,longitude,weight\na,50,6,-1", "line 2, column 'weight': -1 is no weight"),
        ("site,latitude,longitude\na,50,6", "no column 'weight'"),
        ("", r"w\.csv: cannot be read as a table: No columns"),
    ],
)
def test_wrong_weights(read, tmp_path, text, message):
    (tmp_path / "w.csv").write_text(text + "\n")
    with pytest.raises(InputError, match=message):
        read({"rain": RATE}, RAIN, weights=tmp_path / "w.csv")


def test_files_that_overlap_or_differ(tmp_path, stations):
    xr.Dataset({"rain": RATE}).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    spec = {"kind": "grid", "path": tmp_path, "variables": RAIN, "stations": stations}
    xr.Dataset({"rain": field(DAYS[2:], "mm/day")}).to_netcdf(tmp_path / "b.nc", engine="h5netcdf")
    with pytest.raises(InputError, match=r"b\.nc: field 'rain' at 2000-02-29T00:00:00 is also in .*a\.nc"):
        read_source(spec)
    later = field(DAYS + pd.Timedelta("4D"), "mm/day")
    xr.Dataset({"rain": later.assign_coords(latitude=LATITUDE + 1)}).to_netcdf(
        tmp_path / "b.nc", engine="h5netcdf"
    )
    with pytest.raises(InputError, match=r"b\.nc: field 'rain' has other cells than in .*a\.nc"):
        read_source(spec)
    (tmp_path / "b.nc").write_text("not netCDF")
    with pytest.raises(InputError, match=r"b\.nc: cannot be read as netCDF or Zarr"):
        read_source(spec)


def test_a_list_of_files_makes_a_store_and_may_get_longer(tmp_path, stations):
    rain = xr.Dataset({"rain": field(pd.date_range("2000-01-01", periods=6), "mm/day", np.arange(6.0))})
    files = [str(tmp_path / name) for name in ("first.nc", "second.nc")]
    rain.isel(time=slice(0, 4)).to_netcdf(files[0], engine="h5netcdf")
    rain.isel(time=slice(4, 6)).to_netcdf(files[1], engine="h5netcdf")
    spec = {"kind": "grid", "variables": {"precipitation": "rain"}, "stations": stations}
    store = tmp_path / "a.zarr"
    ingest_all(store, {**spec, "path": files[0]})
    ingest_all(store, {**spec, "path": files[:1]})
    assert ingest_all(store, {**spec, "path": files}).plan.reasons == {"appended": 2}
    assert open_store(store)["precipitation"].values[0].tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(InputError, match=r"made from .* is asked for"):
        ingest_all(store, {**spec, "path": files[1:]})
