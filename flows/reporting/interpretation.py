"""What models learned: what the physics says, what the network decides, and what it uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from thalweg.evaluation.interpretation.beside import beside
from thalweg.evaluation.interpretation.identifiability import identifiability
from thalweg.flows.reporting import figures
from thalweg.flows.reporting.section import Figure, Section, Table, between, number
from thalweg.flows.reporting.tables import evaluated
from thalweg.storage.results import Run

MOST_ATTRIBUTES = 14
MOST_FEATURES = 8
MOST_FLAGS = 6
CHECKED = "checks of the method"


def interpretation_section(metrics: pd.DataFrame, runs: Sequence[Run], metric: str) -> Section:
    """Give the audit of the physics, the ledger of physics and network, and what networks use.

    Parameters
    ----------
    metrics : of one experiment.
    runs : of it, evaluated or not.
    """
    section = Section("interpretation", "Interpretation")
    _audit(section, evaluated(runs, "physics_audit"))
    _checks(section, evaluated(runs, "physics"))
    _parameters(section, runs)
    _ledger(section, metrics, runs, metric)
    _importance(section, runs)
    return section


def _audit(section: Section, audit: pd.DataFrame) -> None:
    """Tell what contradicts the physics of each model, over all of its runs."""
    if audit.empty:
        return
    rows: list[list[str]] = []
    marked: set[int] = set()
    flags: list[str] = []
    keys = ["split", "model", "check", "statistic"]
    for (split, model, check, statistic), own in audit.groupby(keys, sort=False):
        flagged = own[own["flag"].astype(bool)]
        count = f"{len(flagged)} of {len(own)}" if len(flagged) else ""
        limit = number(float(own["limit"].iloc[0]))
        row = [
            str(split),
            str(model),
            str(check),
            str(statistic),
            number(own["value"].median()),
            limit,
            count,
        ]
        if len(flagged):
            marked.add(len(rows))
            flags.append(f"{model}, {split}: {flagged['reason'].iloc[0]}.")
        rows.append(row)
    section.short += flags[:MOST_FLAGS]
    section.tell(
        "What a model says of things that nobody trained it on. A model may be right about discharge and "
        "wrong "
        "about where the water comes from or when the snow melts: such rows are marked."
    )
    section.parts.append(
        Table(
            "The audit of the physics; medians over runs.",
            ["split", "model", "check", "statistic", "value", "limit", "runs flagged"],
            rows,
            words=4,
            marked=frozenset(marked),
        )
    )


def _checks(section: Section, sites: pd.DataFrame) -> None:
    """Draw what the model says against the reference, a point a site, for each model of the first split."""
    pairs = [
        ("baseflow_index_reference", "baseflow_index_simulated", "baseflow index"),
        ("balance", "evapotranspiration", "evapotranspiration"),
        ("runoff_ratio_observed", "runoff_ratio_simulated", "runoff ratio"),
        ("flow_observed", "melt", "centre of melt (day)"),
    ]
    shown = [pair for pair in pairs if {pair[0], pair[1]} <= set(sites.columns)]
    if not shown:
        return
    first = sites[sites["split"] == sites["split"].iloc[0]]
    shades = figures.colours(first["model"].unique())
    figure, axes = figures.panels(len(shown), 3.0, 2.8, 4)
    for panel, (reference, simulated, what) in zip(axes, shown, strict=True):
        for model, own in first.groupby("model"):
            mean = own.groupby("site")[[reference, simulated]].mean().dropna()
            shade = shades[str(model)]
            panel.plot(mean[reference], mean[simulated], "o", ms=3, alpha=0.6, label=model, color=shade)
        ends = [*panel.get_xlim(), *panel.get_ylim()]
        panel.plot([min(ends), max(ends)], [min(ends), max(ends)], color=figures.MUTED, lw=0.8)
        panel.set_title(what)
        panel.set_xlabel("from observations")
        panel.set_ylabel("simulated")
    figures.legend(axes[0])
    caption = f"{sites['split'].iloc[0]}: what the models say of each site against observations."
    section.parts.append(Figure(caption, figures.svg(figure)))


def _parameters(section: Section, runs: Sequence[Run]) -> None:
    """Draw how parameters respond to attributes, and tell which of them seeds agree on."""
    response = evaluated(runs, "parameter_response")
    if not response.empty:
        first = response[response["split"] == response["split"].iloc[0]]
        for model, own in list(first.groupby("model", sort=False))[:3]:
            table = own.pivot_table("correlation", "parameter", "attribute", sort=False)
            if table.empty:
                continue
            strongest = table.abs().max().sort_values(ascending=False).index[:MOST_ATTRIBUTES]
            table = table[strongest]
            figure, (panel,) = figures.panels(1, 1.8 + 0.42 * table.shape[1], 1.4 + 0.24 * len(table))
            labels, columns = list(map(str, table.index)), list(map(str, table.columns))
            figures.heat(panel, table, labels, columns, low=-1, high=1, scale="BrBG", decimals=1)
            panel.set_title(f"{model}, {first['split'].iloc[0]}")
            section.parts.append(
                Figure(
                    "Rank correlation over sites of each parameter with each attribute.", figures.svg(figure)
                )
            )
    tables = evaluated(runs, "parameters")
    if tables.empty or tables["seed"].nunique() < 2:
        return
    rows = []
    for (split, model), own in tables.groupby(["split", "model"], sort=False):
        if own["seed"].nunique() < 2:
            continue
        for found in identifiability(own).to_dict("records"):
            cells = [number(found[name]) for name in ("icc", "agreement", "seed_spread", "component_spread")]
            rows.append([str(split), str(model), found["parameter"], found["verdict"], *cells])
    section.parts.append(
        Table(
            "Do seeds find the same parameters again? ICC: share of the variance between sites; agreement: "
            "rank "
            "correlation of the maps of two seeds; spreads as shares of the parameter's range.",
            [
                "split",
                "model",
                "parameter",
                "verdict",
                "ICC",
                "agreement",
                "between seeds",
                "between components",
            ],
            rows,
            words=4,
        )
    )


def _ledger(section: Section, metrics: pd.DataFrame, runs: Sequence[Run], metric: str) -> None:
    """Tell what the network decides, whether the balance closes, and what each half does alone."""
    shares = evaluated(runs, "network_share")
    if not shares.empty:
        elsewhere = shares[shares["told"] == "elsewhere"]
        rows = []
        for (split, model, flux), own in elsewhere.groupby(["split", "model", "flux"], sort=False):
            values = [number(own[name].mean()) for name in ("share", "share_of_means")]
            rows.append(
                [str(split), str(model), str(flux), *values, between(own["low"].min(), own["high"].max())]
            )
        section.parts.append(
            Table(
                "What the network decides: the share of each flux's variance that would be there if the "
                "network "
                "had been told of another place while the weather stays (Jansen 1999); 0: it makes no "
                "difference.",
                ["split", "model", "flux", "share", "of long-term means", "over exchanges"],
                rows,
                words=3,
            )
        )
    balance = evaluated(runs, "balance")
    if not balance.empty:
        worst = balance.assign(size=balance["share"].abs()).groupby(["split", "model"])["size"].max()
        open_sites = int((~balance["closed"].astype(bool)).sum())
        told = (
            "every site's balance closes" if not open_sites else f"{open_sites} balances of sites stay open"
        )
        section.tell(
            f"Mass and energy: {told}; the largest residual over a whole test is {worst.max():.1e} of what "
            "was "
            "turned over."
        )
    alone = beside(metrics, metric)
    if not alone.empty:
        columns = ["split", "models", "medians", "in words"]
        rows = [
            [
                str(row["split"]),
                f"{row['hybrid']} and {row['other']} ({row['what']})",
                f"{number(row['hybrid_median'])} and {number(row['other_median'])}",
                str(row["sentence"]).split(": ", 1)[-1].split(" (")[0],
            ]
            for row in alone.to_dict("records")
        ]
        section.parts.append(
            Table("Physics alone, network alone and their hybrid, on the same data.", columns, rows, words=4)
        )


def _importance(section: Section, runs: Sequence[Run]) -> None:
    """Tell what networks use, by several methods, with the checks of each."""
    found = evaluated(runs, "explanation_importance")
    if found.empty:
        return
    checks = evaluated(runs, "explanation_checks")
    split = found["split"].iloc[0]
    for (model, question), own in _asked(found[found["split"] == split]):
        table = own.pivot_table("share", "feature", "method", sort=False)
        table = table.loc[table.mean(axis=1).sort_values(ascending=False).index[:MOST_FEATURES]]
        own_checks = checks[
            (checks["split"] == split) & (checks["model"] == model) & (checks["question"] == question)
        ]
        rows = [[str(feature), *[number(value) for value in values]] for feature, values in _rows(table)]
        passed = own_checks.groupby("method")["passes"].mean() if len(own_checks) else {}
        rows.append([CHECKED, *[_passed(passed, str(method)) for method in table.columns]])
        section.parts.append(
            Table(
                f"{model}, {split}: what its {question} is made from; the share of each method's whole. "
                "Below, how "
                "many of the method's sanity checks it passes (completeness, weights made random, remove and "
                "retrain): do not believe a method that fails them.",
                ["attribute or variable", *map(str, table.columns)],
                rows,
            )
        )
    _lags(section, evaluated(runs, "explanation_lags"))


def _asked(found: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    """Give the questions of outcomes rather than of single parameters, of each model."""
    groups = [((str(m), str(q)), own) for (m, q), own in found.groupby(["model", "question"], sort=False)]
    return [(key, own) for key, own in groups if key[1].startswith("mean ")][:6]


def _rows(table: pd.DataFrame) -> list[tuple[str, list[float]]]:
    names = map(str, table.index)
    return [(name, list(map(float, row))) for name, row in zip(names, table.to_numpy(), strict=True)]


def _passed(passed: Mapping[str, float] | pd.Series, method: str) -> str:
    share = passed.get(method)
    return "–" if share is None or not np.isfinite(share) else "all" if share == 1 else f"{share:.0%}"


def _lags(section: Section, lags: pd.DataFrame) -> None:
    """Draw how many days back networks over time look."""
    if lags.empty:
        return
    first = lags[lags["split"] == lags["split"].iloc[0]]
    groups = list(first.groupby(["model", "question"], sort=False))[:6]
    figure, axes = figures.panels(len(groups))
    for panel, ((model, question), own) in zip(axes, groups, strict=True):
        for variable, series in own.groupby("variable", sort=False):
            reach = series.groupby("lag")["reach"].mean()
            panel.plot(reach.index + 1, reach, label=variable)
        panel.set_xscale("log")
        panel.set_ylim(0, 1)
        panel.set_title(f"{model}: {question}")
        panel.set_xlabel("days back")
        panel.set_ylabel("share of what is used")
    figures.legend(axes[0])
    section.parts.append(
        Figure(
            "How far back networks look: integrated gradients up to so many days back.", figures.svg(figure)
        )
    )
