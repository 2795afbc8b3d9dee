"""Every example of docs/sources.md is run."""

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml

from thalweg.storage.checks import CHECKS
from thalweg.storage.quality import QUARANTINE, QualityRules, check_quality, quarantine
from thalweg.storage.sources import SOURCES, read_source

PAGE = Path(__file__).parents[2] / "docs" / "sources.md"
TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLES = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)]
SITES = ("alp", "jura")


def station(site, days=400):
    rng = np.random.default_rng(len(site))
    season = np.sin(2 * np.pi * np.arange(days) / 365)
    return pd.DataFrame(
        {
            "rain": rng.gamma(0.5, 8, days).round(1),
            "temp": (50 - 20 * season).round(1),
            "q": rng.random(days) * 900,
        },
        index=pd.date_range("2000-01-01", periods=days, name="date"),
    )


def write_tables(data):
    (data / "stations").mkdir()
    (data / "stations.csv").write_text("site,latitude,longitude,area\nalp,46.5,8.5,100\njura,47.2,7.1,50\n")
    (data / "pegel_orte.csv").write_text(
        "Kennung;Breite;Laenge;Flaeche\nalp;46.5;8.5;100\njura;47.2;7.1;50\n"
    )
    tables = {site: station(site) for site in SITES}
    for site, table in tables.items():
        table.to_csv(data / "stations" / f"{site}.csv")
    german = pd.concat(
        pd.DataFrame(
            {
                "Datum": table.index.strftime("%d.%m.%Y"),
                "Kennung": site,
                "Niederschlag": table["rain"].to_numpy(),
            }
        ).assign(Abfluss=table["q"].to_numpy() / 1000)
        for site, table in tables.items()
    )
    german.to_csv(data / "pegel.csv", sep=";", decimal=",", index=False)
    long = pd.concat(
        table.reset_index().melt("date", var_name="what", value_name="how_much").assign(station=site)
        for site, table in tables.items()
    )
    dates = long.pop("date").dt
    long.assign(year=dates.year, month=dates.month, day=dates.day).to_csv(data / "long.csv", index=False)
    hours = pd.date_range("2000-01-01", periods=240, freq="h", name="hour")
    for name in ("rain", "temp"):
        pd.DataFrame({site: tables[site][name].to_numpy()[:240] for site in SITES}, index=hours).to_csv(
            data / f"of_{name}.csv"
        )


def write_grids(data):
    rng = np.random.default_rng(2)
    place = {
        "latitude": ("latitude", np.arange(49.0, 45.0, -0.5), {"units": "degrees_north"}),
        "longitude": ("longitude", np.arange(6.0, 10.0, 0.5), {"units": "degrees_east"}),
    }
    (data / "era5").mkdir()
    times = pd.date_range("2000-01-01 06:00", periods=80, freq="6h")
    dims = ("time", "latitude", "longitude")
    fields = {
        "tp": (dims, rng.random((80, 8, 8)) * 0.004, {"units": "m"}),
        "t2m": (dims, 280 + rng.random((80, 8, 8)), {"units": "K"}),
    }
    whole = xr.Dataset(fields, coords={"time": times, **place})
    for number, part in enumerate((slice(0, 40), slice(40, 80))):
        whole.isel(time=part).to_netcdf(data / "era5" / f"{number}.nc", engine="h5netcdf")
    months = pd.date_range("2000-01-01", periods=3, freq="MS")
    monthly = {"pr": (dims, rng.random((3, 8, 8)) * 1e-4)}
    xr.Dataset(monthly, coords={"time": months, **place}).to_zarr(data / "monthly.zarr_source", zarr_format=2)
    (data / "weights.csv").write_text(
        "site,latitude,longitude,weight\nalp,46.5,8.5,0.7\nalp,46.5,9,0.3\njura,47,7,12.5\n"
    )


@pytest.fixture
def folder(tmp_path, camels, caravan, monkeypatch):
    """A folder with all data that the page names."""
    data = tmp_path / "data"
    data.mkdir()
    camels.rename(data / "camels_us")
    caravan.rename(data / "caravan")
    write_tables(data)
    write_grids(data)
    code = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert code is not None
    (tmp_path / "my_lab").mkdir()
    (tmp_path / "my_lab" / "readers.py").write_text(code[1])
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "my_lab"]:
        del sys.modules[name]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["source"]["kind"])
def test_every_example_can_be_read(folder, example):
    dataset = read_source(example["source"])
    assert dataset.sizes["site"] >= 2
    assert all(np.isfinite(values.values).any() for values in dataset.data_vars.values() if values.ndim == 2)
    rules = QualityRules.from_options(example.get("quality"))
    assert quarantine(check_quality(dataset), dataset.sizes["time"], rules).empty


def test_every_kind_and_every_check_is_on_the_page():
    assert all(f"\n## {kind}\n" in TEXT for kind in SOURCES)
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (.*?) ?\|$", TEXT, re.MULTILINE))
    assert set(rows) == set(CHECKS)
    assert {name for name, when in rows.items() if when} == set(QUARANTINE)
    assert all(f"{100 * share:g} %" in rows[name] for name, share in QUARANTINE.items() if share)
