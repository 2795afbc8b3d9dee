"""Whether models know how wrong they may be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from thalweg.flows.reporting import figures
from thalweg.flows.reporting.section import Figure, Section, Table, number
from thalweg.flows.reporting.tables import evaluated
from thalweg.storage.results import Run

SCORES = {
    "crps": "CRPS mm/d", "crpss": "CRPSS", "log_score": "log score", "coverage_90": "in 90 %",
    "width_90": "width mm/d", "pit_reliability": "PIT reliability",
}  # fmt: skip
TOLERANCE = 0.03  # of coverage, beyond which the report speaks of it


def uncertainty_section(runs: Sequence[Run]) -> Section:
    """Give scores of distributions and the coverage of intervals, where models have them."""
    section = Section("uncertainty", "Uncertainty")
    scores = evaluated(runs, "probabilistic")
    if not scores.empty:
        _scores(section, scores)
        _histograms(section, evaluated(runs, "pit"))
    held = evaluated(runs, "conformal")
    if not held.empty:
        _coverage(section, held)
    return section


def _scores(section: Section, scores: pd.DataFrame) -> None:
    names = [name for name in SCORES if name in scores]
    rows = []
    for (split, model), own in scores.groupby(["split", "model"], sort=False):
        medians = own.groupby("site")[names].mean().median()
        rows.append([str(split), str(model), *[number(medians[name], 3) for name in names]])
    section.parts.append(
        Table(
            "Scores of distributions, medians over sites. CRPS: continuous ranked probability score, the "
            "smaller the "
            "better; CRPSS: against climatology, 1 when perfect; in 90 %: share of days within the model's "
            "own 90 % "
            "interval.",
            ["split", "model", *[SCORES[name] for name in names]],
            rows,
            words=2,
        )
    )


def _histograms(section: Section, pit: pd.DataFrame) -> None:
    """Draw where in their distributions the observations fall."""
    if pit.empty:
        return
    groups = list(pit.groupby(["split", "model"], sort=False))[:9]
    figure, axes = figures.panels(len(groups), 2.6, 2.0, 4)
    for panel, ((split, model), own) in zip(axes, groups, strict=True):
        mean = own.groupby("bin")["pit"].mean()
        count = len(mean)
        middle = (np.arange(count) + 0.5) / count
        panel.bar(middle, mean * count, width=1 / count, color=figures.COLOURS[0], alpha=0.7)
        panel.axhline(1, color=figures.MUTED, lw=1)
        panel.set_title(f"{model}, {split}", fontsize=8)
    section.parts.append(
        Figure(
            "Where observations fall in the predicted distributions (PIT), mean over sites: flat when the "
            "distribution "
            "is right, a hump when it is too wide, a trough when it is too narrow, a slope when it is "
            "biased.",
            figures.svg(figure),
        )
    )


def _coverage(section: Section, held: pd.DataFrame) -> None:
    rows = []
    groups = held[held["by"] == "gauge"].groupby(["split", "model", "interval", "group"], sort=False)
    for (split, model, whose, gauge), own in groups:
        days = own["days"].sum()
        if not days:
            continue
        coverage, width = ((own[name] * own["days"]).sum() / days for name in ("coverage", "width"))
        level = float(own["level"].iloc[0])
        interval = "the model's own" if whose == "model" else f"conformal ({own['method'].iloc[0]})"
        labels = [str(split), str(model), interval, str(gauge)]
        rows.append([*labels, f"{level:.0%}", f"{coverage:.1%}", number(width)])
        if whose == "conformal" and abs(coverage - level) > TOLERANCE:
            what = "sites without a gauge" if gauge == "ungauged" else "the tested years"
            why = f": {what} are not exchangeable with what it was calibrated on"
            section.short.append(
                f"{model}, {split}: the conformal {level:.0%} interval holds {coverage:.1%} of {gauge} "
                f"days{why}."
            )
    if rows:
        columns = ["split", "model", "interval", "sites", "asked", "holds", "width mm/d"]
        section.parts.append(
            Table(
                "Intervals: the share of test days that they hold, and their mean width. A conformal "
                "interval is "
                "calibrated on the validation part; its promise is kept where test and validation are "
                "exchangeable.",
                columns,
                rows,
                words=4,
            )
        )
