"""Skill of forecasts that are more than one number: how sharp and how reliable they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr

from thalweg.evaluation.efficiency import ratio
from thalweg.evaluation.moments import Array
from thalweg.evaluation.skill import MINIMUM_DAYS, check_aligned
from thalweg.evaluation.uncertainty.forecasts import Distribution, Ensemble, Forecast, Quantiles
from thalweg.evaluation.uncertainty.score_sums import BINS, LEVELS, ScoreSums, attributes
from thalweg.models.families import FAMILIES
from thalweg.storage.errors import InputError

VALUES_AT_ONCE = 1_000_000  # members, levels or components of days worked on at a time: some 100 MB


def probabilistic_skill(
    forecast: xr.DataArray | xr.Dataset,
    observed: xr.DataArray,
    *,
    levels: Sequence[float] = LEVELS,
    fair: bool = True,
    minimum_days: int = MINIMUM_DAYS,
) -> xr.Dataset:
    """Score a probabilistic forecast against observed discharge at every site.

    Parameters
    ----------
    forecast : of discharge (mm/day), of the observations' sites and days in the same order. One of

        - members: DataArray ``(member, site, time)``, two or more;
        - quantiles: DataArray ``(quantile, site, time)`` with its levels as the coordinate ``quantile``;
        - distributions: Dataset with ``location`` and ``scale`` (mm/day), with ``asymmetry`` where the
          components are asymmetric Laplace, and ``weight`` where there are several, each
          ``(component, site, time)``; the attribute ``floor`` (mm/day) where they are cut off.
    observed : (mm/day), ``(site, time)``; NaN is left out.
    levels : of the central intervals.
    fair : see :class:`thalweg.evaluation.uncertainty.forecasts.Ensemble`.
    minimum_days : with fewer observed days every score of a site is NaN.

    Returns
    -------
    Dataset over ``(site,)``: the scores of ``SCORES`` that this kind of forecast has, ``n_days``, and the
    histogram of the probability integral transform, ``pit`` ``(site, bin)``: shares that are all 1/20 for a
    reliable forecast, heaped at both ends for one that is too sure. A score is NaN where it is undefined,
    never infinite; intervals that the members or levels do not reach are left out.

    - ``crps``, ``log_score``, ``winkler``: proper scores, the lower the better (Gneiting and Raftery 2007,
      10.1198/016214506000001437; winkler is their eq. 43, after Winkler 1972).
    - ``crpss``: ``1 - crps / c``, c that of all observations of the site as forecast: what NSE is to the
      mean (in sample, and so hard to beat).
    - ``spread_skill``: 1 where the forecast knows how wrong it is, below it too sure (Fortin et al. 2014,
      10.1175/JHM-D-14-0008.1).
    - ``pit_reliability``: α of Renard et al. (2010), 10.1029/2009WR008328, at the histogram's edges. A day
      with a range of PIT (a member's rank, a dry day) is spread over it (Czado et al. 2009,
      10.1111/j.1541-0420.2009.01191.x).

    Raises
    ------
    InputError
        When dimensions, sites or days differ, or the forecast is none of these.
    """
    if any(not 0.0 < level < 1.0 for level in levels):
        raise InputError(f"interval levels {list(levels)} must be between 0 and 1")
    along = _checked(forecast, observed)
    truth = observed.transpose("site", "time")
    size = max(1, forecast.sizes[along] * observed.sizes["time"])
    step = max(1, VALUES_AT_ONCE // size)
    blocks = []
    for start in range(0, max(1, observed.sizes["site"]), step):
        sites = slice(start, start + step)
        some = np.ascontiguousarray(truth[sites].values, dtype=np.float64)
        sums = ScoreSums.of(_forecast(forecast.isel(site=sites), along, fair), some, levels)
        blocks.append(sums.scores() | {"n_days": sums.days, "climatology": _climatology(some)})
    scores = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    scores["crpss"] = 1.0 - ratio(scores["crps"], scores.pop("climatology"))
    result = xr.Dataset(coords={n: c for n, c in observed.coords.items() if c.dims == ("site",)})
    enough = scores["n_days"] >= minimum_days
    for name, values in scores.items():
        dims = ("site", "bin")[: values.ndim]
        kept = enough.reshape(-1, *[1] * (values.ndim - 1)) & np.isfinite(values)
        result[name] = (dims, values if name == "n_days" else np.where(kept, values, np.nan))
        result[name].attrs = attributes(name)
    return result.assign_coords(bin=(np.arange(BINS) + 0.5) / BINS)


def pool(forecasts: Sequence[xr.Dataset]) -> xr.Dataset:
    """Give the mixture of distributions that count alike, such as those of a deep ensemble over seeds.

    Parameters
    ----------
    forecasts : as the distributions of :func:`probabilistic_skill`, of the same sites, days and family.

    Lakshminarayanan et al. (2017), Simple and scalable predictive uncertainty estimation using deep
    ensembles, 10.48550/arXiv.1612.01474, section 2.4.

    Raises
    ------
    InputError
        When there are none, or families, floors, sites or days differ.
    """
    kinds = {(frozenset(one.keys() - {"weight"}), one.attrs.get("floor")) for one in forecasts}
    if len(kinds) != 1:
        raise InputError("only distributions of one family and with one floor can be pooled")
    equal = [one.assign(weight=_weight(one) / len(forecasts)) for one in forecasts]
    try:
        return xr.concat(equal, "component", join="exact", combine_attrs="override")
    except ValueError as error:
        raise InputError(f"distributions to pool must have the same sites and days: {error}") from error


def central_interval(forecast: xr.DataArray | xr.Dataset, level: float) -> xr.Dataset | None:
    """Give the central interval of a forecast that holds a share of ``level``: ``lower`` and ``upper``.

    Parameters
    ----------
    forecast : as for :func:`probabilistic_skill`.

    Returns
    -------
    Dataset (mm/day), ``(site, time)``; None where members or levels do not reach that far.
    """
    blocks = []
    for some, sites in _blocks(forecast):
        bounds = some.interval(level)
        if bounds is None:
            return None
        dims = ("site", "time")
        blocks.append(sites.assign(lower=(dims, bounds[0]), upper=(dims, bounds[1])))
    return xr.concat(blocks, "site") if blocks else None


def exceedance_probability(forecast: xr.DataArray | xr.Dataset, threshold: xr.DataArray) -> xr.DataArray:
    """Give the forecast probability of more than a threshold, ``(site, time)``.

    Parameters
    ----------
    forecast : as for :func:`probabilistic_skill`.
    threshold : (mm/day), ``(site,)``, of the forecast's sites in the same order; NaN gives NaN.

    Raises
    ------
    InputError
        When sites differ.
    """
    if threshold.dims != ("site",) or threshold.sizes["site"] != forecast.sizes["site"]:
        raise InputError(f"threshold {dict(threshold.sizes)}: one for each of {forecast.sizes['site']} sites")
    blocks, first = [], 0
    for some, sites in _blocks(forecast):
        limit = threshold.values[first : first + sites.sizes["site"], None].astype(np.float64)
        first += len(limit)
        limits = np.broadcast_to(limit, (len(limit), forecast.sizes["time"])).copy()
        found = np.where(np.isnan(limits), np.nan, np.clip(some.exceeds(limits), 0.0, 1.0))
        blocks.append(sites.assign(probability=(("site", "time"), found)))
    return xr.concat(blocks, "site")["probability"]


def forecast_deviation(forecast: xr.DataArray | xr.Dataset) -> xr.DataArray | None:
    """Give the standard deviation of a forecast (mm/day), ``(site, time)``; None for quantiles."""
    blocks = []
    for some, sites in _blocks(forecast):
        spread = some.spread()
        if spread is None:
            return None
        blocks.append(sites.assign(deviation=(("site", "time"), np.sqrt(spread[1]))))
    return xr.concat(blocks, "site")["deviation"] if blocks else None


def _blocks(forecast: xr.DataArray | xr.Dataset) -> Iterator[tuple[Forecast, xr.Dataset]]:
    """Give some sites after the other: the forecast, and a dataset of their coordinates alone."""
    along = next(name for name in ("member", "quantile", "component") if name in forecast.dims)
    coords = {n: c for n, c in forecast.coords.items() if set(c.dims) <= {"site", "time"} and c.dims}
    sites = xr.Dataset(coords=coords)
    step = max(1, VALUES_AT_ONCE // max(1, forecast.sizes[along] * forecast.sizes["time"]))
    for first in range(0, forecast.sizes["site"], step):
        some = slice(first, first + step)
        yield _forecast(forecast.isel(site=some), along, fair=True), sites.isel(site=some)


def _climatology(observed: Array) -> Array:
    """Give the CRPS of all observations of a site as its forecast: half their mean difference (mm/day)."""
    ordered, days = np.sort(observed, axis=-1), (~np.isnan(observed)).sum(axis=-1, keepdims=True)
    weight = 2.0 * np.arange(1, observed.shape[-1] + 1) - days - 1.0
    total = np.where(np.isnan(ordered), 0.0, weight * ordered).sum(axis=-1)
    return ratio(total, days[:, 0].astype(np.float64) ** 2)


def _checked(forecast: xr.DataArray | xr.Dataset, observed: xr.DataArray) -> str:
    """Give the dimension of what the forecast has several of."""
    if isinstance(forecast, xr.Dataset):
        missing = [name for name in ("location", "scale") if name not in forecast]
        if missing or "component" not in forecast.dims:
            raise InputError(
                "a forecast of distributions needs location and scale along (component, site, time); "
                f"it has {', '.join(map(str, forecast)) or 'nothing'}"
            )
        along, first = "component", forecast["location"]
        if "weight" not in forecast and forecast.sizes[along] > 1:
            raise InputError(f"a mixture of {forecast.sizes[along]} components needs their weight")
    else:
        along = next((name for name in ("member", "quantile") if name in forecast.dims), "")
        if not along:
            raise InputError(f"forecast has dimensions {forecast.dims}; one must be member or quantile")
        first = forecast
        if along == "member" and forecast.sizes[along] < 2:
            raise InputError("an ensemble needs two or more members")
        if along == "quantile":
            _check_levels(forecast)
    check_aligned(first.isel({along: 0}, drop=True), observed)
    return along


def _check_levels(forecast: xr.DataArray) -> None:
    if "quantile" not in forecast.coords:
        raise InputError("a forecast of quantiles needs their levels as the coordinate quantile")
    levels = forecast["quantile"].values
    if not np.all(np.diff([0.0, *levels, 1.0]) > 0.0):
        raise InputError(f"quantile levels {levels.tolist()} must rise, above 0 and below 1")


def _forecast(forecast: xr.DataArray | xr.Dataset, along: str, fair: bool) -> Forecast:
    order = (along, "site", "time")
    if isinstance(forecast, xr.Dataset):
        family = "asymmetric_laplace" if "asymmetry" in forecast else "normal"
        parts = [_weight(forecast), *(forecast[name] for name in FAMILIES[family].parameters)]
        weight, *parameters = (part.transpose(*order).values.astype(np.float64) for part in parts)
        floor = forecast.attrs.get("floor")
        return Distribution.of(family, weight, parameters, None if floor is None else float(floor))
    values = forecast.transpose(*order).values.astype(np.float64)
    if along == "member":
        return Ensemble(values, fair)
    return Quantiles(forecast["quantile"].values.astype(np.float64), values)


def _weight(forecast: xr.Dataset) -> xr.DataArray:
    return forecast["weight"] if "weight" in forecast else xr.ones_like(forecast["location"])
