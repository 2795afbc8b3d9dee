"""One run's folder, read: what is missing, half-written or newer is said, never raised."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import xarray as xr
from pandas.api.types import is_numeric_dtype

from thalweg.storage import run_sharing
from thalweg.storage.run_folder import FORMAT, HISTORY_COLUMNS, PLACE_COLUMNS

RUN_NAME = re.compile(r"(?P<model>.+?)--(?P<split>.+?)--(?P<fold>.+)--s(?P<seed>\d+)")
# A run's manifest is written once its data are read: until then there is none to miss.
NOT_BEGUN = ("waiting", "running")
MISSING_MANIFEST = "manifest.json: missing"
_Content = TypeVar("_Content")


@dataclass
class Run:
    """One run's folder as it was when this object was made; make another to see news.

    Attributes
    ----------
    path : the run's folder.
    manifest, status : what ``manifest.json`` and ``status.json`` hold, empty where unreadable.
    problems : what could not be read so far and why, one line each.
    """

    path: Path
    manifest: dict[str, Any] = field(init=False)
    status: dict[str, Any] = field(init=False)
    problems: list[str] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.manifest = self._json("manifest.json")
        self.status = self._json("status.json")
        if self.state in NOT_BEGUN and not self.manifest:
            self.problems = [problem for problem in self.problems if problem != MISSING_MANIFEST]
        version = self.manifest.get("format", FORMAT)
        if not isinstance(version, int) or version > FORMAT:
            self._problem(f"manifest.json: format {version!r} is unknown here (newest known: {FORMAT})")

    @property
    def id(self) -> str:
        """``<experiment>/<run>``, after the folders' names."""
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def experiment(self) -> str:
        """The experiment's name: its folder's, so that a copy of an experiment is another one."""
        return self.path.parent.name or str(self.manifest.get("experiment", ""))

    @property
    def model(self) -> str:
        """The model's name in the experiment."""
        return str(self._cell("model"))

    @property
    def kind(self) -> str:
        """What sort of model it is: ``hybrid``, ``lstm``, ``calibrated``, ``floor``, ...; or empty."""
        return str(self.manifest.get("kind", ""))

    @property
    def split(self) -> str:
        """The split's name."""
        return str(self._cell("split"))

    @property
    def fold(self) -> str:
        """The fold's label."""
        return str(self._cell("fold"))

    @property
    def seed(self) -> int:
        """The seed; 0 for what has none."""
        try:
            return int(self._cell("seed") or 0)
        except (TypeError, ValueError):
            return 0

    @property
    def state(self) -> str:
        """``waiting``, ``running``, ``done``, ``failed``, ``stopped``; ``unknown`` where unreadable."""
        return str(self.status.get("state", "unknown"))

    def history(self) -> pd.DataFrame:
        """Give the training curve, one row an epoch; empty where there is none."""
        table = self._read("history.csv", pd.read_csv, HISTORY_COLUMNS)
        return pd.DataFrame(columns=list(HISTORY_COLUMNS)) if table is None else table

    def metrics(self) -> pd.DataFrame:
        """Give one row a test site and one column a metric; empty where there is none."""
        table = self._read("metrics.parquet", _read_sites, PLACE_COLUMNS)
        return pd.DataFrame(columns=list(PLACE_COLUMNS)) if table is None else table

    def validation(self) -> pd.DataFrame:
        """Give one row a validation site and one column a metric; empty where there is none."""
        table = self._read("validation.parquet", _read_sites, PLACE_COLUMNS)
        return pd.DataFrame(columns=list(PLACE_COLUMNS)) if table is None else table

    def predictions(self) -> xr.Dataset | None:
        """Give ``simulated`` and ``observed`` over ``(site, time)`` (mm/day), read when used; or None."""
        return self._read("predictions.zarr", _open_zarr, ("simulated", "observed"))

    def forecast(self) -> xr.Dataset | None:
        """Give the distribution of a model that has one, test period, read when used; or None.

        :func:`thalweg.storage.run_series.forecast_of` says what is in it.
        """
        return self._read("forecast.zarr", _open_zarr, ())

    def validated(self) -> xr.Dataset | None:
        """Give what :meth:`predictions` gives, of the validation part; or None."""
        return self._read("validated.zarr", _open_zarr, ("simulated", "observed"))

    def validated_forecast(self) -> xr.Dataset | None:
        """Give what :meth:`forecast` gives, of the validation part; or None."""
        return self._read("validated_forecast.zarr", _open_zarr, ())

    def parameters(self) -> xr.Dataset | None:
        """Give parameters over ``(site, component)`` or ``(site, time)``, read when used; or None."""
        return self._read("parameters.zarr", _open_zarr, ())

    def fluxes(self) -> xr.Dataset | None:
        """Give fluxes (mm/day) and states (mm) over ``(site, time)``, read when used; or None."""
        return self._read("fluxes.zarr", _open_zarr, ())

    def _cell(self, key: str) -> Any:
        if key in self.manifest:
            return self.manifest[key]
        parts = RUN_NAME.fullmatch(self.path.name)
        return parts[key] if parts else ""

    def _json(self, name: str) -> dict[str, Any]:
        def read(path: Path) -> dict[str, Any]:
            content = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(content, dict):
                raise ValueError(f"holds a {type(content).__name__}, not an object")
            return content

        return self._read(name, read, (), must_be=True) or {}

    def _read(
        self, name: str, read: Callable[[Path], _Content], needs: Iterable[str], must_be: bool = False
    ) -> _Content | None:
        """Read a file that may be absent (None), or damaged in any way a reader can trip over (None)."""
        path = self.path / name
        try:
            if path.suffix == ".zarr":
                run_sharing.fetch(path)
            if not path.exists():
                if must_be:
                    self._problem(f"{name}: missing")
                return None
            content = read(path)
            missing = [key for key in needs if key not in content]  # type: ignore[operator]
        except Exception as error:  # the readers of four formats raise whatever they like
            reason = " ".join(str(error).split()) or type(error).__name__
            self._problem(f"{name}: cannot be read ({reason[:200]})")
            return None
        if missing:
            self._problem(f"{name}: lacks {', '.join(missing)}")
            return None
        return content

    def _problem(self, message: str) -> None:
        if message not in self.problems:
            self.problems.append(message)


def _read_sites(path: Path) -> pd.DataFrame:
    """Metrics by site: names that are texts and stand once, and numbers."""
    table = pd.read_parquet(path)
    if "site" in table:
        table["site"] = table["site"].astype(str)
        if table["site"].duplicated().any():
            raise ValueError(f"{table['site'].duplicated().sum()} sites stand twice")
    told = table.drop(columns=list(PLACE_COLUMNS), errors="ignore").dropna(axis="columns", how="all")
    wrong = [str(name) for name in told if not is_numeric_dtype(told[name])]
    if wrong:
        raise ValueError(f"not numbers: {', '.join(wrong[:5])}")
    return table


def _open_zarr(path: Path) -> xr.Dataset:
    dataset: xr.Dataset = xr.open_zarr(path, chunks=None)
    return dataset
