"""Does training find the same parameters again? What differs between seeds was not learned from the data.

Several parameter sets may fit alike (equifinality: Beven 2006, 10.1016/j.jhydrol.2005.07.007); then a map of
one of them says little about the land.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from thalweg.evaluation.moments import Array
from thalweg.evaluation.tables import FEWEST_SITES

# Koo and Li (2016), 10.1016/j.jcm.2016.02.012: below 0.5 poor, above 0.75 good.
GOOD, POOR = 0.75, 0.5
# Standard deviation of a number that may be anywhere in its range alike.
UNIFORM = 1.0 / np.sqrt(12.0)
COLUMNS = [
    "parameter", "sites", "seeds", "seed_spread", "site_spread", "component_spread", "contraction", "icc",
    "agreement", "verdict",
]  # fmt: skip


def identifiability(table: pd.DataFrame) -> pd.DataFrame:
    """Tell for each parameter whether seeds agree on it.

    Parameters
    ----------
    table : rows of :func:`thalweg.evaluation.interpretation.parameter_maps.parameter_table` of several seeds,
        with the column ``seed``. Sites that not all seeds have are left out.

    Returns
    -------
    Table with ``COLUMNS``; spreads are standard deviations as shares of the parameter's range:
    ``seed_spread`` (root mean square over sites of that between seeds), ``site_spread`` (of the sites'
    means), ``component_spread`` (mean over sites); ``contraction``, 1 less the variance between seeds over
    that of a uniform distribution over the range: 1 where all seeds say the same; ``icc``, the share of the
    variance that is between sites (one-way intraclass correlation ICC(1,1): Shrout and Fleiss 1979,
    10.1037/0033-2909.86.2.420); ``agreement``, mean rank correlation of the maps of two seeds; ``verdict``:
    ``identified`` (ICC at least 0.75), ``weak`` (at least 0.5), ``not identified``, ``same everywhere``
    (neither sites nor seeds differ by more than 1 % of the range) or ``unknown`` (fewer than 2 seeds or 5
    sites).
    """
    rows = []
    for name, own in table.groupby("parameter", sort=False):
        wide = own.pivot_table(index="site", columns="seed", values="place").dropna()
        components = float(own["components"].mean() / _range(own)) if len(own) else np.nan
        rows.append((str(name), *_of(wide.to_numpy(dtype=float), components)))
    return pd.DataFrame(rows, columns=COLUMNS)


def intraclass_correlation(values: Array) -> float:
    """Give ICC(1,1) of ``(site, seed)``; NaN with fewer than two of either or where nothing differs."""
    sites, seeds = values.shape
    if sites < 2 or seeds < 2 or np.ptp(values) == 0.0:
        return np.nan
    means = values.mean(axis=1)
    between = seeds * means.var(ddof=1)
    within = ((values - means[:, None]) ** 2).sum() / (sites * (seeds - 1))
    return float((between - within) / (between + (seeds - 1) * within))


def _of(values: Array, components: float) -> tuple[object, ...]:
    sites, seeds = values.shape
    if sites < FEWEST_SITES or seeds < 2:
        return (sites, seeds, np.nan, np.nan, components, np.nan, np.nan, np.nan, "unknown")
    within = float(np.sqrt(values.var(axis=1, ddof=1).mean()))
    apart = float(values.mean(axis=1).std(ddof=1))
    icc = intraclass_correlation(values)
    if max(within, apart) < 0.01:
        verdict = "same everywhere"
    elif icc >= GOOD:
        verdict = "identified"
    else:
        verdict = "weak" if icc >= POOR else "not identified"
    contraction = 1.0 - (within / UNIFORM) ** 2
    return (sites, seeds, within, apart, components, contraction, icc, _agreement(values), verdict)


def _agreement(values: Array) -> float:
    """Give the mean over pairs of seeds of the rank correlation over sites; NaN where one is constant."""
    ranks = rankdata(values, axis=0)
    if (np.ptp(ranks, axis=0) == 0.0).any():
        return np.nan
    matrix = np.corrcoef(ranks.T)
    return float(matrix[np.triu_indices(len(matrix), 1)].mean())


def _range(own: pd.DataFrame) -> float:
    """Give the width of a parameter's range, from two values and their places; NaN where all are equal."""
    known = own[["value", "place"]].dropna()
    if known.empty:
        return np.nan
    apart = float(np.ptp(known["place"]))
    return float(np.ptp(known["value"])) / apart if apart > 0.0 else np.nan
