"""What the readers of files share: options, folders, static attributes and evapotranspiration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from dask.base import compute
from dask.delayed import delayed

from thalweg.storage.errors import InputError
from thalweg.storage.evapotranspiration import extraterrestrial_radiation, hargreaves_samani, oudin
from thalweg.storage.sources.describe import describe_attribute, is_class

EVAPOTRANSPIRATION = ("auto", "oudin", "hargreaves")


def folder(path: str | Path, what: str) -> Path:
    """Return a folder's path, or refuse it, naming `what` should be there."""
    result = Path(path).expanduser()
    if not result.is_dir():
        raise InputError(f"{result}: no such folder; it should be {what}")
    return result


def site_list(sites: Sequence[str] | str | Path | None, prefix: str = "") -> list[str] | None:
    """Return the sites that a spec names, or None for all of them.

    Parameters
    ----------
    sites : list of str, or the path of a text file with one site a line, or None
    prefix : str
        Put before names that do not have it, such as ``camels_`` before ``01022500``.

    Raises
    ------
    InputError
        If the file is not there, a name is a number, or nothing is named.
    """
    if sites is None:
        return None
    if isinstance(sites, str | Path):
        if not Path(sites).is_file():
            raise InputError(
                f"sites: {sites}: no such file; a list of names, or a text file with one a line, is needed"
            )
        sites = [line.strip() for line in Path(sites).read_text(encoding="utf-8").splitlines()]
        sites = [line for line in sites if line and not line.startswith("#")]
    for site in sites:
        if not isinstance(site, str):
            # YAML reads an unquoted 01022500 as an octal number.
            raise InputError(f"sites: {site!r} is a number; write the name in quotes, as in '01022500'")
    if not sites:
        raise InputError("sites: the list is empty; leave it out to take all sites")
    return [site if site.startswith(prefix) else prefix + site for site in dict.fromkeys(sites)]


def in_parallel(function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> list[Any]:
    """Call a function with each of many arguments on a pool of threads; results in the same order."""
    tasks = [delayed(function, pure=False)(*each) for each in arguments]
    results: list[Any] = list(compute(*tasks, scheduler="threads"))  # type: ignore[no-untyped-call]
    return results


def static_variables(table: pd.DataFrame, source: str) -> dict[str, xr.DataArray]:
    """Return a table of attributes (one row a site) as described variables over ``(site,)``.

    Columns that are numbers become float32; text and numbers of classes become strings.
    """
    variables = {}
    for name in table.columns:
        column, attributes = table[name], describe_attribute(source, str(name))
        if is_class(source, str(name)) and pd.api.types.is_numeric_dtype(column):
            column = column.map(lambda value: "" if pd.isna(value) else f"{value:g}").astype(object)
        if pd.api.types.is_numeric_dtype(column):
            data: Any = column.to_numpy(dtype=np.float32)
        else:
            data = column.fillna("").astype(str).str.strip().to_numpy(dtype=object)
        variables[str(name)] = xr.DataArray(data, dims="site", attrs=attributes)
    return variables


def require_sites(sites: Iterable[str], table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return the rows of the sites, refusing a site that has none.

    Raises
    ------
    InputError
        Naming the first site without attributes.
    """
    sites = list(sites)
    known = set(table.index)
    missing = [site for site in sites if site not in known]
    if missing:
        more = f" and {len(missing) - 1} more sites" if len(missing) > 1 else ""
        raise InputError(
            f"site {missing[0]}{more} without attributes: not in {where}; add the row or leave the site out"
        )
    return table.loc[sites]


def add_evapotranspiration(dataset: xr.Dataset, method: str) -> xr.Dataset:
    """Add ``potential_evapotranspiration`` (mm/day) computed from temperature and latitude.

    Parameters
    ----------
    dataset : xarray.Dataset
        With ``temperature`` or both extremes (degC) over ``(site, time)``, and ``latitude`` (degrees).
    method : str
        ``oudin``, ``hargreaves``, or ``auto``: Hargreaves-Samani where the daily extremes are there
        and differ, else Oudin.

    Raises
    ------
    InputError
        If the method is unknown or its temperatures are not there.
    """
    if method not in EVAPOTRANSPIRATION:
        known = ", ".join(EVAPOTRANSPIRATION)
        raise InputError(f"potential_evapotranspiration: unknown method {method!r}; one of {known} is needed")
    extremes: Mapping[Any, Any] = dataset.data_vars
    both = "temperature_min" in extremes and "temperature_max" in extremes
    if method == "auto":
        # The first releases of Maurer and NLDAS forcing give the daily mean as both extremes.
        differ = both and bool((dataset["temperature_max"] > dataset["temperature_min"]).any())
        method = "hargreaves" if differ else "oudin"
    if method == "hargreaves" and not both:
        raise InputError(
            "potential_evapotranspiration: hargreaves needs temperature_min and temperature_max; use oudin"
        )
    if method == "oudin" and "temperature" not in dataset:
        raise InputError("potential_evapotranspiration: oudin needs temperature")
    day = dataset["time"].dt.dayofyear.values
    radiation = extraterrestrial_radiation(dataset["latitude"].values[:, None], day[None, :])
    if method == "oudin":
        values = oudin(dataset["temperature"].transpose("site", "time").values, radiation)
        comment = "Oudin et al. (2005) from temperature and latitude"
    else:
        low, high = (dataset[f"temperature_{end}"].transpose("site", "time").values for end in ("min", "max"))
        values = hargreaves_samani(low, high, radiation)
        comment = "Hargreaves and Samani (1985) from temperature_min, temperature_max and latitude"
    attributes = {"units": "mm/day", "comment": comment}
    return dataset.assign(
        potential_evapotranspiration=(("site", "time"), values.astype(np.float32), attributes)
    )
