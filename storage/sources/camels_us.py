"""Reader of the official layout of CAMELS-US (Newman et al. 2015, Addor et al. 2017).

``basin_mean_forcing/<forcing>/<HUC-2>/<gauge>_lump_*_forcing_leap.txt``,
``usgs_streamflow/<HUC-2>/<gauge>_streamflow_qc.txt`` and ``camels_attributes_v2.0/camels_*.txt``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from thalweg.storage.errors import InputError
from thalweg.storage.sources.camels_us_files import Forcing, read_flow, read_forcing
from thalweg.storage.sources.options import (
    add_evapotranspiration,
    folder,
    in_parallel,
    require_sites,
    site_list,
    static_variables,
)
from thalweg.storage.suggestions import suggest
from thalweg.storage.variables import VARIABLES

CUBIC_METRES_PER_CUBIC_FOOT = 0.0283168466
SECONDS_PER_DAY = 86400.0

TABLES = ("name", "topo", "clim", "soil", "geol", "vege", "hydro")
REFERENCES = (
    "Newman et al. (2015), doi:10.5194/hess-19-209-2015; Addor et al. (2017), doi:10.5194/hess-21-5293-2017"
)


def read_camels_us(
    path: str | Path,
    forcing: str = "maurer_extended",
    sites: Sequence[str] | str | Path | None = None,
    potential_evapotranspiration: str = "auto",
) -> xr.Dataset:
    """Read basins of CAMELS-US.

    Discharge (ft3/s) becomes mm/day with the area in the forcing file's header. Days flagged ``M``
    or with -999 are NaN. The mean temperature is the mean of the daily extremes.

    Parameters
    ----------
    path : path
        The folder with ``basin_mean_forcing/``, ``usgs_streamflow/`` and ``camels_attributes_v2.0/``,
        or one that holds the official folders ``basin_dataset_public_v1p2/`` and
        ``camels_attributes_v2.0/``.
    forcing : str
        A folder of ``basin_mean_forcing/``: ``daymet``, ``maurer``, ``maurer_extended``, ``nldas``
        or ``nldas_extended``.
    sites : list of str or path, optional
        Gauges such as ``01022500`` (or ``camels_01022500``), or a text file with one a line.
    potential_evapotranspiration : str
        ``oudin``, ``hargreaves`` or ``auto``.

    Returns
    -------
    xarray.Dataset
        Dims ``(site, time)``, sites named ``camels_<gauge>``; the period is that of the forcing.

    Raises
    ------
    InputError
        If a folder, file, column or site is missing.
    """
    root = folder(path, "a CAMELS-US folder")
    meteorology = _find(root, "basin_mean_forcing")
    there = sorted(each.name for each in meteorology.iterdir() if each.is_dir())
    if forcing not in there:
        raise InputError(f"{meteorology}: no forcing {forcing!r}; {suggest(forcing, there)}")
    forcing_files = _files(meteorology / forcing, "_forcing_leap.txt")
    flow_files = _files(_find(root, "usgs_streamflow"), "_streamflow_qc.txt")
    gauges = [site.removeprefix("camels_") for site in site_list(sites, "camels_") or sorted(forcing_files)]
    for gauge in gauges:
        for files, what in ((forcing_files, f"{forcing} forcing"), (flow_files, "streamflow")):
            if gauge not in files:
                raise InputError(f"site {gauge!r}: no {what} file under {root}; {suggest(gauge, files)}")
    table = require_sites(
        sorted(gauges), _tables(_find(root, "camels_attributes_v2.0")), "camels_attributes_v2.0"
    )
    forcings = in_parallel(read_forcing, [(forcing_files[gauge],) for gauge in table.index])
    start = min(each.first for each in forcings)
    length = max(
        int((each.first - start).astype(int)) + each.columns["precipitation"].size for each in forcings
    )
    flows = in_parallel(read_flow, [(flow_files[gauge], start, length) for gauge in table.index])
    dataset = _assemble(forcings, flows, start, length)
    dataset.attrs = {"title": f"CAMELS-US, {forcing} forcing", "references": REFERENCES}
    return add_evapotranspiration(_with_attributes(dataset, table, forcings), potential_evapotranspiration)


def _find(root: Path, name: str) -> Path:
    """Return the folder `name`, in `root` or where the official archives put it."""
    archive = "basin_dataset_public_v1p2"
    places = ("", archive, f"basin_timeseries_v1p2_metForcing_obsFlow/{archive}")
    for place in places:
        if (root / place / name).is_dir():
            # The archive of attributes holds a folder of its own name.
            inner = root / place / name / name
            return inner if inner.is_dir() else root / place / name
    there = ", ".join(sorted(each.name for each in root.iterdir())[:8])
    raise InputError(f"{root}: no folder {name}; it has {there or 'nothing'}")


def _files(top: Path, ending: str) -> dict[str, Path]:
    """Return the file of every gauge; some lie in another region's folder than their number says."""
    return {file.name.partition("_")[0]: file for file in top.glob(f"*/*{ending}")}


def _assemble(
    forcings: list[Forcing], flows: list[NDArray[np.float64]], start: np.datetime64, length: int
) -> xr.Dataset:
    """Return forcing and discharge of all basins over ``(site, time)``, float32."""
    data = {
        name: np.full((len(forcings), length), np.nan, dtype=np.float32)
        for name in forcings[0].columns
        if all(name in each.columns for each in forcings)
    }
    for row, each in enumerate(forcings):
        offset = int((each.first - start).astype(int))
        for name, values in data.items():
            values[row, offset : offset + each.columns[name].size] = each.columns[name]
    depth = CUBIC_METRES_PER_CUBIC_FOOT * SECONDS_PER_DAY * 1000.0
    areas = np.array([each.area for each in forcings])
    data["discharge"] = (np.stack(flows) * depth / areas[:, None]).astype(np.float32)
    days = pd.date_range(pd.Timestamp(start), periods=length, freq="D", unit="ns")
    variables = {
        name: (("site", "time"), values, VARIABLES[name].attributes) for name, values in data.items()
    }
    return xr.Dataset(variables, coords={"time": days})


def _tables(top: Path) -> pd.DataFrame:
    """Return the attribute tables of v2.0, joined: one row a gauge."""
    tables = []
    for kind in TABLES:
        file = top / f"camels_{kind}.txt"
        if not file.is_file():
            raise InputError(
                f"{file}: no such file; the attribute tables {', '.join(TABLES)} of v2.0 are needed"
            )
        tables.append(
            pd.read_csv(file, sep=";", dtype={"gauge_id": str, "huc_02": str}).set_index("gauge_id")
        )
    return pd.concat(tables, axis=1)


def _with_attributes(dataset: xr.Dataset, table: pd.DataFrame, forcings: list[Forcing]) -> xr.Dataset:
    """Add coordinates and static attributes; `table` has the rows of the dataset's sites in order."""
    dataset = dataset.assign_coords(
        site=("site", np.array([f"camels_{gauge}" for gauge in table.index], dtype=object)),
        latitude=("site", table["gauge_lat"].to_numpy(dtype=float)),
        longitude=("site", table["gauge_lon"].to_numpy(dtype=float)),
        region=(
            "site",
            table["huc_02"].astype(str).to_numpy(dtype=object),
            {"long_name": "two-digit hydrologic region (HUC-2)"},
        ),
        gauge_name=(
            "site",
            table["gauge_name"].astype(str).to_numpy(dtype=object),
            {"long_name": "name of the gauge"},
        ),
    )
    static = table.drop(columns=["gauge_lat", "gauge_lon", "huc_02", "gauge_name"])
    static = static.assign(area=[each.area * 1e-6 for each in forcings])
    return dataset.assign(static_variables(static, "camels_us"))
