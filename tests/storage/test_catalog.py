"""What every source offers: catalogs, stamps, blocks, and noticing changes."""

import pickle
import shutil
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import thalweg.storage.sources as sources
from thalweg.storage.errors import InputError
from thalweg.storage.quality import check_quality
from thalweg.storage.sources import Catalog, SourceChanged, find_source, read_source
from thalweg.storage.sources.catalog import Source, stamp, unchanged

FORCING = "basin_mean_forcing/maurer_extended/01/01013500_lump_maurer_forcing_leap.txt"
BASIN = "timeseries/netcdf/camels/camels_01013500.nc"


@pytest.fixture(params=["camels_us", "caravan"])
def spec(request, camels, caravan):
    return {"kind": request.param, "path": camels if request.param == "camels_us" else caravan}


def test_catalog_and_blocks(spec):
    source = find_source(spec)
    assert isinstance(source, Source)
    catalog = source.catalog()
    assert list(catalog.sites) == sorted(catalog.sites)
    assert set(catalog.stamps) == set(catalog.sites) == set(catalog.periods)
    assert catalog.bytes > 1000
    whole = read_source(spec)
    assert (str(whole["time"].values[0])[:10], str(whole["time"].values[-1])[:10]) == (
        str(catalog.first),
        str(catalog.last),
    )
    begin, end = catalog.first + timedelta(2), catalog.last + timedelta(3)
    block = pickle.loads(pickle.dumps(source)).read(catalog.sites[1:3], begin, end)
    assert block.sizes == {"site": 2, "time": (end - begin).days + 1}
    for name, values in block.data_vars.items():
        expected = whole[name].isel(site=slice(1, 3), time=slice(2, None)).values
        np.testing.assert_array_equal(values.values[:, :-3], expected)
        assert values.attrs["units"] == whole[name].attrs["units"]
    before = source.read(catalog.sites, catalog.first - timedelta(9), catalog.first - timedelta(1))
    assert all(np.isnan(values.values).all() for values in before.data_vars.values())


def test_attributes_have_the_sites_in_order(spec):
    source = find_source(spec)
    static = source.attributes()
    assert tuple(static["site"].values) == source.catalog().sites
    assert {"latitude", "longitude", "region"} <= set(static.coords)
    assert "references" in static.attrs
    assert all(values.dims == ("site",) for values in static.variables.values())


def test_stamps_change_with_the_data_and_with_the_attributes(spec):
    before = find_source(spec).catalog().stamps
    assert find_source(spec).catalog().stamps == before
    root = Path(spec["path"])
    file = root / (FORCING if spec["kind"] == "camels_us" else BASIN)
    copy = file.with_suffix(".copy")
    shutil.copyfile(file, copy)
    copy.replace(file)
    after = find_source(spec).catalog().stamps
    assert [site for site in before if before[site] != after[site]] == ["camels_01013500"]
    table = next(
        iter(sorted(root.glob("**/*camels*topo.txt")) or sorted(root.glob("**/attributes_other*.csv")))
    )
    table.write_text(table.read_text().replace("100", "101"))
    final = find_source(spec).catalog().stamps
    assert all(after[site] != final[site] for site in after)


@pytest.mark.parametrize("what", ["replaced", "deleted"])
def test_a_file_that_is_not_the_one_of_the_catalog(spec, what):
    source = find_source(spec)
    catalog = source.catalog()
    file = Path(spec["path"]) / (FORCING if spec["kind"] == "camels_us" else BASIN)
    file.write_bytes(file.read_bytes()[:-900]) if what == "replaced" else file.unlink()
    message = "changed while it was read" if what == "replaced" else "no longer there"
    with pytest.raises(SourceChanged, match=f"{file.name}: {message}"):
        source.read(catalog.sites, catalog.first, catalog.last)
    if what == "deleted":
        with pytest.raises(InputError, match=r"01013500': no .*file"):
            find_source({**spec, "sites": ["camels_01013500"]}).catalog()


def test_a_bad_site_is_noted_and_the_others_go_on(spec):
    file = Path(spec["path"]) / (FORCING if spec["kind"] == "camels_us" else BASIN)
    text = file.read_bytes()
    file.write_bytes(text.replace(b"1.5\t200", b"1.5\tbad") if spec["kind"] == "camels_us" else b"not netCDF")
    source = find_source(spec)
    catalog = source.catalog()
    block = source.read(catalog.sites, catalog.first, catalog.last)
    assert np.isfinite(block["precipitation"].values).any(axis=1).tolist() == [False] + [True] * (
        len(catalog.sites) - 1
    )
    finding = check_quality(block).iloc[0]
    assert (finding["check"], finding["site"], finding["severity"]) == (
        "unreadable",
        "camels_01013500",
        "error",
    )
    assert file.name in finding["message"]


def test_a_whole_source_that_cannot_be_read(spec):
    pattern = "**/*_forcing_leap.txt" if spec["kind"] == "camels_us" else "**/*.nc"
    for file in Path(spec["path"]).glob(pattern):
        file.write_text("")
    with pytest.raises(InputError, match="cannot be read"):
        find_source(spec).catalog()


def test_a_change_during_reading_hides_the_error_it_causes(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("whole")
    before = stamp(file)

    def read(stamped, change):
        with unchanged([file], stamped):
            file.write_text(change)
            raise ValueError("half a line")

    with pytest.raises(SourceChanged, match=r"a\.txt: changed while it was read \(now 2 bytes\)"):
        read(before, "ha")
    with pytest.raises(ValueError, match="half"), unchanged([file], stamp(file)):
        raise ValueError("half")


class Blocks:
    """A source of one's own that makes its values when they are asked for."""

    def __init__(self, sites: int = 2) -> None:
        self.names = tuple(f"s{number}" for number in range(sites))

    def catalog(self):
        return Catalog(self.names, date(2000, 1, 1), date(2000, 1, 9), 1, dict.fromkeys(self.names, "1"))

    def attributes(self):
        here = {name: ("site", np.zeros(len(self.names))) for name in ("latitude", "longitude")}
        return xr.Dataset(coords={"site": list(self.names), **here})

    def read(self, sites, first, last):
        days = np.arange(first, last + timedelta(1), dtype="datetime64[D]").astype("datetime64[ns]")
        values = np.ones((len(sites), days.size))
        return xr.Dataset(
            {"precipitation": (("site", "time"), values, {"units": "cm/day"})},
            coords={"site": list(sites), "time": days},
        )


@pytest.fixture
def own(monkeypatch, make_dataset):
    monkeypatch.setattr(sources, "Blocks", Blocks, raising=False)
    monkeypatch.setattr(sources, "ready", Blocks(4), raising=False)
    monkeypatch.setattr(sources, "make_blocks", lambda sites: Blocks(sites), raising=False)
    monkeypatch.setattr(sources, "make_dataset", lambda sites=3: make_dataset(sites, days=30), raising=False)
    return "thalweg.storage.sources:"


@pytest.mark.parametrize(
    ("name", "options", "sites"),
    [("Blocks", {}, 2), ("Blocks", {"sites": 5}, 5), ("ready", {}, 4), ("make_blocks", {"sites": 3}, 3)],
)
def test_an_object_as_source(own, name, options, sites):
    dataset = read_source({"kind": own + name, **options})
    assert dataset.sizes == {"site": sites, "time": 9}
    assert (dataset["precipitation"].values == 10.0).all()
    assert dataset["precipitation"].attrs["units"] == "mm/day"


def test_a_function_as_source_in_blocks(own):
    source = find_source({"kind": own + "make_dataset", "sites": 4})
    catalog = source.catalog()
    whole = read_source({"kind": own + "make_dataset", "sites": 4})
    assert catalog.sites == ("s00", "s01", "s02", "s03")
    assert len(set(catalog.stamps.values())) == 4
    assert catalog.stamps == pickle.loads(pickle.dumps(source)).catalog().stamps
    block = source.read(["s02"], catalog.first, catalog.last)
    np.testing.assert_array_equal(block["discharge"].values[0], whole["discharge"].values[2])
    xr.testing.assert_equal(source.attributes()["slope"], whole["slope"])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("Blocks", {"size": 1}, "unknown option of source thalweg.storage.sources:Blocks: 'size'"),
        ("ready", {"sites": 1}, "unknown option"),
        ("make_blocks", {}, "option 'sites' is missing"),
    ],
)
def test_wrong_options_of_ones_own(own, name, options, message):
    with pytest.raises(InputError, match=message):
        find_source({"kind": own + name, **options})
