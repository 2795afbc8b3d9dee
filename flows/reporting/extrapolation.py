"""Whether skill holds where models were not trained."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from thalweg.evaluation.extrapolation.gaps import extrapolation_gaps, lines_outside
from thalweg.evaluation.extrapolation.shares import share_curves
from thalweg.evaluation.extrapolation.support import skill_by_distance
from thalweg.evaluation.extrapolation.trends import trend_skill
from thalweg.evaluation.skill import METRICS
from thalweg.flows.reporting import figures
from thalweg.flows.reporting.section import Figure, Section, Table, between, number
from thalweg.flows.reporting.tables import evaluated
from thalweg.storage.results import Run
from thalweg.storage.splits import KINDS

FEW = 0.05  # applicability below which nothing like it was trained on


def extrapolation_section(
    metrics: pd.DataFrame,
    validation: pd.DataFrame,
    runs: Sequence[Run],
    kinds: Mapping[str, str],
    metric: str,
) -> Section:
    """Give skill inside against outside, by distance from the training support, and over the data's share.

    Parameters
    ----------
    metrics, validation : of one experiment, of the test and the validation parts.
    runs : of the experiment, evaluated or not.
    kinds : split -> its kind.
    """
    section = Section("extrapolation", "Extrapolation")
    floors = set(metrics.loc[metrics["kind"] == "floor", "model"])
    shades = figures.colours(metrics["model"].unique(), floors)
    claims = [[split, str(KINDS[kind].proves)] for split, kind in kinds.items() if kind in KINDS]
    section.parts.append(Table("What a score on each split says.", ["split", "it tests"], claims, words=2))
    _gaps(section, metrics[~metrics["model"].isin(floors)], validation, kinds, metric, shades)
    _line(section, metrics[~metrics["model"].isin(floors)], kinds, metric, shades)
    _shares(section, metrics[~metrics["model"].isin(floors)], kinds, metric, shades)
    _distances(section, metrics[~metrics["model"].isin(floors)], runs, metric, shades)
    _trends(section, [run for run in runs if run.kind != "floor"])
    return section


def _gaps(
    section: Section,
    metrics: pd.DataFrame,
    validation: pd.DataFrame,
    kinds: Mapping[str, str],
    metric: str,
    shades: Mapping[str, str],
) -> None:
    found = extrapolation_gaps(metrics, kinds, metric, validation)
    if found.empty:
        section.tell(
            "Nothing here extrapolates, or nothing is inside to compare with: give the experiment a temporal "
            "split and an ungauged, an extreme or a differential one."
        )
        return
    section.short += [f"{sentence}." for sentence in found["sentence"]][:6]
    rows = [
        [
            row["model"],
            row["split"],
            row["inside_split"] + ("" if row["paired"] else " (other sites or days)"),
            number(row["inside"], 3),
            number(row["outside"], 3),
            number(row["gap"], 3),
            between(row["low"], row["high"], 3),
            str(row["sites"]),
        ]
        for row in found.to_dict("records")
    ]
    columns = ["model", "outside", "inside", "skill inside", "skill outside", "gap", "interval", "sites"]
    section.parts.append(
        Table(
            f"Skill inside and outside ({METRICS[metric].long_name}, median over sites), and the gap inside "
            "− outside site by site with its 90 % interval.",
            columns,
            rows,
            words=3,
        )
    )
    figure, (panel,) = figures.panels(1, 6.2, 0.6 + 0.28 * len(found))
    figures.ranges(
        panel,
        [f"{row.model}, {row.split}" for row in found.itertuples()],
        found["gap"],
        found["low"],
        found["high"],
        [shades.get(name, figures.INK) for name in found["model"]],
    )
    panel.set_xlabel("skill lost outside" if METRICS[metric].better == "high" else "inside − outside")
    section.parts.append(Figure("The gap and its 90 % interval.", figures.svg(figure)))


def _line(
    section: Section, metrics: pd.DataFrame, kinds: Mapping[str, str], metric: str, shades: Mapping[str, str]
) -> None:
    """Draw skill outside against skill inside over every configuration and seed that was trained."""
    inside_split, found = lines_outside(metrics, kinds, metric)
    lines = {split: line for split, line in found.items() if len(line) >= 3}
    if not lines:
        return
    figure, axes = figures.panels(len(lines))
    for panel, (split, line) in zip(axes, lines.items(), strict=True):
        ordered = line.sort_values("inside")
        panel.plot(ordered["inside"], ordered["expected"], color=figures.MUTED, lw=1)
        for model, own in line.groupby("model"):
            panel.plot(own["inside"], own["outside"], "o", label=model, color=shades.get(str(model)), ms=5)
        panel.set_title(split)
        panel.set_xlabel(f"skill inside ({inside_split})")
        panel.set_ylabel("skill outside")
    figures.legend(axes[0])
    section.parts.append(
        Figure(
            "Skill outside against skill inside, a point for each model and seed, and the line through "
            "them: what lies above the line holds better outside than its skill inside lets expect (Miller "
            "et al. 2021).",
            figures.svg(figure),
        )
    )


def _shares(
    section: Section, metrics: pd.DataFrame, kinds: Mapping[str, str], metric: str, shades: Mapping[str, str]
) -> None:
    """Draw the data-efficiency curves: skill against the share of the data trained on."""
    found = share_curves(metrics, kinds, metric)
    if found.empty:
        return
    curves = list(found.groupby("curve"))
    figure, axes = figures.panels(len(curves), 5.0 if len(curves) == 1 else 3.4, 3.2)
    for panel, (curve, rows) in zip(axes, curves, strict=True):
        for model, own in rows.groupby("model"):
            shade = shades.get(str(model))
            panel.plot(own["share"], own["median"], "o-", label=model, color=shade, ms=4)
            panel.fill_between(own["share"], own["low"], own["high"], alpha=0.15, color=shade, lw=0)
        ticks = sorted(rows["share"].unique())
        panel.set_xscale("log")
        panel.set_xticks(ticks, [f"{tick:g} %" for tick in ticks])
        panel.minorticks_off()
        panel.set_title(str(curve))
        panel.set_xlabel("share of the data trained on")
        panel.set_ylabel(METRICS[metric].long_name)
    figures.legend(axes[0])
    section.parts.append(
        Figure(
            "Data efficiency: along a curve the same test after nested shares of the data; bands are 90 % "
            "intervals of the median over sites.",
            figures.svg(figure),
        )
    )
    table = [
        [
            row["curve"],
            row["model"],
            f"{row['share']:g} %",
            number(row["median"], 3),
            between(row["low"], row["high"], 3),
            str(row["sites"]),
        ]
        for row in found.to_dict("records")
    ]
    columns = ["split", "model", "share", "median", "interval", "sites"]
    section.parts.append(Table("The same as numbers.", columns, table, words=2))


def _distances(
    section: Section, metrics: pd.DataFrame, runs: Sequence[Run], metric: str, shades: Mapping[str, str]
) -> None:
    """Draw skill against distance from the training sites."""
    support = evaluated(runs, "support")
    if support.empty or "nearest" not in support:
        return
    joined = metrics.merge(support.drop(columns=["model", "split", "seed"]), on=["run", "site"])
    splits = [split for split, own in joined.groupby("split", sort=False) if own["nearest"].max() > 0]
    if not splits:
        return
    figure, axes = figures.panels(len(splits[:6]))
    rows = []
    for panel, split in zip(axes, splits[:6], strict=True):
        for model, own in joined[joined["split"] == split].groupby("model"):
            far = own.groupby("site")[["nearest", "mahalanobis", metric]].mean()
            for name in ("nearest", "mahalanobis"):
                found = skill_by_distance(far[metric], far[name])
                told = found.attrs
                verdict = told["sentence"].split(" from what")[0].split(":")[0]
                interval = between(told["low"], told["high"])
                count = str(int(found["sites"].sum()))
                distance = "nearest site" if name == "nearest" else "Mahalanobis"
                correlation = number(told["rank_correlation"])
                rows.append([split, str(model), distance, verdict, correlation, interval, count])
                if name == "nearest":
                    middle = (found["from"] + found["to"]) / 2
                    panel.plot(middle, found["median"], "o-", ms=4, label=model, color=shades.get(str(model)))
        panel.set_title(str(split))
        panel.set_xlabel("distance to the nearest training site")
        panel.set_ylabel(METRICS[metric].long_name)
    figures.legend(axes[0])
    section.parts.append(
        Figure(
            "Skill in classes of distance from the nearest training site, in standard deviations of "
            "attributes and climate; as many sites in each class.",
            figures.svg(figure),
        )
    )
    columns = ["split", "model", "distance", "verdict", "rank correlation", "interval", "sites"]
    section.parts.append(Table("Skill and distance from what was trained on.", columns, rows, words=4))
    rows = [
        [str(split), f"{(own['applicability'] < FEW).mean():.0%}", f"{own['days_outside'].mean():.1%}"]
        for split, own in joined.groupby("split", sort=False)
    ]
    section.parts.append(
        Table(
            f"Applicability below {FEW}: farther from anything trained on than {1 - FEW:.0%} of the "
            "training data are from each other; with fewer than 20 training sites no site can be. Each "
            "prediction's own is in its run's folder.",
            ["split", "sites", "days (weather)"],
            rows,
        )
    )


def _trends(section: Section, runs: Sequence[Run]) -> None:
    found = evaluated(runs, "trends")
    if found.empty:
        return
    rows = []
    for (split, model), own in found.groupby(["split", "model"], sort=False):
        mean = own.groupby(["site", "flow"], sort=False).mean(numeric_only=True).to_xarray()
        rows += [
            [str(split), str(model), *_trend(row)]
            for row in trend_skill(mean).to_dict("records")
            if row["sites"]
        ]
    if rows:
        columns = [
            "split",
            "model",
            "flow",
            "observed",
            "simulated",
            "rank correlation",
            "sign right where clear",
            "sites",
        ]
        section.parts.append(
            Table(
                "Trends over the tested years: medians over sites of Theil-Sen slopes (mm/day a decade) of "
                "a year's mean, high (98 %) and low (10 %) flow; clear: Mann-Kendall p below 0.1.",
                columns,
                rows,
                words=3,
            )
        )


def _trend(row: Mapping[Hashable, Any]) -> list[str]:
    slopes = [number(row[name], 3) for name in ("observed", "simulated")]
    right = f"{row['same_sign']:.0%} of {row['clear']}" if row["clear"] else "none is clear"
    return [row["flow"], *slopes, number(row["correlation"]), right, str(row["sites"])]
