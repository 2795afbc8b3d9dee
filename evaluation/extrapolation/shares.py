"""The data-efficiency curve: skill against the share of the data that was trained on."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from thalweg.evaluation.intervals import LEVEL, SAMPLES, median_interval
from thalweg.evaluation.tables import need, site_values

SHARES = "data_share"  # the kind of split whose parts are named after a share
COLUMNS = ["curve", "model", "share", "median", "low", "high", "sites"]


def share_curves(
    metrics: pd.DataFrame,
    kinds: Mapping[str, str],
    metric: str = "nse",
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Give the skill after each share of the data, of every model and every split by shares.

    Parameters
    ----------
    metrics : the table of :func:`thalweg.storage.results.collect_metrics`, of one experiment.
    kinds : split -> its kind; only splits of shares have a curve, whatever the names of others end in.
    metric : a column of ``metrics``.
    samples, seed, level : see :func:`thalweg.evaluation.intervals.median_interval`.

    Returns
    -------
    Table with ``COLUMNS``: ``curve`` is the name of the split without the share, since two splits by shares
    (of sites, of years) test different things; ``share`` (%); the ``median`` over sites with its interval.
    Curves with one share alone are left out.
    """
    need(metrics, "model", "split", "site", metric)
    rows = []
    for (split, model), own in metrics.groupby(["split", "model"], sort=False):
        if kinds.get(str(split)) != SHARES:
            continue
        curve, share = str(split).rsplit("-", 1)
        values = site_values(own, metric)
        interval = median_interval(values, samples, seed, level)
        rows.append((curve, str(model), float(share), *interval, int(values.notna().sum())))
    made = pd.DataFrame(rows, columns=COLUMNS).sort_values(["curve", "model", "share"], ignore_index=True)
    several = made.groupby("curve")["share"].transform("nunique") > 1
    return made[several].reset_index(drop=True)
