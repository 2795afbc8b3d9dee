"""Evapotranspiration that nobody trained on: against the water balance, the energy there is, and Budyko."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from thalweg.evaluation.interpretation.budyko import fu
from thalweg.evaluation.moments import Array
from thalweg.evaluation.skill import check_aligned

YEAR = 365.25
FEWEST_DAYS = (
    3 * 365
)  # in fewer years what is stored in the ground weighs more than what evaporates differently
ALLOWANCE = 0.05  # by which evapotranspiration may pass a limit, for storage and errors of the forcing


def water_balance(
    evapotranspiration: xr.DataArray,
    simulated: xr.DataArray,
    observed: xr.DataArray,
    precipitation: xr.DataArray,
    potential: xr.DataArray,
    *,
    fewest_days: int = FEWEST_DAYS,
) -> pd.DataFrame:
    """Compare each site's simulated evapotranspiration with what is known of it otherwise.

    All of ``(site, time)`` in mm/day, of the same sites and days; means are over the days with observed
    discharge.

    Parameters
    ----------
    evapotranspiration : simulated.
    simulated, observed : discharge; NaN where it was not observed.
    precipitation, potential : forcing; ``potential`` is potential evapotranspiration.
    fewest_days : with fewer days with observations a site's means are NaN.

    Returns
    -------
    Table by site: ``precipitation``, ``potential``, ``evapotranspiration``, ``balance`` (precipitation -
    observed discharge: what is left to evaporate if nothing is stored or leaks), all in mm/year; ``error``
    (relative, of evapotranspiration against the balance); ``dryness`` (PET/P), ``evaporated`` and
    ``evaporated_balance`` (E/P, simulated and of the balance), ``fu`` (E/P of the Fu curve with ω = 2.6);
    ``runoff_ratio_simulated``, ``runoff_ratio_observed``; ``plausible``: whether the balance itself lies
    between zero and the potential, else water leaks or data are wrong; ``beyond``: whether simulated
    evapotranspiration passes precipitation or the potential by more than 5 %; ``lag`` (days, by which its
    season is later than that of the potential) and ``season_correlation`` (of their mean months).
    """
    ordered = [x.transpose("site", "time") for x in (evapotranspiration, simulated, observed)]
    drivers = [x.transpose("site", "time") for x in (precipitation, potential)]
    for other in (*ordered[1:], *drivers):
        check_aligned(ordered[0], other)
    there = np.isfinite(ordered[2].values)
    e, s, o, p, pet = (_mean(x.values, there, fewest_days) * YEAR for x in (*ordered, *drivers))
    with np.errstate(divide="ignore", invalid="ignore"):
        balance = p - o
        error = np.where(balance > 0.0, e / balance - 1.0, np.nan)
        dryness, evaporated, left = pet / p, e / p, balance / p
        ratios = s / p, o / p
    times = pd.DatetimeIndex(ordered[0]["time"].values)
    lag, season = _seasons(ordered[0].values, drivers[1].values, times)
    known = np.isfinite(e)
    return pd.DataFrame(
        {
            "precipitation": p,
            "potential": pet,
            "evapotranspiration": e,
            "balance": balance,
            "error": error,
            "dryness": dryness,
            "evaporated": evaporated,
            "evaporated_balance": left,
            "fu": fu(dryness),
            "runoff_ratio_simulated": ratios[0],
            "runoff_ratio_observed": ratios[1],
            "plausible": known & (balance > 0.0) & (balance <= pet * (1.0 + ALLOWANCE)),
            "beyond": known & (e > np.minimum(p, pet) * (1.0 + ALLOWANCE)),
            "lag": lag,
            "season_correlation": season,
        },
        index=pd.Index([str(site) for site in ordered[0]["site"].values], name="site"),
    )


def _mean(values: Array, there: Array, fewest: int) -> Array:
    count = there.sum(axis=1)
    total = np.where(there, values.astype(np.float64), 0.0).sum(axis=1)
    return np.asarray(np.where(count >= fewest, total / np.maximum(count, 1), np.nan), dtype=np.float64)


def _seasons(values: Array, reference: Array, times: pd.DatetimeIndex) -> tuple[Array, Array]:
    """Give by how many days the first yearly harmonic is later, and the correlation of the mean months."""
    angle = 2.0 * np.pi * (times.day_of_year.to_numpy() - 0.5) / YEAR
    wave = np.exp(-1j * angle)
    phases = [np.angle((x - x.mean(axis=1, keepdims=True)) @ wave) for x in (values, reference)]
    turn = np.angle(np.exp(1j * (phases[1] - phases[0])))
    months = [pd.DataFrame(x.T).groupby(times.month).mean().to_numpy() for x in (values, reference)]
    a, b = (x - x.mean(axis=0) for x in months)
    norm = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    correlation = np.divide((a * b).sum(axis=0), norm, out=np.full(len(norm), np.nan), where=norm > 0.0)
    return np.asarray(turn / (2.0 * np.pi) * YEAR), correlation
