"""Reader of the official layout of CAMELS-US (Newman et al. 2015, Addor et al. 2017).

``basin_mean_forcing/<forcing>/<HUC-2>/<gauge>_lump_*_forcing_leap.txt``,
``usgs_streamflow/<HUC-2>/<gauge>_streamflow_qc.txt`` and ``camels_attributes_v2.0/camels_*.txt``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from thalweg.storage.errors import InputError
from thalweg.storage.sources.blocks import Series, canonical, read_block
from thalweg.storage.sources.camels_us_files import (
    FORCING_COLUMNS,
    Outline,
    outline,
    read_flow,
    read_forcing,
)
from thalweg.storage.sources.catalog import Catalog, stamp, unchanged
from thalweg.storage.sources.options import (
    add_evapotranspiration,
    evapotranspiration_method,
    folder,
    read_attributes,
    require_sites,
    site_list,
    static_variables,
)
from thalweg.storage.suggestions import suggest

CUBIC_METRES_PER_CUBIC_FOOT = 0.0283168466
SECONDS_PER_DAY = 86400.0
DEPTH = CUBIC_METRES_PER_CUBIC_FOOT * SECONDS_PER_DAY * 1000.0  # ft3/s over m2 to mm/day

TABLES = ("name", "topo", "clim", "soil", "geol", "vege", "hydro")
REFERENCES = (
    "Newman et al. (2015), doi:10.5194/hess-19-209-2015; Addor et al. (2017), doi:10.5194/hess-21-5293-2017"
)


class _Gauge(NamedTuple):
    """Files of one gauge, what they looked like, and what the forcing file's ends tell (or why not)."""

    forcing: Path
    flow: Path
    stamp: str
    bytes: int
    outline: Outline | None
    problem: str


class CamelsUs:
    """Basins of CAMELS-US.

    Discharge (ft3/s) becomes mm/day with the area in the forcing file's header. Days flagged ``M``
    or with -999 are NaN. The mean temperature is the mean of the daily extremes. Sites are named
    ``camels_<gauge>``; the period is that of the forcing.

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

    Raises
    ------
    InputError
        If a folder, file, column or site is missing; by the methods, not when it is made.
    """

    def __init__(
        self,
        path: str | Path,
        forcing: str = "maurer_extended",
        sites: Sequence[str] | str | Path | None = None,
        potential_evapotranspiration: str = "auto",
    ) -> None:
        self.path, self.forcing, self.sites = path, forcing, sites
        self.potential_evapotranspiration = potential_evapotranspiration

    @cached_property
    def _gauges(self) -> dict[str, _Gauge]:
        """Return the gauges by name of the site, sorted."""
        root = folder(self.path, "a CAMELS-US folder")
        meteorology = _find(root, "basin_mean_forcing")
        there = sorted(each.name for each in meteorology.iterdir() if each.is_dir())
        if self.forcing not in there:
            raise InputError(f"{meteorology}: no forcing {self.forcing!r}; {suggest(self.forcing, there)}")
        forcing = _files(meteorology / self.forcing, "_forcing_leap.txt")
        flow = _files(_find(root, "usgs_streamflow"), "_streamflow_qc.txt")
        named = site_list(self.sites, "camels_")
        gauges = sorted(forcing) if named is None else sorted(site.removeprefix("camels_") for site in named)
        if not gauges:
            raise InputError(f"{meteorology / self.forcing}: no <HUC-2>/<gauge>_lump_*_forcing_leap.txt")
        for gauge in gauges:
            for files, what in ((forcing, f"{self.forcing} forcing"), (flow, "streamflow")):
                if gauge not in files:
                    raise InputError(f"site {gauge!r}: no {what} file under {root}; {suggest(gauge, files)}")
        tables = stamp(*self._tables.values())
        return {f"camels_{gauge}": _look_at(forcing[gauge], flow[gauge], tables) for gauge in gauges}

    @cached_property
    def _tables(self) -> dict[str, Path]:
        top = _find(folder(self.path, "a CAMELS-US folder"), "camels_attributes_v2.0")
        files = {kind: top / f"camels_{kind}.txt" for kind in TABLES}
        for file in files.values():
            if not file.is_file():
                raise InputError(
                    f"{file}: no such file; the attribute tables {', '.join(TABLES)} of v2.0 are needed"
                )
        return files

    @cached_property
    def _table(self) -> pd.DataFrame:
        """Return the attribute tables of v2.0, joined: one row a site."""
        tables = [
            read_attributes(file, "gauge_id", sep=";", texts=("huc_02",)) for file in self._tables.values()
        ]
        gauges = [site.removeprefix("camels_") for site in self._gauges]
        return require_sites(gauges, pd.concat(tables, axis=1), "camels_attributes_v2.0")

    @cached_property
    def _method(self) -> str:
        # The first releases of Maurer and NLDAS forcing give the daily mean as both extremes.
        extremes = any(gauge.outline.extremes for gauge in self._gauges.values() if gauge.outline)
        return evapotranspiration_method(self.potential_evapotranspiration, extremes, mean=True)

    def catalog(self) -> Catalog:
        """Return sites, period (of the forcing) and files."""
        periods = {
            site: (gauge.outline.first, gauge.outline.last)
            for site, gauge in self._gauges.items()
            if gauge.outline
        }
        if not periods:
            raise InputError(next(gauge.problem for gauge in self._gauges.values()))
        return Catalog(
            sites=tuple(self._gauges),
            first=min(first for first, _ in periods.values()),
            last=max(last for _, last in periods.values()),
            bytes=sum(gauge.bytes for gauge in self._gauges.values()),
            stamps={site: gauge.stamp for site, gauge in self._gauges.items()},
            periods=periods,
        )

    def attributes(self) -> xr.Dataset:
        """Return coordinates and the attributes of v2.0; the area (km2) is that of the forcing files."""
        table = self._table
        areas = [gauge.outline.header.area if gauge.outline else np.nan for gauge in self._gauges.values()]
        static = table.drop(columns=["gauge_lat", "gauge_lon", "huc_02", "gauge_name"])
        static = static.assign(area=np.array(areas) * 1e-6)
        region, name = (
            table[key].fillna("").astype(str).to_numpy(dtype=object) for key in ("huc_02", "gauge_name")
        )
        return xr.Dataset(
            static_variables(static, "camels_us"),
            coords={
                "site": np.array(list(self._gauges), dtype=object),
                "latitude": ("site", table["gauge_lat"].to_numpy(dtype=float)),
                "longitude": ("site", table["gauge_lon"].to_numpy(dtype=float)),
                "region": ("site", region, {"long_name": "two-digit hydrologic region (HUC-2)"}),
                "gauge_name": ("site", name, {"long_name": "name of the gauge"}),
            },
            attrs={"title": f"CAMELS-US, {self.forcing} forcing", "references": REFERENCES},
        )

    def read(self, sites: Sequence[str], first: date, last: date) -> xr.Dataset:
        """Return forcing, discharge and potential evapotranspiration of sites and days."""
        there = {
            name for gauge in self._gauges.values() if gauge.outline for name in gauge.outline.header.names
        }
        names = [FORCING_COLUMNS[name] for name in FORCING_COLUMNS if name in there]
        dataset = read_block(
            sites, first, last, canonical([*names, "temperature", "discharge"]), self._read_site
        )
        rows = [f"{site}".removeprefix("camels_") for site in sites]
        latitude = self._table.loc[rows, "gauge_lat"].to_numpy(dtype=float)
        return add_evapotranspiration(dataset, self._method, latitude)

    def _read_site(self, site: str) -> Series:
        gauge = self._gauges[site]
        with unchanged((gauge.forcing, gauge.flow), gauge.stamp):
            if gauge.outline is None:
                raise InputError(gauge.problem)
            forcing = read_forcing(gauge.forcing, site)
            flow = read_flow(gauge.flow, site)
        columns = dict(forcing.columns)
        start, length = forcing.days[0], int((forcing.days[-1] - forcing.days[0]).astype(int)) + 1
        position = (flow.days - start).astype(np.int64)
        inside = (position >= 0) & (position < length)
        discharge = np.full(length, np.nan)
        discharge[position[inside]] = flow.columns["discharge"][inside] * (DEPTH / gauge.outline.header.area)
        columns["discharge"] = discharge[(forcing.days - start).astype(np.int64)]
        return Series(forcing.days, columns, forcing.problems + flow.problems)


def _look_at(forcing: Path, flow: Path, tables: str) -> _Gauge:
    """Return a gauge's files; new attribute tables count as new data of every gauge."""
    files = stamp(forcing, flow)
    size = sum(int(part.rsplit(" ", 2)[1]) for part in files.split("; "))
    try:
        return _Gauge(forcing, flow, f"{files}; {tables}", size, outline(forcing), "")
    except InputError as problem:
        return _Gauge(forcing, flow, f"{files}; {tables}", size, None, str(problem))


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
