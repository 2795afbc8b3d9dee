"""How good the models are: tables, distributions over sites, clear differences."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations
from typing import Any

import pandas as pd

from thalweg.evaluation.comparison import Comparison, compare
from thalweg.evaluation.skill import METRICS
from thalweg.evaluation.summary import summarize
from thalweg.evaluation.tables import site_values
from thalweg.flows.reporting import figures
from thalweg.flows.reporting.section import Figure, Section, Table, between, number

FIRST = ("nse", "kge_2012", "log_nse", "bias", "correlation")
OTHERS = (
    "kge_2009", "kge_np", "variance_ratio", "rmse", "rmse_high", "rmse_low", "mae", "fhv", "flv", "fms",
    "peak_timing", "missed_peaks",
)  # fmt: skip
SHORT = {
    "nse": "NSE", "kge_2009": "KGE 2009", "kge_2012": "KGE 2012", "kge_np": "KGE np", "log_nse": "log NSE",
    "rmse": "RMSE", "rmse_high": "RMSE high", "rmse_low": "RMSE low", "mae": "MAE", "bias": "bias %",
    "correlation": "r", "variance_ratio": "alpha", "mean_ratio": "beta", "fhv": "FHV %", "flv": "FLV %",
    "fms": "FMS %", "peak_timing": "peaks off", "missed_peaks": "peaks missed",
}  # fmt: skip
MOST_SPLITS = 6  # with a figure of their own
MOST_PAIRS = 15


def skill_section(metrics: pd.DataFrame, planned: pd.DataFrame, metric: str) -> Section:
    """Give the skill of each model on each split.

    Parameters
    ----------
    metrics, planned : of one experiment, as :mod:`thalweg.storage.results` collects them.
    metric : by which models are ordered and compared.
    """
    section = Section("skill", "Skill")
    made = summarize(metrics, metric, planned)
    made["floor"] = made["kind"] == "floor"
    made = made.sort_values(
        ["split", "floor", "median"], ascending=[True, True, METRICS[metric].better == "low"]
    )
    for split, rows in made.groupby("split", sort=False):
        models = rows[~rows["floor"] & rows["median"].notna()]
        if len(models):
            best = models.iloc[0]
            section.short.append(_best(str(split), best, metric))
    section.parts.append(_table(made, metrics, metric))
    section.parts.append(_others(made, metrics, metric))
    section.parts += _distributions(metrics, made, metric)
    section.parts += _pairs(metrics, made, metric, section)
    return section


def _best(split: str, best: pd.Series, metric: str) -> str:
    text = (
        f"{split}: {best['model']} has the best median {METRICS[metric].long_name}, {number(best['median'])} "
        f"(90 % interval {between(best['low'], best['high'])}, {best['sites']} sites)."
    )
    if best["baseflow_flag"]:
        text += (
            " It does not tell rivers with much baseflow from those with little: right, if it is, for the "
            "wrong "
            "reason."
        )
    return text


def _table(made: pd.DataFrame, metrics: pd.DataFrame, metric: str) -> Table:
    names = [name for name in FIRST if name in metrics.columns and name != metric]
    rows, marked = [], set()
    for place, row in enumerate(made.to_dict("records")):
        interval = f"{number(row['median'])} [{between(row['low'], row['high'])}]"
        ends = [number(row["baseflow_correlation"]), row["note"]]
        rows.append([*_label(row), str(row["sites"]), interval, *_medians(row, metrics, names), *ends])
        if row["baseflow_flag"] or row["note"]:
            marked.add(place)
    columns = [
        "split",
        "model",
        "sites",
        SHORT.get(metric, metric),
        *[SHORT[name] for name in names],
        "BFI r",
        "",
    ]
    return Table(
        "Medians over sites; in brackets the 90 % bootstrap interval over sites. BFI r: correlation over "
        "sites "
        "of the model's baseflow index with that of observed flow, which nobody trained on. Skill below a "
        "floor "
        "is worth nothing; persistence is told the flow of the day before.",
        columns,
        rows,
        words=2,
        marked=frozenset(marked),
    )


def _others(made: pd.DataFrame, metrics: pd.DataFrame, metric: str) -> Table:
    names = [name for name in OTHERS if name in metrics.columns and name != metric]
    rows = [[*_label(row), *_medians(row, metrics, names)] for row in made.to_dict("records")]
    return Table(
        "Other metrics, medians over sites: errors in mm/day, alpha is the ratio of standard deviations, "
        "biases of "
        "the highest 2 % and lowest 30 % of flows and of the slope between them in %, peaks off in days.",
        ["split", "model", *[SHORT[name] for name in names]],
        rows,
        words=2,
    )


def _label(row: Mapping[Hashable, Any]) -> list[str]:
    return [row["split"], row["model"] + (" (floor)" if row["floor"] else "")]


def _medians(row: Mapping[Hashable, Any], metrics: pd.DataFrame, names: Sequence[str]) -> list[str]:
    own = metrics[(metrics["model"] == row["model"]) & (metrics["split"] == row["split"])]
    return [number(float(site_values(own, name).median()) if len(own) else None) for name in names]


def _distributions(metrics: pd.DataFrame, made: pd.DataFrame, metric: str) -> list[Figure]:
    splits = list(dict.fromkeys(made["split"]))[:MOST_SPLITS]
    floors = set(made.loc[made["floor"], "model"])
    shades = figures.colours(metrics["model"].unique(), floors)
    if not splits or metrics.empty:
        return []
    figure, axes = figures.panels(len(splits))
    low = -0.5 if METRICS[metric].better == "high" else -float("inf")
    for place, (split, panel) in enumerate(zip(splits, axes, strict=True)):
        own = metrics[metrics["split"] == split]
        values = {str(name): site_values(rows, metric) for name, rows in own.groupby("model")}
        figures.distribution(panel, values, shades, low)
        panel.set_title(split)
        panel.set_xlabel(METRICS[metric].long_name)
        if METRICS[metric].better == "high":
            panel.set_xlim(-0.5, 1)
        if place == 0:
            figures.legend(panel, loc="upper left")
    cut = " Sites below −0.5 stand at the left edge." if METRICS[metric].better == "high" else ""
    return [
        Figure(
            f"Distribution over sites: the lower and further to the right a curve, the better.{cut}",
            figures.svg(figure),
        )
    ]


def _pairs(metrics: pd.DataFrame, made: pd.DataFrame, metric: str, section: Section) -> list[Table]:
    models = list(dict.fromkeys(made.loc[~made["floor"] & made["median"].notna(), "model"]))
    found: list[Comparison] = []
    for a, b in list(combinations(models, 2))[:MOST_PAIRS]:
        shared = set(metrics.loc[metrics["model"] == a, "split"]) & set(
            metrics.loc[metrics["model"] == b, "split"]
        )
        if shared:
            found += compare(metrics, metric, a, b)
    if not found:
        return []
    unclear = [pair for pair in found if pair.verdict in ("none", "unknown")]
    if unclear:
        named = "; ".join(f"{pair.a} and {pair.b} on {pair.split}" for pair in unclear[:4])
        more = f" and {len(unclear) - 4} more" if len(unclear) > 4 else ""
        section.short.append(f"No clear difference between {named}{more}.")
    return [_pair_table(found)]


def _pair_table(found: Sequence[Comparison]) -> Table:
    said = {
        "a": "{a} is better",
        "b": "{b} is better",
        "none": "no clear difference",
        "unknown": "too few sites",
    }
    rows = [
        [
            pair.split,
            f"{pair.a} − {pair.b}",
            said[pair.verdict].format(a=pair.a, b=pair.b),
            number(pair.difference.median, 3),
            between(pair.difference.low, pair.difference.high, 3),
            f"{pair.share_better:.0%}" if pair.share_better == pair.share_better else "–",
            str(pair.difference.sites),
        ]
        for pair in found
    ]
    return Table(
        "Differences, site by site: the median with its 90 % interval. Where the interval holds zero there "
        "is no "
        "clear difference.",
        ["split", "models", "verdict", "difference", "interval", "first better at", "sites"],
        rows,
        words=3,
    )
