"""Trends: whether models say that flow changed over the years as it did."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from thalweg.dashboard.look import Stroke, number, text
from thalweg.dashboard.tables import model_cell, row_of, table
from thalweg.evaluation.extrapolation.trends import trend_skill

FLOWS = {"mean": "mean flow", "high": "high flow (98 %)", "low": "low flow (10 %)"}
"""What of a water year a trend is of."""
UNITS = "mm/day a decade"
NOTE = (
    "Theil-Sen slopes over the water years of the test, medians over sites; bias: median of simulated less "
    "observed; rank r: rank correlation over sites. Sign right: of the sites whose observed trend is clear "
    "(Mann-Kendall p below 0.1), those with a simulated trend of its sign; one half is chance."
)


def by_site(trends: pd.DataFrame) -> pd.DataFrame:
    """Trends at every site, means over the runs that were tested there.

    Parameters
    ----------
    trends : the table ``trends`` of evaluated runs, with the columns run, model and split.

    Returns
    -------
    Columns model, split, site, flow, ``observed``, ``simulated`` (mm/day a decade), ``observed_p``; only
    where both trends are known.
    """
    if trends.empty:
        return trends
    keys = ["model", "split", "site", "flow"]
    means = trends.groupby(keys, sort=False, observed=True)[["observed", "simulated", "observed_p"]].mean()
    return means.dropna(subset=["observed", "simulated"]).reset_index()


def trend_scores(sites: pd.DataFrame, flow: str) -> pd.DataFrame:
    """How well the trends of one flow are reproduced, a row a model and split.

    Returns
    -------
    Columns model, split, those of :func:`thalweg.evaluation.extrapolation.trends.trend_skill`, and ``bias``:
    the median of simulated less observed (mm/day a decade).
    """
    rows = []
    for (model, split), own in sites[sites["flow"] == flow].groupby(["model", "split"], sort=False):
        found = own.set_index(["site", "flow"])[["observed", "simulated", "observed_p"]].to_xarray()
        told = trend_skill(found).iloc[0].to_dict()
        bias = float((own["simulated"] - own["observed"]).median())
        rows.append({"model": model, "split": split, **told, "bias": bias})
    return pd.DataFrame(rows)


def trend_table(scores: pd.DataFrame, lines: Mapping[str, Stroke], splits: Sequence[str]) -> str:
    """One row a model and split, the splits of a model one below the other."""
    head = ['<th class="l">Model</th>', '<th class="l">Tested on</th>']
    head += ["<th>Observed</th>", "<th>Simulated</th>", "<th>Bias</th>"]
    head += ['<th title="rank correlation over sites">Rank r</th>', "<th>Sign right</th>", "<th>Sites</th>"]
    order = {split: place for place, split in enumerate(splits)}
    known = scores.assign(place=scores["split"].map(order)).sort_values(["model", "place"])
    rows = []
    for row in known.to_dict("records"):
        slopes = [number(row[name], 3, signed=True) for name in ("observed", "simulated", "bias")]
        right = "–" if np.isnan(row["same_sign"]) else f"{row['same_sign']:.0%} of {row['clear']:,}"
        cells = [*slopes, number(row["correlation"]), right, f"{row['sites']:,}"]
        named = [model_cell(row["model"], lines[row["model"]]), f'<td class="l">{text(row["split"])}</td>']
        rows.append(row_of([*named, *(f"<td>{cell}</td>" for cell in cells)]))
    return table(head, rows)
