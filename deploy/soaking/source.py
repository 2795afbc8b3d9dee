"""A source whose every value is known beforehand, that goes on day by day, breaks and is repaired."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FIRST = np.datetime64("2001-01-01", "D")
START_DAYS = 1100  # three years, and a few days of the fourth
HORIZON_DAYS = 6000
SITES = tuple(f"gauge_{number:02d}" for number in range(12))
VARIABLES = ("precipitation", "temperature", "potential_evapotranspiration", "discharge")
WITHDRAWN = "discharge"


def truth(seed: int = 5) -> dict[str, NDArray[np.float32]]:
    """Give the value of every variable, site and day: shape (site, day), mm/day and degC.

    Rain comes on every third day or so and runs off from a linear reservoir after evaporation.
    """
    random = np.random.default_rng(seed)
    shape = (len(SITES), HORIZON_DAYS)
    season = np.cos(2 * np.pi * (np.arange(HORIZON_DAYS) - 200) / 365.25)
    rain = np.where(random.random(shape) < 0.35, random.gamma(1.2, 7.0, shape), 0.0)
    temperature = 9.0 + 9.0 * season + random.normal(0.0, 2.0, shape)
    evaporation = 1.6 + 1.4 * season + np.zeros(shape)
    flow, stored = np.zeros(shape), np.full(len(SITES), 20.0)
    recession = np.linspace(0.03, 0.12, len(SITES))
    for day in range(HORIZON_DAYS):
        stored = np.maximum(stored + rain[:, day] - 0.7 * evaporation[:, day], 1.0)
        flow[:, day] = recession * stored
        stored -= flow[:, day]
    made = (rain, temperature, evaporation, flow)
    return {name: values.round(2).astype(np.float32) for name, values in zip(VARIABLES, made, strict=True)}


class Source:
    """Tables of stations, one file a site; each new day replaces the files one by one, whole.

    Attributes
    ----------
    days : how many days the source has, if it is not broken.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.series = folder / "observed", folder / "observed"
        self.truth = truth()
        self.days = START_DAYS
        self.broken = ""
        self.lock = threading.Lock()
        dates = FIRST + np.arange(HORIZON_DAYS)
        columns = np.stack([self.truth[name] for name in VARIABLES], axis=-1)
        self._rows = [
            [
                f"{day},{','.join(f'{value:.2f}' for value in row)}\n"
                for day, row in zip(dates, site, strict=True)
            ]
            for site in columns
        ]
        self.folder.mkdir(parents=True)
        places = np.linspace(0.0, 1.0, len(SITES))
        table = pd.DataFrame({"site": SITES, "latitude": 46.0 + places, "longitude": 7.0 + 3 * places})
        table.assign(area=100.0 + 50.0 * places, slope=places).to_csv(folder / "stations.csv", index=False)
        self._write()

    @property
    def last(self) -> np.datetime64:
        """The newest day that the source has, or would have if it were not broken."""
        return FIRST + self.days - 1

    def advance(self) -> None:
        """Add a day; to a source that is broken it comes with the repair."""
        with self.lock:
            self.days += 1
            if not self.broken:
                self._write()

    def take_away(self) -> str:
        """Let the folder be gone."""
        with self.lock:
            self.broken = "gone"
            self.folder.rename(self.folder.with_name("elsewhere"))
        return "the folder is gone"

    def cut(self, site: int, share: float) -> str:
        """Leave one file as a writer does that was killed: a share of its bytes.

        A share of 1 cuts within the last number.
        """
        with self.lock:
            self.broken = "cut"
            file = self._file(site)
            size = file.stat().st_size
            left = min(int(share * size), size - 2)
            os.truncate(file, left)
        return f"{file.name} has {left} of {size} bytes"

    def withdraw(self) -> str:
        """Write all files without a column that they had."""
        with self.lock:
            self.broken = "withdrawn"
            self._write()
        return f"no file has the column {WITHDRAWN}"

    def repair(self) -> None:
        """Have all days and columns again."""
        with self.lock:
            elsewhere = self.folder.with_name("elsewhere")
            if elsewhere.exists():
                elsewhere.rename(self.folder)
            self.broken = ""
            self._write()

    def _file(self, site: int) -> Path:
        return self.folder / f"{SITES[site]}.csv"

    def _write(self) -> None:
        names = [name for name in VARIABLES if not (self.broken == "withdrawn" and name == WITHDRAWN)]
        for site, rows in enumerate(self._rows):
            kept = rows[: self.days]
            if len(names) < len(VARIABLES):  # the withdrawn column is the last
                kept = [f"{row.rpartition(',')[0]}\n" for row in kept]
            part = self._file(site).with_suffix(".new")
            part.write_text("".join([f"date,{','.join(names)}\n", *kept]))
            part.replace(self._file(site))

    def remove(self) -> None:
        """Delete all of it."""
        shutil.rmtree(self.folder, ignore_errors=True)
