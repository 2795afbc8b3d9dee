"""Which differences between models are clear: a bootstrap over years and sites, a test of daily errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd
import xarray as xr

from thalweg.evaluation.comparison import Comparison, compare
from thalweg.evaluation.diebold_mariano import HORIZON, compare_errors
from thalweg.evaluation.resampling import FEWEST_BLOCKS
from thalweg.evaluation.significance import compare_series
from thalweg.flows.reporting.section import Section, Table, between, number
from thalweg.storage.errors import InputError
from thalweg.storage.layout import plain_text
from thalweg.storage.results import Run

MOST_PAIRS = 15  # on a split
NAMED = 4  # unclear differences told at the top
VERDICTS = {
    "a": "{a} is better",
    "b": "{b} is better",
    "none": "no clear difference",
    "unknown": "too few sites",
}


@dataclass(frozen=True)
class Pair:
    """Two models on one split.

    Attributes
    ----------
    comparison : by the bootstrap.
    over : what it drew: years and sites, or sites alone.
    p_value : of the Diebold-Mariano test of daily squared errors; NaN where it was not made.
    """

    comparison: Comparison
    over: str
    p_value: float


def add_differences(
    section: Section,
    metrics: pd.DataFrame,
    runs: Sequence[Run],
    models: Mapping[str, Sequence[str]],
    metric: str,
) -> None:
    """Compare every two models on each split, in a table, and name those that are not told apart.

    Parameters
    ----------
    metrics : of one experiment, as :func:`thalweg.storage.results.collect_metrics` gives them.
    runs : of it.
    models : split -> the models with results on it, best first.
    """
    found: list[Pair] = []
    left_out = 0
    for split, names in models.items():
        pairs = list(combinations(names, 2))
        left_out += len(pairs[MOST_PAIRS:])
        if pairs:
            found += compare_on(metrics, runs, split, pairs[:MOST_PAIRS], metric)
    if not found:
        return
    unclear = [pair.comparison for pair in found if pair.comparison.verdict in ("none", "unknown")]
    if unclear:
        named = "; ".join(f"{each.a} and {each.b} on {each.split}" for each in unclear[:NAMED])
        more = f" and {len(unclear) - NAMED} more" if len(unclear) > NAMED else ""
        section.short.append(f"No clear difference between {named}{more}.")
    section.parts.append(_table(found))
    if left_out:
        section.tell(f"{left_out} pairs of models that stand lower are not compared here.")


def compare_on(
    metrics: pd.DataFrame, runs: Sequence[Run], split: str, pairs: Sequence[tuple[str, str]], metric: str
) -> list[Pair]:
    """Compare pairs of models on one split.

    By :func:`thalweg.evaluation.significance.compare_series` over water years and sites, with scores averaged
    over seeds; over sites alone where fewer than 5 water years were tested; and from the metrics by
    site where predictions are gone.
    """
    wanted = {name for pair in pairs for name in pair}
    done = [run for run in runs if run.split == split and run.model in wanted and run.state == "done"]
    series, observed = gather(done)
    if observed is None or set(series) != wanted:
        own = metrics[metrics["split"] == split]
        return [Pair(each, "sites", float("nan")) for pair in pairs for each in compare(own, metric, *pair)]
    over = "years and sites"
    try:
        compared = compare_series(series, observed, metrics=[metric], pairs=pairs, split=split)
    except InputError:  # too few years
        over = "sites"
        compared = compare_series(
            series, observed, metrics=[metric], pairs=pairs, over=("site",), split=split
        )
    return [
        Pair(each, over, compare_errors(series[each.a], series[each.b], observed, (each.a, each.b)).p_value)
        for each in compared
    ]


def gather(runs: Sequence[Run]) -> tuple[dict[str, list[xr.DataArray]], xr.DataArray | None]:
    """Give the simulations of every model, one a seed with all folds together, and what was observed.

    Returns
    -------
    ``(site, time)`` each (mm/day), of all sites and days that any run tested; NaN where a run did not. No
    observations where a run has no predictions.
    """
    folds: dict[tuple[str, int], list[xr.Dataset]] = {}
    for run in runs:
        found = run.predictions()
        if found is None:
            return {}, None
        plain = plain_text(found[["simulated", "observed"]].load())
        plain = plain.drop_vars([name for name in plain.coords if name not in plain.dims])
        folds.setdefault((run.model, run.seed), []).append(plain.transpose("site", "time"))
    if not folds:
        return {}, None
    whole = {
        key: xr.concat(parts, "site", join="outer").drop_duplicates("site") for key, parts in folds.items()
    }
    aligned = xr.align(*whole.values(), join="outer")
    observed = aligned[0]["observed"]
    series: dict[str, list[xr.DataArray]] = {}
    for (model, _), one in zip(whole, aligned, strict=True):
        observed = observed.fillna(one["observed"])
        series.setdefault(model, []).append(one["simulated"])
    return series, observed


def _table(found: Sequence[Pair]) -> Table:
    rows = []
    for pair in found:
        each = pair.comparison
        rows.append(
            [
                each.split,
                f"{each.a} − {each.b}",
                VERDICTS[each.verdict].format(a=each.a, b=each.b),
                number(each.difference.median, 3),
                between(each.difference.low, each.difference.high, 3),
                pair.over,
                "<0.001" if pair.p_value < 0.001 else number(pair.p_value, 3),
                f"{each.share_better:.0%}" if each.share_better == each.share_better else "–",
                str(each.difference.sites),
            ]
        )
    columns = [
        "split",
        "models",
        "verdict",
        "difference",
        "interval",
        "over",
        "p",
        "first better at",
        "sites",
    ]
    return Table(
        "Differences, site by site: the median with its 90 % interval from drawing whole water years and "
        f"sites anew (sites alone where fewer than {FEWEST_BLOCKS} water years were tested: then nothing is "
        "said of other years). Where the interval holds zero there is no clear difference; one in ten "
        "pairs that are equal looks different by chance. p: Diebold-Mariano test of daily squared errors "
        f"over all sites, which hang together for up to {HORIZON} days.",
        columns,
        rows,
        words=3,
    )
