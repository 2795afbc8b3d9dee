"""Ask physics about what nobody trained it on, and flag what contradicts it.

Each check can fail while discharge is right; the limits are generous, so that a flag means something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from thalweg.evaluation.interpretation.audit import BASEFLOW, BELIEVED_NSE, LEAST_CORRELATION
from thalweg.evaluation.tables import FEWEST_SITES

COLUMNS = ["check", "statistic", "value", "limit", "sites", "flag", "reason"]
MOST_ERROR = 0.2  # median size of the relative error of long-term evapotranspiration
MOST_LAG = 30.0  # days between the seasons of evapotranspiration and of the energy for it, in humid places
HUMID = 1.0  # PET/P below which energy rather than water limits evapotranspiration
MOST_BEYOND = 0.05  # share of sites that evaporate more than there is water or energy for
MOST_MELT = 30.0  # days between the end of the simulated snow and of the reference

Rows = Iterator[tuple[str, str, float, float, int, bool, str]]


def audit_physics(sites: pd.DataFrame) -> pd.DataFrame:
    """Judge a run's physics by all checks that its table of sites has the columns for.

    Parameters
    ----------
    sites : by site, one run's metrics (``nse``, the baseflow indices) joined with the columns of
        :func:`thalweg.evaluation.interpretation.water_balance.water_balance` and
        :func:`thalweg.evaluation.interpretation.snow_timing.snow_timing`, as far as they are there.

    Returns
    -------
    Table with ``COLUMNS``: what was checked, the statistic and its value, the limit it should keep, the sites
    it is from, ``flag`` and in words the ``reason``. With fewer than 5 sites the value is NaN and nothing is
    flagged.

    ================== ============================= ====================================================
    check              statistic                     flagged
    ================== ============================= ====================================================
    baseflow           correlation over sites        below 0.3 or none, of the simulated baseflow index with
                                                     that of the observations
    evapotranspiration correlation over sites        below 0.3 or none, of long-term evapotranspiration with
                                                     precipitation - observed discharge
    evapotranspiration median relative error         above 20 %, either way
    evapotranspiration share of sites beyond limits  more than 5 % evaporate more than water or energy allow
    season             median lag, humid sites       more than 30 days from the season of potential ET
    runoff ratio       correlation over sites        below 0.3 or none, simulated with observed
    snow               correlation over snowy sites  below 0.3 or none, of the centre of melt with that of
                                                     observed discharge
    snow               median difference in days     more than 30 between the end of snow and that of the
                                                     reference (measured, else degree-days)
    ================== ============================= ====================================================
    """
    rows = [row for check in _CHECKS for row in check(sites)]
    table = pd.DataFrame(rows, columns=COLUMNS)
    nse = float(sites["nse"].median()) if "nse" in sites and len(sites) else np.nan
    flagged = table["flag"].astype(bool)
    if nse > BELIEVED_NSE:
        table.loc[flagged, "reason"] = f"median NSE {nse:.2f}, yet " + table.loc[flagged, "reason"]
    return table


def _baseflow(sites: pd.DataFrame) -> Rows:
    if set(BASEFLOW) <= set(sites.columns) and not sites[BASEFLOW[0]].isna().all():
        yield _correlated(sites, "baseflow", "the baseflow index", *BASEFLOW)


def _evapotranspiration(sites: pd.DataFrame) -> Rows:
    if "evapotranspiration" not in sites.columns:
        return
    plausible = sites[sites["plausible"].astype(bool)]
    what = "long-term evapotranspiration"
    yield _correlated(plausible, "evapotranspiration", what, "evapotranspiration", "balance")
    errors = plausible["error"].dropna()
    median = float(errors.median()) if len(errors) >= FEWEST_SITES else np.nan
    yield _limited(
        "evapotranspiration", "median relative error", median, MOST_ERROR, len(errors),
        f"{what} differs from the water balance by {100 * median:+.0f} % at the median site",
    )  # fmt: skip
    known = sites[sites["evapotranspiration"].notna()]
    share = float(known["beyond"].mean()) if len(known) >= FEWEST_SITES else np.nan
    yield _limited(
        "evapotranspiration", "share of sites beyond limits", share, MOST_BEYOND, len(known),
        f"at {100 * share:.0f} % of sites more evaporates than there is water or energy for",
    )  # fmt: skip
    lags = sites.loc[sites["dryness"] < HUMID, "lag"].dropna()
    lag = float(lags.median()) if len(lags) >= FEWEST_SITES else np.nan
    yield _limited(
        "season", "median lag in days, humid sites", lag, MOST_LAG, len(lags),
        f"evapotranspiration is {lag:+.0f} days from the season of the energy for it",
    )  # fmt: skip
    pair = ("runoff_ratio_simulated", "runoff_ratio_observed")
    yield _correlated(sites, "runoff ratio", "the runoff ratio", *pair)


def _snow(sites: pd.DataFrame) -> Rows:
    if not {"melt", "flow_observed"} <= set(sites.columns) or sites["melt"].isna().all():
        return
    yield _correlated(sites, "snow", "the centre of melt against that of discharge", "melt", "flow_observed")
    reference = "gone_measured" if "gone_measured" in sites.columns else "gone_degree_day"
    apart = (sites["gone"] - sites[reference]).dropna()
    days = float(apart.median()) if len(apart) >= FEWEST_SITES else np.nan
    when = "later" if days > 0 else "earlier"
    yield _limited(
        "snow", "median difference in days", days, MOST_MELT, len(apart),
        f"snow is gone {abs(days):.0f} days {when} than it should be at the median site",
    )  # fmt: skip


_CHECKS: tuple[Callable[[pd.DataFrame], Rows], ...] = (_baseflow, _evapotranspiration, _snow)


def _correlated(
    sites: pd.DataFrame, check: str, what: str, first: str, second: str
) -> tuple[str, str, float, float, int, bool, str]:
    """Give Pearson's correlation over sites, flagged where it is low, or none since one is constant."""
    pair = sites[[first, second]].dropna().to_numpy(dtype=float)
    count = len(pair)
    if count < FEWEST_SITES:
        reason = f"only {count} sites; at least {FEWEST_SITES} are needed"
        return check, "correlation over sites", np.nan, LEAST_CORRELATION, count, False, reason
    value = np.nan if (np.ptp(pair, axis=0) == 0.0).any() else float(np.corrcoef(pair.T)[0, 1])
    flag = not value >= LEAST_CORRELATION
    told = "is constant" if np.isnan(value) else f"correlates at {value:.2f}"
    reason = f"over {count} sites {what} {told}" if flag else ""
    return check, "correlation over sites", value, LEAST_CORRELATION, count, flag, reason


def _limited(
    check: str, statistic: str, value: float, limit: float, count: int, reason: str
) -> tuple[str, str, float, float, int, bool, str]:
    if np.isnan(value):
        return (
            check,
            statistic,
            value,
            limit,
            count,
            False,
            f"only {count} sites; at least {FEWEST_SITES} are needed",
        )
    flag = abs(value) > limit
    return check, statistic, value, limit, count, flag, reason if flag else ""
