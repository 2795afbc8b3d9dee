"""What a model found for its parameters: maps, and how they respond to attributes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import false_discovery_control, spearmanr

from thalweg.evaluation.moments import Array
from thalweg.evaluation.tables import FEWEST_SITES
from thalweg.models.engine.weighted import WEIGHT

PLACES = ("latitude", "longitude", "region")


def parameter_table(
    parameters: xr.Dataset, ranges: Mapping[str, tuple[float, float]] | None = None
) -> pd.DataFrame:
    """Give every parameter at every site, ready to be mapped.

    Parameters
    ----------
    parameters : ``(site,)``, ``(site, component)`` or, where they vary, ``(site, time)``, as a run's
        ``parameters.zarr`` holds them. Components count by ``component_weight`` where it is there.
    ranges : lowest and highest possible value, by name.

    Returns
    -------
    Table with the columns site, latitude, longitude, region (as far as known), ``parameter``, ``units``,
    ``value`` (mean over components and time), ``place`` (of the value in its range, 0 to 1), ``components``
    (standard deviation over components), ``time`` (standard deviation over time; NaN where static).
    """
    sites = [str(site) for site in parameters["site"].values]
    places = {name: parameters[name].values for name in PLACES if name in parameters.coords}
    weights = parameters.get(WEIGHT)
    tables = []
    for name, values in parameters.data_vars.items():
        if name == WEIGHT:
            continue
        mean, apart, moving = _summary(values, weights)
        low, high = (ranges or {}).get(str(name), (np.nan, np.nan))
        tables.append(
            pd.DataFrame(
                {
                    "site": sites,
                    **places,
                    "parameter": str(name),
                    "units": str(values.attrs.get("units", "")),
                    "value": mean,
                    "place": (mean - low) / (high - low),
                    "components": apart,
                    "time": moving,
                }
            )
        )
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def attribute_response(table: pd.DataFrame, attributes: pd.DataFrame) -> pd.DataFrame:
    """Give the rank correlation over sites of every parameter with every attribute.

    With many pairs some correlate by chance: ``q_value`` is the p-value corrected for all of them (Benjamini
    and Hochberg 1995, 10.1111/j.2517-6161.1995.tb02031.x). Neighbours count as independent in both.

    Parameters
    ----------
    table : of :func:`parameter_table`, or several seeds' together: they are averaged by site.
    attributes : by site (the index), one column an attribute.

    Returns
    -------
    Table with the columns ``parameter``, ``attribute``, ``correlation`` (Spearman's; NaN where one is
    constant or there are fewer than 5 sites), ``sites``, ``p_value``, ``q_value``.
    """
    rows = []
    for parameter, values in _by_site(table).items():
        for attribute in attributes.columns:
            x, y = _pair(values, attributes[attribute])
            correlation, p_value = np.nan, np.nan
            if len(x) >= FEWEST_SITES and np.ptp(x) > 0.0 and np.ptp(y) > 0.0:
                correlation, p_value = (float(value) for value in spearmanr(x, y))
            rows.append((parameter, str(attribute), correlation, len(x), p_value))
    found = pd.DataFrame(rows, columns=["parameter", "attribute", "correlation", "sites", "p_value"])
    found["q_value"] = np.nan
    known = found["p_value"].notna()
    if known.any():
        found.loc[known, "q_value"] = false_discovery_control(found.loc[known, "p_value"].to_numpy())
    return found


def binned_response(table: pd.DataFrame, attributes: pd.DataFrame, bins: int = 5) -> pd.DataFrame:
    """Give each parameter's median and quartiles in bins of about equally many sites of each attribute.

    Returns
    -------
    Table with the columns ``parameter``, ``attribute``, ``low`` and ``high`` (values of the attribute in the
    bin), ``sites``, ``lower_quartile``, ``median``, ``upper_quartile``.
    """
    rows = []
    for parameter, values in _by_site(table).items():
        for attribute in attributes.columns:
            value, own = _pair(values, attributes[attribute])
            edges = np.unique(np.quantile(own, np.linspace(0.0, 1.0, bins + 1))) if len(own) else own
            number = np.searchsorted(edges[1:-1], own, side="left")
            for held in (number == place for place in np.unique(number)):
                quartiles = np.quantile(value[held], [0.25, 0.5, 0.75])
                rows.append(
                    (parameter, str(attribute), own[held].min(), own[held].max(), held.sum(), *quartiles)
                )
    columns = ["parameter", "attribute", "low", "high", "sites", "lower_quartile", "median", "upper_quartile"]
    return pd.DataFrame(rows, columns=columns)


def _by_site(table: pd.DataFrame) -> dict[str, pd.Series]:
    return {
        str(parameter): rows.groupby("site")["value"].mean()
        for parameter, rows in table.groupby("parameter", sort=False)
    }


def _pair(values: pd.Series, attribute: pd.Series) -> tuple[Array, Array]:
    """Give both at the sites that have both."""
    other = attribute.reindex(values.index).to_numpy(dtype=np.float64)
    own = values.to_numpy(dtype=np.float64)
    known = np.isfinite(own) & np.isfinite(other)
    return own[known], other[known]


def _summary(values: xr.DataArray, weights: xr.DataArray | None) -> tuple[Array, Array, Array]:
    """Give the mean, and the standard deviations over components and over time, ``(site,)`` each."""
    nothing = np.full(values.sizes["site"], np.nan)
    if "component" in values.dims:
        share = xr.full_like(values, 1.0) if weights is None else weights
        mean = values.weighted(share).mean("component")
        apart = ((values - mean) ** 2).weighted(share).mean("component") ** 0.5
        return mean.values, apart.values, nothing
    if "time" in values.dims:
        return values.mean("time").values, nothing, values.std("time").values
    return values.values, nothing, nothing
