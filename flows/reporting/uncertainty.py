"""Whether models know how wrong they may be."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

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

EVENTS = {
    "pod": "POD", "far": "FAR", "csi": "CSI", "brier_skill": "Brier skill", "auroc": "AUROC",
    "auprc": "AUPRC",
}  # fmt: skip


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
    floods = evaluated(runs, "events")
    if not floods.empty:
        _events(section, floods, evaluated(runs, "event_reliability"))
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
            "distribution is right, a hump when it is too wide, a trough when it is too narrow, a slope "
            "when it is biased.",
            figures.svg(figure),
        )
    )


def _events(section: Section, floods: pd.DataFrame, reliability: pd.DataFrame) -> None:
    """Give how floods are forecast, as yes or no and as probabilities."""
    names = [name for name in EVENTS if name in floods]
    errors: dict[Hashable, float] = {}
    if not reliability.empty:
        mean = reliability.groupby(["split", "model", "whose"])["calibration_error"].mean()
        errors = {key: float(value) for key, value in mean.items()}
    rows = []
    for (split, model), own in floods.groupby(["split", "model"], sort=False):
        medians = own.groupby("site")[names].mean().median()
        calibrated = [number(errors.get((split, model, whose)), 3) for whose in ("model", "calibrated")]
        rows.append([str(split), str(model), *[number(medians[name]) for name in names], *calibrated])
    section.parts.append(
        Table(
            "Floods: days with more than the 95 % quantile of the site's observed flow; medians over "
            "sites. POD: share of them that is simulated; FAR: share of the simulated ones that did not "
            "come; CSI: hits among all that came or were simulated. Of distributions: the Brier score "
            "against always forecasting 5 %, areas under the ROC curve (0.5: no skill) and under precision "
            "against recall (0.05: no skill), and how far forecast probabilities lie from frequencies, as "
            "they are and calibrated on the validation part.",
            ["split", "model", *[EVENTS[name] for name in names], "off by", "calibrated"],
            rows,
            words=2,
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
        verdicts = ", ".join(dict.fromkeys(own["verdict"]))
        reach = number(width) if np.isfinite(width) else "infinite"
        rows.append([*labels, f"{level:.0%}", f"{coverage:.1%}", reach, verdicts])
        if whose == "conformal":
            section.short += _broken(f"{model}, {split}", own, str(gauge), coverage, level, width)
    if rows:
        columns = ["split", "model", "interval", "sites", "asked", "holds", "width mm/d", "verdict"]
        section.parts.append(
            Table(
                "Intervals: the share of test days that they hold, and their mean width. A conformal "
                "interval is calibrated on the validation part; its promise is kept where test and "
                "validation are exchangeable, which sites without a gauge need not be. Verdict: too low or "
                "too high where the coverage differs from what was asked by more than 2 % and its 90 % "
                "interval over sites.",
                columns,
                rows,
                words=4,
            )
        )


def _broken(
    name: str, own: pd.DataFrame, gauge: str, coverage: float, level: float, width: float
) -> list[str]:
    """Say where a conformal interval does not hold what it promises, or promises nothing."""
    what = f"{name}: the conformal {level:.0%} interval"
    if not np.isfinite(width):
        few = int(own["calibration_sites"].min())
        return [f"{what} is infinite and says nothing: it was calibrated on too little ({few} sites)."]
    verdicts = set(own["verdict"])
    held = f"{what} holds {coverage:.1%} of days at {gauge} sites"
    if coverage < level and "too low" in verdicts:
        return [f"{held}, fewer than it promises: they are unlike what it was calibrated on."]
    if coverage > level and "too high" in verdicts:
        few = int(own["calibration_sites"].min())
        return [f"{held}, more than asked: it is wider than they need ({few} sites to calibrate on)."]
    return []
