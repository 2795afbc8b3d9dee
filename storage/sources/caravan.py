"""Reader of Caravan's folder layout (Kratzert et al. 2023, doi:10.1038/s41597-023-01975-w).

``attributes/<subset>/attributes_*_<subset>.csv`` and ``timeseries/netcdf/<subset>/<basin>.nc``, or
``timeseries/csv/<subset>/<basin>.csv``. Basins are named ``<subset>_<gauge>``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from thalweg.storage.errors import InputError
from thalweg.storage.sources.describe import huc_regions
from thalweg.storage.sources.options import (
    add_evapotranspiration,
    folder,
    in_parallel,
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


def read_caravan(
    path: str | Path,
    subsets: Sequence[str] | None = None,
    sites: Sequence[str] | str | Path | None = None,
    variables: Mapping[str, str] | None = None,
    potential_evapotranspiration: str = "auto",
) -> xr.Dataset:
    """Read basins of a Caravan folder.

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

    Returns
    -------
    xarray.Dataset
        Dims ``(site, time)``; the period is the union of all basins' periods.

    Raises
    ------
    InputError
        If a folder, file, variable or site is missing, or a unit is not convertible.
    """
    root = folder(path, "a Caravan folder with attributes/ and timeseries/")
    required = tuple(variables) if variables else REQUIRED
    names = dict(variables or DEFAULT_VARIABLES)
    refuse_unknown(names.values(), VARIABLES, "canonical variable in 'variables' of source caravan")
    files = _select(_files(root, subsets), site_list(sites), root)
    table = _attributes(root, files)
    frames = in_parallel(_read_basin, [(file, names, required) for file in files.values()])
    days = pd.date_range(
        min(frame.index[0] for frame in frames), max(frame.index[-1] for frame in frames), freq="D", unit="ns"
    )
    found = [name for name in names.values() if any(name in frame for frame in frames)]
    data = {name: np.full((len(files), len(days)), np.nan, dtype=np.float32) for name in found}
    for row, frame in enumerate(frames):
        position = days.get_indexer(frame.index)
        for name in frame.columns:
            data[name][row, position] = frame[name].to_numpy(dtype=np.float32)
    dataset = xr.Dataset(
        {name: (("site", "time"), data[name], VARIABLES[name].attributes) for name in found},
        coords={"site": np.array(list(files), dtype=object), "time": days},
        attrs={"title": "Caravan", "references": REFERENCES, "license": "CC-BY-4.0"},
    )
    dataset = _with_attributes(dataset, table)
    if "potential_evapotranspiration" in dataset:
        return dataset
    return add_evapotranspiration(dataset, potential_evapotranspiration)


def _files(root: Path, subsets: Sequence[str] | None) -> dict[str, Path]:
    """Return the file of every basin, sorted by name; netCDF before CSV."""
    series = folder(root / "timeseries", "Caravan's folder of time series (netcdf/ or csv/)")
    found: dict[str, Path] = {}
    known = {each.name for kind in ("netcdf", "csv") for each in (series / kind).glob("*") if each.is_dir()}
    wanted = list(known) if subsets is None else [str(subset) for subset in subsets]
    refuse_unknown(wanted, known, f"subset under {series}")
    for kind, ending in (("csv", ".csv"), ("netcdf", ".nc")):
        for subset in wanted:
            found |= {file.stem: file for file in (series / kind / subset).glob(f"*{ending}")}
    if not found:
        raise InputError(
            f"{series}: no basins; netcdf/<subset>/<basin>.nc or csv/<subset>/<basin>.csv are needed"
        )
    return dict(sorted(found.items()))


def _select(files: dict[str, Path], sites: list[str] | None, root: Path) -> dict[str, Path]:
    for site in sites or []:
        if site not in files:
            raise InputError(f"site {site!r}: no file under {root / 'timeseries'}; {suggest(site, files)}")
    return files if sites is None else {site: files[site] for site in sorted(sites)}


def _read_basin(file: Path, names: Mapping[str, str], required: Sequence[str]) -> pd.DataFrame:
    """Return one basin's series by canonical name, in canonical units, indexed by day."""
    try:
        frame, units = _read_netcdf(file, names) if file.suffix == ".nc" else _read_csv(file, names)
    except InputError:
        raise
    except Exception as problem:
        raise InputError(f"{file}: cannot be read: {problem}") from problem
    for name in required:
        if name not in frame:
            there = ", ".join(map(str, frame.attrs["columns"]))
            raise InputError(f"{file}: no variable {name!r}; it has {there}")
    if frame.empty:
        raise InputError(f"{file}: no days")
    if frame.index.has_duplicates:
        raise InputError(f"{file}: {frame.index[frame.index.duplicated()][0].date()} occurs twice")
    result = {}
    for name, target in names.items():
        if name in frame:
            unit = units.get(name) or CARAVAN_UNITS.get(name) or VARIABLES[target].units
            values = frame[name].to_numpy(dtype=np.float64)
            result[target] = convert(values, unit, VARIABLES[target].units, f"{file}: variable {name!r}")
    return pd.DataFrame(result, index=frame.index).sort_index()


def _read_netcdf(file: Path, names: Mapping[str, str]) -> tuple[pd.DataFrame, dict[str, str]]:
    with xr.open_dataset(file, engine="h5netcdf", cache=False) as dataset:
        if "date" not in dataset.coords:
            raise InputError(f"{file}: no coordinate 'date'; it has {', '.join(map(str, dataset.variables))}")
        columns = [name for name in names if name in dataset]
        days = pd.DatetimeIndex(dataset["date"].values).floor("D").as_unit("ns")
        frame = pd.DataFrame({name: dataset[name].values for name in columns}, index=days)
        frame.attrs["columns"] = list(dataset.data_vars)
        return frame, {name: str(dataset[name].attrs.get("units", "")) for name in columns}


def _read_csv(file: Path, names: Mapping[str, str]) -> tuple[pd.DataFrame, dict[str, str]]:
    header = list(pd.read_csv(file, nrows=0).columns)
    if "date" not in header:
        raise InputError(f"{file}: no column 'date'; it has {', '.join(header)}")
    columns = [name for name in names if name in header]
    frame = pd.read_csv(file, usecols=["date", *columns], parse_dates=["date"], index_col="date")
    frame.index = pd.DatetimeIndex(frame.index).floor("D").as_unit("ns")
    frame.attrs["columns"] = [name for name in header if name != "date"]
    return frame, {}


def _attributes(root: Path, files: Mapping[str, Path]) -> pd.DataFrame:
    """Return all attribute tables of the sites' subsets, joined: one row a site."""
    top = folder(root / "attributes", "Caravan's folder of attribute tables")
    tables = []
    for subset in sorted({file.parent.name for file in files.values()}):
        parts = [_read_table(file) for file in sorted((top / subset).glob("attributes_*.csv"))]
        if not parts:
            raise InputError(
                f"{top / subset}: no attributes_*.csv; the attributes of subset {subset!r} are needed"
            )
        tables.append(pd.concat(parts, axis=1))
    table = pd.concat(tables)
    if table.columns.has_duplicates:
        table = table.loc[:, ~table.columns.duplicated()]
    for name in ("gauge_lat", "gauge_lon"):
        if name not in table:
            raise InputError(
                f"{top}: no column {name!r} in any attributes_*.csv; attributes_other_*.csv has it"
            )
    return require_sites(files, table, str(top))


def _read_table(file: Path) -> pd.DataFrame:
    table = pd.read_csv(file, dtype={"gauge_id": str})
    if "gauge_id" not in table:
        raise InputError(f"{file}: no column 'gauge_id'; it has {', '.join(map(str, table.columns[:8]))}")
    if table["gauge_id"].duplicated().any():
        raise InputError(f"{file}: {table['gauge_id'][table['gauge_id'].duplicated()].iloc[0]} occurs twice")
    return table.set_index("gauge_id")


def _with_attributes(dataset: xr.Dataset, table: pd.DataFrame) -> xr.Dataset:
    """Add coordinates, hydrologic regions of CAMELS-US gauges and static attributes."""
    regions = huc_regions()
    region = [
        regions.get(gauge, "") if subset == "camels" else ""
        for subset, _, gauge in (str(site).partition("_") for site in dataset["site"].values)
    ]
    dataset = dataset.assign_coords(
        latitude=("site", table["gauge_lat"].to_numpy(dtype=float)),
        longitude=("site", table["gauge_lon"].to_numpy(dtype=float)),
        region=("site", np.array(region, dtype=object), {"long_name": "two-digit hydrologic region (HUC-2)"}),
    )
    if "gauge_name" in table:
        names = table["gauge_name"].fillna("").astype(str).to_numpy(dtype=object)
        dataset = dataset.assign_coords(gauge_name=("site", names, {"long_name": "name of the gauge"}))
    static = table.drop(columns=["gauge_lat", "gauge_lon", "gauge_name"], errors="ignore")
    return dataset.assign(static_variables(static, "caravan"))
