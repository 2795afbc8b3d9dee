"""A source of made-up sites, as large as wanted: nothing is kept, every block is made when it is read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd
import xarray as xr

from thalweg.storage.sources.catalog import Catalog

FIRST = date(1980, 1, 1)
# Days of weather that every site takes its own stretch of, with its own factor
LONGEST = 40_000


class Sites:
    """Four variables of ``sites`` sites; the environment's ``SYNTHETIC_DAYS`` says how many days there are.

    Not the spec, which stays what it is when days are added.
    """

    def __init__(self, sites: int) -> None:
        self.sites, self.days = sites, int(os.environ["SYNTHETIC_DAYS"])

    def catalog(self) -> Catalog:
        """Return names and period; every site's stamp changes when days are added."""
        names = tuple(f"synthetic_{number:05d}" for number in range(self.sites))
        last = (pd.Timestamp(FIRST) + pd.Timedelta(days=self.days - 1)).date()
        size = 4 * 4 * self.sites * self.days
        return Catalog(names, FIRST, last, size, dict.fromkeys(names, f"{self.days} days"))

    def attributes(self) -> xr.Dataset:
        """Return places and three static attributes."""
        names = list(self.catalog().sites)
        draw = np.random.default_rng(1)
        units = {"area": "km2", "elevation": "m", "slope": "m/km"}
        static = {
            name: ("site", draw.gamma(2.0, 100.0, self.sites), {"units": unit, "role": "attribute"})
            for name, unit in units.items()
        }
        places = {
            "latitude": ("site", draw.uniform(-50, 60, self.sites)),
            "longitude": ("site", draw.uniform(-180, 180, self.sites)),
        }
        return xr.Dataset(static, {"site": names, **places})

    def read(self, sites: Sequence[str], first: date, last: date) -> xr.Dataset:
        """Make a block."""
        days = pd.date_range(first, last)
        start = (days[0].date() - FIRST).days
        draw = np.random.default_rng(0)
        season = np.sin(2 * np.pi * np.arange(LONGEST) / 365.25)
        base = {
            "precipitation": np.where(draw.random(LONGEST) < 0.4, draw.gamma(0.8, 8.0, LONGEST), 0).round(2),
            "temperature": (10 - 12 * season + draw.normal(0, 3, LONGEST)).round(2),
            "potential_evapotranspiration": (3 - 2.5 * season + draw.random(LONGEST)).clip(0).round(2),
        }
        base["discharge"] = np.convolve(base["precipitation"], np.exp(-np.arange(30) / 6))[:LONGEST] * 0.06
        units = {"precipitation": "mm/day", "temperature": "degC", "potential_evapotranspiration": "mm/day"}
        offsets = [17 * int(site[-5:]) % (LONGEST - self.days) // 365 * 365 + start for site in sites]
        variables = {
            name: (
                ("site", "time"),
                np.stack([series[offset : offset + len(days)] for offset in offsets]).astype(np.float32),
                {"units": units.get(name, "mm/day")},
            )
            for name, series in base.items()
        }
        return xr.Dataset(variables, {"site": list(sites), "time": days})
