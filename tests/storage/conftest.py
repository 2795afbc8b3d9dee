"""Small data sets in the layouts of the real ones, made by the tests."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from thalweg.storage.conform import conform

GAUGES = ("01013500", "01022500", "02046000", "12010000", "11124500", "09210500")
FIRST, DAYS = "1999-12-30", 800


def weather(seed: int, days: int = DAYS) -> dict[str, np.ndarray]:
    """Plausible daily precipitation, temperature and discharge at one site (mm/day, degC, mm/day)."""
    rng = np.random.default_rng(seed)
    season = np.sin(2 * np.pi * np.arange(days) / 365.25)
    rain = np.where(rng.random(days) < 0.4, rng.gamma(0.8, 8.0, days), 0.0).round(2)
    mean = (10 - 12 * season + rng.normal(0, 2, days)).round(2)
    flow = (
        np.convolve(rain, np.exp(-np.arange(30) / 6), mode="full")[:days] * 0.06 + rng.random(days)
    ).round(2)
    return {"rain": rain, "low": mean - 5, "mean": mean, "high": mean + 5, "flow": flow}


@pytest.fixture
def caravan(tmp_path: Path, caravan_original: Path) -> Path:
    """A Caravan folder of six basins of the subset camels, netCDF, 1999-12-30 onward; the test's own copy."""
    return Path(shutil.copytree(caravan_original, tmp_path / "caravan"))


@pytest.fixture(scope="session")
def caravan_original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that tests copy."""
    root = tmp_path_factory.mktemp("original") / "caravan"
    series = root / "timeseries" / "netcdf" / "camels"
    tables = root / "attributes" / "camels"
    for folder in (series, tables):
        folder.mkdir(parents=True)
    names = [f"camels_{gauge}" for gauge in GAUGES]
    days = pd.date_range(FIRST, periods=DAYS)
    for number, name in enumerate(names):
        data = weather(number)
        xr.Dataset(
            {
                "total_precipitation_sum": ("date", data["rain"], {"units": "mm/day"}),
                "temperature_2m_mean": ("date", data["mean"], {"units": "degC"}),
                "streamflow": ("date", data["flow"], {"units": "mm/day"}),
            },
            coords={"date": days},
        ).to_netcdf(series / f"{name}.nc", engine="h5netcdf")
    count = np.arange(len(names), dtype=float)
    tables_by_name = {
        "other": {
            "gauge_name": [f"River {name[-3:]}, Somewhere" for name in names],
            "country": "United States of America",
            "gauge_lat": 40 + count,
            "gauge_lon": -70 - count,
            "area": 100 + count,
        },
        "caravan": {"p_mean": 2 + count, "pet_mean": 12.0, "aridity": 4.0},
        "hydroatlas": {
            "slp_dg_sav": 10 * count,
            "glc_cl_smj": (count % 2 + 5).astype(int),
            "dis_m3_pyr": count,
        },
    }
    for kind, columns in tables_by_name.items():
        table = pd.DataFrame({"gauge_id": names} | columns)
        table.to_csv(tables / f"attributes_{kind}_camels.csv", index=False)
    return root


CAMELS_TABLES = {
    "name": "huc_02;gauge_name\n{huc};River {gauge}",
    "topo": "gauge_lat;gauge_lon;elev_mean;area_gages2;area_geospa_fabric\n45.5;-70.5;250;100;130",
    "clim": "p_mean;pet_mean;aridity;high_prec_timing\n3.5;2;0.6;son",
    "soil": "soil_porosity;sand_frac\n0.45;40",
    "geol": "geol_1st_class;geol_2nd_class;geol_porostiy\nSiliciclastic sedimentary rocks;NA;NA",
    "vege": "frac_forest;dom_land_cover\n0.9;    Mixed Forests",
    "hydro": "q_mean;baseflow_index\n1.7;0.58",
}


@pytest.fixture
def camels(tmp_path: Path) -> Path:
    """A CAMELS-US folder of three gauges; the first has missing flow days."""
    root = tmp_path / "camels"
    gauges = {"01013500": "01", "02046000": "02", "12010000": "17"}
    tables = root / "camels_attributes_v2.0"
    tables.mkdir(parents=True)
    for kind, text in CAMELS_TABLES.items():
        head, row = text.split("\n")
        rows = [f"{gauge};" + row.format(huc=huc, gauge=gauge) for gauge, huc in gauges.items()]
        (tables / f"camels_{kind}.txt").write_text("\n".join(["gauge_id;" + head, *rows]) + "\n")
    days = pd.date_range("2000-02-27", periods=5)
    for gauge in gauges:
        forcing = (
            root / "basin_mean_forcing" / "maurer_extended" / "01" / f"{gauge}_lump_maurer_forcing_leap.txt"
        )
        flow = root / "usgs_streamflow" / "01" / f"{gauge}_streamflow_qc.txt"
        for file in (forcing, flow):
            file.parent.mkdir(parents=True, exist_ok=True)
        lines = ["  45.50", "  250.00", " 100000000"]
        lines += ["Year\tMnth\tDay\tHr\tdayl(s)\tprcp(mm/day)\tsrad(W/m2)\tswe(mm)\ttmax(C)\ttmin(C)\tvp(Pa)"]
        lines += [
            f"{d.year}\t{d.month}\t{d.day}\t12\t36000\t{i}.5\t200\t0.0\t{i + 4}\t{i}\t700"
            for i, d in enumerate(days)
        ]
        forcing.write_text("\n".join(lines) + "\n")
        # The flow record begins earlier and ends later than the forcing.
        record = pd.date_range("2000-02-25", periods=10)
        values = [f"{100.0 + i:9.2f} A" for i in range(10)]
        if gauge == "01013500":
            values[3], values[4] = "  -999.00 M", "  -999.00 M"
        flow.write_text("".join(f"{gauge} {d:%Y %m %d} {v}\n" for d, v in zip(record, values, strict=True)))
    return root


@pytest.fixture
def make_dataset() -> Callable[..., xr.Dataset]:
    """Return a maker of datasets in the form of a store."""

    def make(sites: int = 12, days: int = DAYS, first: str = FIRST) -> xr.Dataset:
        data = [weather(number, days) for number in range(sites)]
        over_time = {
            "precipitation": ("rain", "mm/day", "forcing"),
            "temperature": ("mean", "degC", "forcing"),
            "discharge": ("flow", "mm/day", "target"),
        }
        variables: dict = {
            name: (("site", "time"), np.stack([each[key] for each in data]), {"units": units, "role": role})
            for name, (key, units, role) in over_time.items()
        }
        variables["area"] = ("site", np.linspace(50, 900, sites), {"units": "km2"})
        variables["slope"] = ("site", np.full(sites, 3.0), {"units": "m/km"})
        variables["geology"] = (
            "site",
            np.array(["granite", "lime stone"], dtype=object)[np.arange(sites) % 2],
        )
        dataset = xr.Dataset(
            variables,
            coords={
                "site": [f"s{number:02d}" for number in range(sites)],
                "time": pd.date_range(first, periods=days),
                "latitude": ("site", np.linspace(35, 48, sites)),
                "longitude": ("site", np.linspace(-120, -70, sites)),
                "region": ("site", [f"{number % 4 + 1:02d}" for number in range(sites)]),
            },
        )
        return conform(dataset)

    return make


def beside(name: str) -> ModuleType:
    """Import a module of this folder."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def s3_port() -> Iterator[int]:
    """The port of an S3 server on this machine."""
    with beside("object_store").moto_server() as port:
        yield port


@pytest.fixture
def s3(s3_port: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new bucket, ``s3://test-...``; the environment says how to reach it, also for other processes."""
    bucket = f"test-{uuid.uuid4().hex[:12]}"
    assert beside("object_store").request(s3_port, "PUT", f"/{bucket}")[0] == 200
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{s3_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return f"s3://{bucket}"


@pytest.fixture
def faulty_s3(s3: str, s3_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The bucket behind a proxy, ``.bucket``, that makes the ``.faults`` it is told to."""
    with beside("object_store").faulty_proxy(s3_port) as proxy:
        proxy.bucket = s3
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


@pytest.fixture
def source(tmp_path, monkeypatch):
    """The maker of computed sources of :mod:`ingest_fakes`, which worker processes can import."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    from ingest_fakes import Maker

    return Maker(tmp_path)
