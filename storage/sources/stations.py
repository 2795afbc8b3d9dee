"""The table of stations: names, coordinates and static attributes, one row a site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from thalweg.storage.errors import InputError
from thalweg.storage.sources.options import static_variables
from thalweg.storage.suggestions import refuse_unknown

COORDINATES = ("latitude", "longitude")
KEYS = ("file", "delimiter", "site", *COORDINATES, "area", "region", "gauge_name")
LIMITS = {"latitude": 90.0, "longitude": 360.0}


@dataclass(frozen=True)
class Stations:
    """A file of stations and its rows.

    Attributes
    ----------
    file : path
    table : pandas.DataFrame
        Indexed by site, sorted; columns ``latitude``, ``longitude`` (degrees), perhaps ``area`` (km2),
        ``region`` and ``gauge_name``, and any others as static attributes.
    """

    file: Path
    table: pd.DataFrame

    def attributes(self, kind: str) -> xr.Dataset:
        """Return coordinates and static variables over ``(site,)``."""
        coords: dict[str, Any] = {"site": np.array(self.table.index, dtype=object)}
        for name in COORDINATES:
            coords[name] = ("site", self.table[name].to_numpy(dtype=float))
        for name in ("region", "gauge_name"):
            if name in self.table:
                text = self.table[name].fillna("").astype(str).to_numpy(dtype=object)
                coords[name] = ("site", text)
        static = static_variables(self.table.drop(columns=[name for name in coords if name != "site"]), kind)
        if "area" in static:
            static["area"].attrs |= {"units": "km2", "long_name": "catchment area"}
        return xr.Dataset(static, coords=coords)


def read_stations(option: object, kind: str, sites: list[str] | None) -> Stations:
    """Read the table of stations.

    Parameters
    ----------
    option : path or mapping
        The CSV file, or a mapping with ``file`` and the file's own names of the columns ``site``,
        ``latitude``, ``longitude``, ``area`` (km2), ``region`` and ``gauge_name``, and ``delimiter``.
    kind : str
        Of the source, for errors.
    sites : list of str, optional
        Those to take; by default all.

    Raises
    ------
    InputError
        If the file, a column or a site is missing, a site occurs twice, or a coordinate is not in degrees.
    """
    keys: dict[str, Any] = dict(option) if isinstance(option, Mapping) else {"file": option}
    refuse_unknown(keys, KEYS, f"key in 'stations' of source {kind}")
    if not isinstance(keys.get("file"), str | Path):
        raise InputError(f"source {kind}: 'stations' is {option!r}; the CSV file of the stations is needed")
    file = Path(keys.pop("file")).expanduser()
    if not file.is_file():
        raise InputError(f"{file}: no such file; it should be the CSV table of the stations")
    delimiter = str(keys.pop("delimiter", ","))
    own = {str(keys.get(name, name)): name for name in KEYS[2:]}
    try:
        table = pd.read_csv(file, sep=delimiter, dtype={str(keys.get("site", "site")): str})
    except Exception as problem:
        raise InputError(f"{file}: cannot be read as a table of stations: {problem}") from problem
    table.columns = table.columns.str.strip()
    needed = {name: str(keys.get(name, name)) for name in ("site", *COORDINATES, *keys)}
    for name, column in needed.items():
        if column not in table:
            raise InputError(
                f"{file}: no column {column!r} for {name}; it has {', '.join(map(str, table.columns))}"
            )
    table = table.rename(columns=own)
    _check(table, file)
    table = table.set_index(table["site"].str.strip()).drop(columns="site").sort_index()
    if sites is not None:
        for site in sites:
            if site not in table.index:
                raise InputError(f"site {site!r}: no row in {file}")
        table = table.loc[sorted(sites)]
    return Stations(file, table)


def _check(table: pd.DataFrame, file: Path) -> None:
    if table.empty:
        raise InputError(f"{file}: no stations under the header")
    if table["site"].isna().any():
        raise InputError(f"{file}: line {int(np.argmax(table['site'].isna())) + 2}: no name of the site")
    twice = table["site"].str.strip().duplicated()
    if twice.any():
        raise InputError(
            f"{file}: line {int(np.argmax(twice)) + 2}: site {table['site'][twice].iloc[0]!r} again"
        )
    for name, limit in LIMITS.items():
        numbers = pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=float)
        wrong = ~(np.abs(numbers) <= limit)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InputError(
                f"{file}: line {row + 2}, column {name!r}: {str(table[name].iloc[row])!r}; degrees are needed"
            )
    if "area" in table:
        area = table["area"]
        wrong = (pd.to_numeric(area, errors="coerce").isna() & area.notna()).to_numpy()
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InputError(f"{file}: line {row + 2}, column 'area': {area.iloc[row]!r}; km2 are needed")
