"""How good the models are: tables, distributions over sites, clear differences."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from thalweg.evaluation.skill import METRICS
from thalweg.evaluation.summary import summarize
from thalweg.evaluation.tables import site_values
from thalweg.flows.reporting import figures
from thalweg.flows.reporting.differences import add_differences
from thalweg.flows.reporting.section import Figure, Section, Table, between, number
from thalweg.storage.results import Run, collect_runs

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


def skill_section(metrics: pd.DataFrame, runs: Sequence[Run], metric: str) -> Section:
    """Give the skill of each model on each split.

    Parameters
    ----------
    metrics : of one experiment, as :func:`thalweg.storage.results.collect_metrics` gives them.
    runs : of it, done or not.
    metric : by which models are ordered and compared.
    """
    section = Section("skill", "Skill")
    made = summarize(metrics, metric, collect_runs(runs))
    made["floor"] = made["kind"] == "floor"
    made["error"] = METRICS[metric].error(made["median"].to_numpy(dtype=float))
    made = made.sort_values(["split", "floor", "error"])
    trained: dict[str, list[str]] = {}
    for split, rows in made.groupby("split", sort=False):
        known = rows[rows["median"].notna()]
        models, floors = known[~known["floor"]], known[known["floor"]]
        trained[str(split)] = models["model"].tolist()
        if len(models):
            section.short.append(_best(str(split), models.iloc[0], floors, metric))
    section.parts.append(_table(made, metrics, metric))
    section.parts.append(_others(made, metrics, metric))
    section.parts += _distributions(metrics, made, metric)
    add_differences(section, metrics, runs, trained, metric)
    return section


def _best(split: str, best: pd.Series, floors: pd.DataFrame, metric: str) -> str:
    text = (
        f"{split}: {best['model']} has the best median {METRICS[metric].long_name}, {number(best['median'])} "
        f"(90 % interval {between(best['low'], best['high'])}, {best['sites']} sites)."
    )
    better = floors[floors["error"] < best["error"]]
    if len(better):
        floor = better.iloc[0]
        text += f" A floor, {floor['model']}, is better: {number(floor['median'])}."
    if best["baseflow_flag"]:
        text += (
            " It does not tell rivers with much baseflow from those with little: right, if it is, for the "
            "wrong reason."
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
        "sites of the model's baseflow index with that of observed flow, which nobody trained on. Skill "
        "below a floor is worth nothing; persistence is told the flow of the day before.",
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
    better = METRICS[metric].better
    told = {
        "high": "the lower and further to the right a curve, the better. Sites below −0.5 stand at the left "
        "edge.",
        "low": "the higher and further to the left a curve, the better.",
    }.get(better, f"the steeper a curve rises at {METRICS[metric].perfect:g}, the better.")
    return [Figure(f"Distribution over sites: {told}", figures.svg(figure))]
