"""Audits that a model can fail although its discharge is right."""

from __future__ import annotations

import numpy as np
import pandas as pd

from thalweg.evaluation.tables import FEWEST_SITES, GROUP, groups, site_values

BASEFLOW = ("baseflow_index_simulated", "baseflow_index_reference")

# A river model with this skill is believed; one that cannot tell rivers with much baseflow from those
# with little should not be.
BELIEVED_NSE, LEAST_CORRELATION = 0.5, 0.3


def baseflow_check(metrics: pd.DataFrame) -> pd.DataFrame:
    """Ask physics that matches discharge whether it also tells slow rivers from flashy ones.

    For each experiment, model and split whose model has baseflow of its own: the correlation over sites
    between the simulated baseflow index and that of the Lyne-Hollick filter on the observations. A model
    with a median NSE above 0.5 and a correlation below 0.3 (or none, one of the indices being the same
    everywhere) is right for the wrong reason, and flagged.

    Returns
    -------
    Table with the columns experiment, model, split, ``correlation``, ``sites``, ``median_nse``, ``flag``,
    ``reason``. With fewer than 5 sites there is no correlation and no flag, and the reason says so.
    """
    columns = [*GROUP, "correlation", "sites", "median_nse", "flag", "reason"]
    if not {*BASEFLOW, "nse"} <= set(metrics.columns):
        return pd.DataFrame(columns=columns)
    rows = []
    for key, table in groups(metrics):
        if table[BASEFLOW[0]].isna().all():
            continue
        pair = pd.concat([site_values(table, name) for name in BASEFLOW], axis=1).dropna()
        nse = float(site_values(table, "nse").median())
        enough = len(pair) >= FEWEST_SITES
        correlation = _correlation(pair) if enough else np.nan
        flag = enough and nse > BELIEVED_NSE and not correlation >= LEAST_CORRELATION
        reason = ""
        if flag:
            told = "is constant" if np.isnan(correlation) else f"correlates at {correlation:.2f}"
            reason = f"median NSE {nse:.2f}, yet over {len(pair)} sites the baseflow index {told}"
        elif not enough:
            reason = f"only {len(pair)} sites with both baseflow indices; at least {FEWEST_SITES} are needed"
        rows.append((*key, correlation, len(pair), nse, flag, reason))
    return pd.DataFrame(rows, columns=columns)


def _correlation(pair: pd.DataFrame) -> float:
    """Give Pearson's correlation of two columns; NaN where one is constant."""
    x, y = (pair[name].to_numpy(dtype=float) for name in BASEFLOW)
    if np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
        return np.nan
    return float(np.corrcoef(x, y)[0, 1])
