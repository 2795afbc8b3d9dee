"""A source that computes its values, for tests of ingestion; importable in worker processes."""

from __future__ import annotations

import json
import os
import time
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from thalweg.storage.ingest.pipeline import ingest_all
from thalweg.storage.repository import Repository
from thalweg.storage.snapshot import content_hash
from thalweg.storage.sources.catalog import Catalog
from thalweg.storage.store import open_store, quality_report

SERIES = {
    "precipitation": ("mm/day", "forcing"),
    "temperature": ("degC", "forcing"),
    "potential_evapotranspiration": ("mm/day", "forcing"),
    "discharge": ("mm/day", "target"),
}


class Computed:
    """Sites, days, and which of them were revised, as a JSON file says; kept small by computing values.

    The file has ``sites`` (names), ``first`` and ``last`` (ISO dates), ``revised`` (site -> number added to
    its discharge) and ``ends`` (site -> last day of its discharge). Each read is noted in ``reads.txt``
    beside it.
    """

    def __init__(self, path: str, late_days: int = 0, wait: float = 0.0) -> None:
        self.path, self.late_days, self.wait = Path(path), late_days, wait
        self.content = json.loads(self.path.read_text())

    def catalog(self) -> Catalog:
        content = self.content
        sites = tuple(sorted(content["sites"]))
        first, last = (date.fromisoformat(content[key]) for key in ("first", "last"))
        stamps = {
            site: f"{content['first']} {content['last']} {content.get('revised', {}).get(site, 0)} "
            f"{content.get('ends', {}).get(site)}"
            for site in sites
        }
        if self.late_days:  # a source whose files tell nothing
            stamps = dict.fromkeys(sites, "")
        return Catalog(sites, first, last, 16 * len(sites) * ((last - first).days + 1), stamps)

    def attributes(self) -> xr.Dataset:
        sites = sorted(self.content["sites"])
        number = np.array([_number(site) for site in sites], dtype=float)
        return xr.Dataset(
            {"area": ("site", 100 + number, {"units": "km2"})},
            {
                "site": np.array(sites, dtype=object),
                "latitude": ("site", 30 + number % 40),
                "longitude": ("site", -100 + number % 40),
            },
        )

    def read(self, sites, first: date, last: date) -> xr.Dataset:
        with (self.path.parent / "reads.txt").open("a") as log:
            log.write(f"{os.getpid()} {sites[0]} {len(sites)} {first} {last}\n")
        if len(sites) > 1:
            time.sleep(self.wait)
        days = pd.date_range(first, last, unit="ns")
        number = np.array([[_number(site)] for site in sites])
        day = days.to_numpy().astype("datetime64[D]").astype(np.int64)[None]
        series = {}
        for place, (name, (units, role)) in enumerate(SERIES.items()):
            wave = 5.0 * np.abs(np.sin(0.37 * (place + 1) * day + 1.3 * number)).astype(np.float32)
            if name == "discharge":
                for row, site in enumerate(sites):
                    wave[row] = 0.3 * wave[row] + self.content.get("revised", {}).get(site, 0)
                    if end := self.content.get("ends", {}).get(site):
                        wave[row, days > pd.Timestamp(end)] = np.nan
            series[name] = (("site", "time"), wave, {"units": units, "role": role})
        return xr.Dataset(series, {"site": np.array(list(sites), dtype=object), "time": days})


def _number(site: str) -> int:
    return int(site.removeprefix("s"))


class Maker:
    """Writes what a computed source has, and compares stores that were made of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "source"
        self.folder.mkdir()

    def __call__(self, sites=70, first="2000-01-01", last="2001-12-31", **more) -> dict:
        """Give the spec of a source with these sites (names, or how many) and days."""
        names = [f"s{number:03d}" for number in range(sites)] if isinstance(sites, int) else sites
        path = self.folder / "content.json"
        path.write_text(json.dumps({"sites": names, "first": first, "last": last, **more}))
        return {"kind": "ingest_fakes:Computed", "path": str(path)}

    def reads(self) -> list[list[str]]:
        """Give what was read since the last call: first site, number of sites, first and last day."""
        path = self.folder / "reads.txt"
        lines = [line.split()[1:] for line in path.read_text().splitlines()] if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def same(self, store, spec: dict) -> bool:
        """Compare a store with one that is ingested at once: data, hash, quality and statistics."""
        fresh = self.folder / f"fresh-{len(list(self.folder.iterdir()))}.zarr"
        ingest_all(fresh, spec)
        a, b = open_store(store).load(), open_store(fresh).load()
        assert a.attrs["snapshot"] == b.attrs["snapshot"] == content_hash(b)
        assert a.equals(b)
        assert quality_report(store).equals(quality_report(fresh))
        found, other = (
            Repository.open(path).table("statistics").sortby("site").drop_vars("year")
            for path in (store, fresh)
        )
        assert found.identical(other)
        return True

    def versions(self, store) -> list[str]:
        """Give the hashes of what was published, the newest first."""
        raw = Repository.open(store).raw
        return [
            commit.metadata["properties"]["snapshot"]
            for commit in raw.ancestry(branch="main")
            if commit.metadata.get("published")
        ]
