"""Reader of Caravan's folder layout (Kratzert et al. 2023, doi:10.1038/s41597-023-01975-w).

``attributes/<subset>/attributes_*_<subset>.csv`` and ``timeseries/netcdf/<subset>/<basin>.nc``, or
``timeseries/csv/<subset>/<basin>.csv``. Basins are named ``<subset>_<gauge>``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from thalweg.storage.errors import InputError
from thalweg.storage.sources import daily_csv, netcdf
from thalweg.storage.sources.blocks import Series, canonical, ordered, read_block
from thalweg.storage.sources.catalog import Catalog, refuse_far, stamp, unchanged
from thalweg.storage.sources.describe import huc_regions
from thalweg.storage.sources.options import (
    add_evapotranspiration,
    evapotranspiration_method,
    folder,
    read_attributes,
    require_sites,
    site_list,
    static_variables,
)
from thalweg.storage.suggestions import refuse_unknown, suggest
from thalweg.storage.units import convert
from thalweg.storage.variables import VARIABLES

# Caravan's own potential evaporation (ERA5-Land) is left out: its median is near 4,900 mm a year.
DEFAULT_VARIABLES = {
    "total_precipitation_sum": "precipitation",
    "temperature_2m_mean": "temperature",
    "temperature_2m_min": "temperature_min",
    "temperature_2m_max": "temperature_max",
    "streamflow": "discharge",
}
REQUIRED = ("total_precipitation_sum", "temperature_2m_mean", "streamflow")

# Units of the columns of Caravan, for files that carry no units of their own.
CARAVAN_UNITS = {
    "total_precipitation_sum": "mm/day",
    "streamflow": "mm/day",
    "surface_net_solar_radiation_mean": "W/m2",
    "surface_pressure_mean": "kPa",
}
REFERENCES = "Kratzert et al. (2023), doi:10.1038/s41597-023-01975-w"
TIME = "date"


class _Basin(NamedTuple):
    """File of one basin, what it looked like, and what its header tells (or why not)."""

    file: Path
    stamp: str
    columns: list[str]
    period: tuple[date, date] | None
    problem: str


class Caravan:
    """Basins of a Caravan folder, from netCDF or CSV files, of any sub-data sets.

    Parameters
    ----------
    path : path
        The folder with ``attributes/`` and ``timeseries/``.
    subsets : list of str, optional
        Such as ``[camels, camelsgb]``; by default all under ``timeseries/``.
    sites : list of str or path, optional
        Names such as ``camels_01022500``, or a text file with one a line; by default all.
    variables : mapping, optional
        Caravan's names to canonical names, in place of the default: precipitation, mean temperature
        and streamflow, and the extremes of temperature where they are there.
    potential_evapotranspiration : str
        ``oudin``, ``hargreaves`` or ``auto``; not computed where `variables` names a column for it.

    Raises
    ------
    InputError
        If a folder, file, variable or site is missing, or a unit is not convertible; by the methods,
        not when it is made.
    """

    def __init__(
        self,
        path: str | Path,
        subsets: Sequence[str] | None = None,
        sites: Sequence[str] | str | Path | None = None,
        variables: Mapping[str, str] | None = None,
        potential_evapotranspiration: str = "auto",
    ) -> None:
        self.path, self.subsets, self.sites = path, subsets, sites
        self.names = dict(variables or DEFAULT_VARIABLES)
        self.required = tuple(variables) if variables else REQUIRED
        self.potential_evapotranspiration = potential_evapotranspiration

    @cached_property
    def _files(self) -> dict[str, Path]:
        """Return the file of every basin, sorted by name; netCDF before CSV."""
        refuse_unknown(self.names.values(), VARIABLES, "canonical variable in 'variables' of source caravan")
        root = folder(self.path, "a Caravan folder with attributes/ and timeseries/")
        series = folder(root / "timeseries", "Caravan's folder of time series (netcdf/ or csv/)")
        known = {
            each.name for kind in ("netcdf", "csv") for each in (series / kind).glob("*") if each.is_dir()
        }
        wanted = sorted(known) if self.subsets is None else [str(subset) for subset in self.subsets]
        refuse_unknown(wanted, known, f"subset under {series}")
        found: dict[str, Path] = {}
        for kind, ending in (("csv", ".csv"), ("netcdf", ".nc")):
            for subset in wanted:
                found |= {file.stem: file for file in (series / kind / subset).glob(f"*{ending}")}
        if not found:
            raise InputError(
                f"{series}: no basins; netcdf/<subset>/<basin>.nc or csv/<subset>/<basin>.csv are needed"
            )
        sites = site_list(self.sites)
        for site in sites or []:
            if site not in found:
                raise InputError(f"site {site!r}: no file under {series}; {suggest(site, found)}")
        return {site: found[site] for site in sorted(found if sites is None else sites)}

    @cached_property
    def _basins(self) -> dict[str, _Basin]:
        files = self._files
        tables = {subset: stamp(*each) for subset, each in self._tables.items()}
        return {site: _look_at(file, tables[file.parent.name]) for site, file in files.items()}

    @cached_property
    def _tables(self) -> dict[str, list[Path]]:
        """Return the attribute tables of each subset that has sites."""
        subsets = sorted({file.parent.name for file in self._files.values()})
        top = folder(Path(self.path).expanduser() / "attributes", "Caravan's folder of attribute tables")
        tables = {}
        for subset in subsets:
            tables[subset] = sorted((top / subset).glob("attributes_*.csv"))
            if not tables[subset]:
                raise InputError(
                    f"{top / subset}: no attributes_*.csv; the attributes of subset {subset!r} are needed"
                )
        return tables

    @cached_property
    def _table(self) -> pd.DataFrame:
        """Return all attribute tables, joined: one row a site."""
        parts = [
            pd.concat([read_attributes(file, "gauge_id") for file in files], axis=1)
            for files in self._tables.values()
        ]
        table = pd.concat([part.loc[:, ~part.columns.duplicated()] for part in parts])
        top = Path(self.path) / "attributes"
        for name in ("gauge_lat", "gauge_lon"):
            if name not in table:
                raise InputError(
                    f"{top}: no column {name!r} in any attributes_*.csv; attributes_other_*.csv has it"
                )
        return require_sites(self._files, table, str(top))

    @cached_property
    def _found(self) -> list[str]:
        """Return the canonical variables that any basin has."""
        there = {name for basin in self._basins.values() for name in basin.columns}
        return [target for name, target in self.names.items() if name in there]

    @cached_property
    def _method(self) -> str:
        """Return how potential evapotranspiration is computed; empty where a column gives it."""
        if "potential_evapotranspiration" in self.names.values():
            return ""
        readable = [set(basin.columns) for basin in self._basins.values() if basin.period]
        here = [{target for name, target in self.names.items() if name in columns} for columns in readable]
        extremes = all({"temperature_min", "temperature_max"} <= each for each in here)
        return evapotranspiration_method(
            self.potential_evapotranspiration, extremes, "temperature" in self._found
        )

    def catalog(self) -> Catalog:
        """Return sites, period (the union of all basins' periods) and files."""
        periods = {site: basin.period for site, basin in self._basins.items() if basin.period}
        if not periods:
            raise InputError(next(basin.problem for basin in self._basins.values()))
        for name in self.required:
            if not any(name in basin.columns for basin in self._basins.values()):
                _refuse_columns(next(basin for basin in self._basins.values() if basin.period), [name])
        _ = self._method  # refused here, before anything is read
        return Catalog(
            sites=tuple(self._basins),
            first=min(first for first, _ in periods.values()),
            last=max(last for _, last in periods.values()),
            bytes=sum(int(basin.stamp.split("; ")[0].rsplit(" ", 2)[1]) for basin in self._basins.values()),
            stamps={site: basin.stamp for site, basin in self._basins.items()},
            periods=periods,
        )

    def attributes(self) -> xr.Dataset:
        """Return coordinates, hydrologic regions of CAMELS-US gauges and static attributes."""
        table, regions = self._table, huc_regions()
        region = [
            regions.get(gauge, "") if subset == "camels" else ""
            for subset, _, gauge in (site.partition("_") for site in self._files)
        ]
        coords = {
            "site": np.array(list(self._files), dtype=object),
            "latitude": ("site", table["gauge_lat"].to_numpy(dtype=float)),
            "longitude": ("site", table["gauge_lon"].to_numpy(dtype=float)),
            "region": (
                "site",
                np.array(region, dtype=object),
                {"long_name": "two-digit hydrologic region (HUC-2)"},
            ),
        }
        if "gauge_name" in table:
            names = table["gauge_name"].fillna("").astype(str).to_numpy(dtype=object)
            coords["gauge_name"] = ("site", names, {"long_name": "name of the gauge"})
        static = table.drop(columns=["gauge_lat", "gauge_lon", "gauge_name"], errors="ignore")
        attrs = {"title": "Caravan", "references": REFERENCES, "license": "CC-BY-4.0"}
        return xr.Dataset(static_variables(static, "caravan"), coords=coords, attrs=attrs)

    def read(self, sites: Sequence[str], first: date, last: date) -> xr.Dataset:
        """Return series of sites and days, and potential evapotranspiration."""
        dataset = read_block(sites, first, last, canonical(self._found), self._read_site)
        if not self._method:
            return dataset
        latitude = self._table.loc[list(sites), "gauge_lat"].to_numpy(dtype=float)
        return add_evapotranspiration(dataset, self._method, latitude)

    def _read_site(self, site: str) -> Series:
        basin = self._basins[site]
        file = basin.file
        with unchanged((file,), basin.stamp):
            if basin.period is None:
                raise InputError(basin.problem)
            _refuse_columns(basin, self.required)
            days, values, units = _read(file, [name for name in self.names if name in basin.columns])
        columns: dict[str, NDArray[np.floating]] = {}
        for name, column in values.items():
            target = self.names[name]
            unit = units.get(name) or CARAVAN_UNITS.get(name) or VARIABLES[target].units
            columns[target] = convert(column, unit, VARIABLES[target].units, f"{file}: variable {name!r}")
        return ordered(days, columns, site, file)


def _refuse_columns(basin: _Basin, required: Sequence[str]) -> None:
    for name in required:
        if name not in basin.columns:
            raise InputError(f"{basin.file}: no variable {name!r}; it has {', '.join(basin.columns)}")


def _look_at(file: Path, tables: str) -> _Basin:
    """Return a basin's file; new attribute tables count as new data of every basin."""
    before = f"{stamp(file)}; {tables}"
    try:
        if file.suffix == ".nc":
            columns, days = netcdf.columns_and_days(file, TIME)
            if days.size == 0:
                raise InputError(f"{file}: no days")
            ends = [days.min(), days.max()]
        else:
            columns, *ends = daily_csv.outline(file, TIME)
        first, last = (day.astype(object) for day in ends)
        refuse_far(first, last, file)
        return _Basin(file, before, columns, (first, last), "")
    except InputError as problem:
        return _Basin(file, before, [], None, str(problem))
    except Exception as problem:
        return _Basin(file, before, [], None, f"{file}: cannot be read: {problem}")


def _read(
    file: Path, names: list[str]
) -> tuple[NDArray[np.datetime64], dict[str, NDArray[np.float64]], dict[str, str]]:
    try:
        if file.suffix == ".nc":
            return netcdf.read_columns(file, TIME, names)
        return *daily_csv.read(file, TIME, names), {}
    except InputError:
        raise
    except Exception as problem:
        raise InputError(f"{file}: cannot be read: {problem}") from problem
