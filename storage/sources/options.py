"""What the readers of files share: options, folders, static attributes and evapotranspiration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from thalweg.storage.errors import InputError
from thalweg.storage.evapotranspiration import extraterrestrial_radiation, hargreaves_samani, oudin
from thalweg.storage.sources.describe import describe_attribute, is_class
from thalweg.storage.variables import VARIABLES

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


def read_attributes(file: Path, site: str, sep: str = ",", texts: Sequence[str] = ()) -> pd.DataFrame:
    """Return a table of attributes, one row a site, indexed by the column of its names.

    Raises
    ------
    InputError
        If it cannot be read, has no such column, or a site occurs twice.
    """
    try:
        table = pd.read_csv(file, sep=sep, dtype=dict.fromkeys((site, *texts), str))
    except ValueError as problem:  # not UTF-8, empty, or rows of different length
        raise InputError(f"{file}: cannot be read as a table: {problem}") from problem
    if site not in table:
        raise InputError(f"{file}: no column {site!r}; it has {', '.join(map(str, table.columns[:8]))}")
    if table.empty:
        raise InputError(f"{file}: no rows under the header")
    if (twice := table[site].duplicated()).any():
        raise InputError(f"{file}: {table[site][twice].iloc[0]} occurs twice")
    return table.set_index(site)


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


def evapotranspiration_method(method: str, extremes: bool, mean: bool) -> str:
    """Return ``oudin`` or ``hargreaves`` for an option, or refuse it.

    Parameters
    ----------
    method : str
        ``oudin``, ``hargreaves``, or ``auto``: Hargreaves-Samani where the extremes are there, else Oudin.
    extremes, mean : bool
        Whether every site has daily extremes that differ, and a mean temperature.

    Raises
    ------
    InputError
        If the method is unknown or its temperatures are not there.
    """
    if method not in EVAPOTRANSPIRATION:
        known = ", ".join(EVAPOTRANSPIRATION)
        raise InputError(f"potential_evapotranspiration: unknown method {method!r}; one of {known} is needed")
    if method == "auto":
        method = "hargreaves" if extremes else "oudin"
    elif method == "hargreaves" and not extremes:
        raise InputError(
            "potential_evapotranspiration: hargreaves needs temperature_min and temperature_max; use oudin"
        )
    if method == "oudin" and not mean:
        raise InputError("potential_evapotranspiration: oudin needs temperature")
    return method


def usual_evapotranspiration(method: str, names: Set[str]) -> str:
    """Return how evapotranspiration is computed from the variables that a spec names, empty for not at all.

    Parameters
    ----------
    method : str
        ``none``, ``auto`` (where there is a temperature), ``oudin`` or ``hargreaves``.
    names : set of str
        Canonical variables.
    """
    extremes = {"temperature_min", "temperature_max"} <= names
    mean = "temperature" in names
    if "potential_evapotranspiration" in names or method == "none":
        return ""
    if method == "auto" and not (mean or extremes):
        return ""
    return evapotranspiration_method(method, extremes, mean)


def add_evapotranspiration(dataset: xr.Dataset, method: str, latitude: NDArray[np.float64]) -> xr.Dataset:
    """Add ``potential_evapotranspiration`` (mm/day) computed from temperature and latitude.

    Parameters
    ----------
    dataset : xarray.Dataset
        With ``temperature`` or both extremes (degC) over ``(site, time)``.
    method : str
        ``oudin`` or ``hargreaves``.
    latitude : array, shape (site,) (degrees)
    """
    day = dataset["time"].dt.dayofyear.values
    yearly = extraterrestrial_radiation(latitude[:, None], np.arange(1, 367)[None, :])
    radiation = yearly[:, day - 1]
    if method == "oudin":
        values = oudin(dataset["temperature"].values, radiation)
        comment = "Oudin et al. (2005) from temperature and latitude"
    else:
        low, high = (dataset[f"temperature_{end}"].values for end in ("min", "max"))
        values = hargreaves_samani(low, high, radiation)
        comment = "Hargreaves and Samani (1985) from temperature_min, temperature_max and latitude"
    attributes = VARIABLES["potential_evapotranspiration"].attributes | {"comment": comment}
    return dataset.assign(
        potential_evapotranspiration=(("site", "time"), values.astype(np.float32), attributes)
    )
