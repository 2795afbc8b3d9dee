"""A store of several versions with something for every kind of finding: for tests and for pictures."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from thalweg.storage import versions
from thalweg.storage.ingest.pipeline import Options, ingest_all
from thalweg.storage.quality import QualityRules
from thalweg.storage.repository import Repository

UNITS = {"precipitation": "mm", "temperature": "degC", "discharge": "mm/day"}


def write_store(store: Path, stations: int = 12) -> list[str]:
    """Ingest a source that grows by sites and days; gives the snapshots, the oldest first.

    One site has the discharge of another unit, one has rain below zero, one a file that cannot be read.
    """
    folder = store.with_name("stations")
    folder.mkdir(parents=True)
    names = [f"gauge_{number:02d}" for number in range(1, stations + 1)]
    spec = {
        "kind": "csv_stations",
        "path": str(folder / "{site}.csv"),
        "stations": str(folder / "stations.txt"),
        "variables": {name: {"column": name, "units": units} for name, units in UNITS.items()},
    }
    snapshots = []
    for first, last, days in ((0, stations - 3, 700), (0, stations, 730), (1, 2, 730)):
        for name in names[first:last]:
            table = station(names.index(name), days, revised=len(snapshots) == 2)
            (folder / f"{name}.csv").write_text(table.to_csv(index_label="date"))
        there = names[: max(last, stations if snapshots else 0)]
        place = np.linspace(0, 1, len(names))[: len(there)]
        pd.DataFrame({"site": there, "latitude": 46 + place, "longitude": 7 + place, "area": 100.0}).to_csv(
            folder / "stations.txt", index=False
        )
        if len(there) == stations:
            (folder / f"{names[-1]}.csv").write_text(
                "date,precipitation,temperature,discharge\n2000-01-01,wet,1,1\n"
            )
        options = Options(rules=QualityRules(max_quarantined=0.4))
        snapshots.append(ingest_all(store, spec, options).snapshot)
        if len(snapshots) == 1:
            versions.tag(Repository.open(store), "paper")
    return snapshots


def station(number: int, days: int, revised: bool = False) -> pd.DataFrame:
    """Daily series of one station, with its defect."""
    generator = np.random.default_rng(number)
    rain = np.where(generator.random(days) < 0.4, generator.gamma(0.8, 8.0, days), 0.0).round(1)
    flow = (np.convolve(rain, np.exp(-np.arange(30) / 6))[:days] * 0.06 + generator.random(days)).round(2)
    warmth = (9 - 9 * np.cos(2 * np.pi * np.arange(days) / 365.25) + generator.normal(0, 2, days)).round(1)
    table = pd.DataFrame({"precipitation": rain, "temperature": warmth, "discharge": flow})
    table.index = pd.date_range("2000-01-01", periods=days)
    if revised:
        table.loc[table.index[-60:], "discharge"] *= 1.1
    if number == 2:
        table["discharge"] *= 86.4  # L/s of 1 km2, said to be mm/day
    if number == 4:
        table.loc[table.index[100:140], "precipitation"] = -999.0
    if number % 3 == 0:
        table.loc[table.index[40:52], "discharge"] = np.nan
    if number == 7:
        table.loc[table.index[200:230], "temperature"] = 4.0
    return table


def give(runs: Path, store: Path | str, snapshots: list[str]) -> None:
    """Let runs say that they read these versions in turn."""
    for number, path in enumerate(sorted(runs.glob("*/manifest.json"))):
        content = json.loads(path.read_text())
        content |= {"store": str(store), "snapshot": snapshots[number % len(snapshots)]}
        path.write_text(json.dumps(content))
