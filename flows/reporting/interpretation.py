"""What models learned: what the physics says, what the network decides, and what it uses."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from thalweg.evaluation.interpretation.beside import beside
from thalweg.evaluation.interpretation.identifiability import identifiability
from thalweg.flows.reporting import figures
from thalweg.flows.reporting.parameters import draw_maps, draw_series
from thalweg.flows.reporting.readings import (
    balance_sentence,
    failed_checks,
    flag_sentences,
    untrained_pairs,
    verdict,
)
from thalweg.flows.reporting.section import Figure, Section, Table, number
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
    models = list(dict.fromkeys(audit["model"]))
    for (split, check, statistic), own in audit.groupby(["split", "check", "statistic"], sort=False):
        by_model = dict(iter(own.groupby("model")))
        told = [verdict(by_model[model]) if model in by_model else "–" for model in models]
        if own["flag"].astype(bool).any():
            marked.add(len(rows))
        rows.append([str(split), str(check), str(statistic), number(own["limit"].iloc[0]), *told])
    section.short += flag_sentences(audit)[:MOST_FLAGS]
    section.tell(
        "What a model says of things that nobody trained it on. A model may be right about discharge and "
        "wrong about where the water comes from or when the snow melts: such rows are marked."
    )
    section.parts.append(
        Table(
            "The audit of the physics; medians over runs. Water and energy need sites with three years of "
            "observed days, snow whole water years.",
            ["split", "check", "statistic", "limit", *models],
            rows,
            words=3,
            marked=frozenset(marked),
        )
    )


def _checks(section: Section, sites: pd.DataFrame) -> None:
    """Draw what the model says against the reference, a point a site, for each model of the first split."""
    shown = untrained_pairs(sites)
    if not shown:
        return
    first = sites[sites["split"] == sites["split"].iloc[0]]
    shades = figures.colours(first["model"].unique())
    figure, axes = figures.panels(len(shown), 3.0, 2.8, 4)
    for panel, (reference, simulated, what, units) in zip(axes, shown, strict=True):
        for model, own in first.groupby("model"):
            mean = own.groupby("site")[[reference, simulated]].mean().dropna()
            shade = shades[str(model)]
            panel.plot(mean[reference], mean[simulated], "o", ms=3, alpha=0.6, label=model, color=shade)
        ends = [*panel.get_xlim(), *panel.get_ylim()]
        panel.plot([min(ends), max(ends)], [min(ends), max(ends)], color=figures.MUTED, lw=0.8)
        panel.set_title(what if units == "1" else f"{what} ({units})")
        panel.set_xlabel("from observations")
        panel.set_ylabel("simulated")
    figures.legend(axes[0])
    caption = (
        f"{sites['split'].iloc[0]}: what the models say of each site against observations: the baseflow "
        "index by a filter on observed flow, evapotranspiration as precipitation less observed flow, and "
        "the centre of snow melt beside that of observed flow, which comes later. Days are counted from 1 "
        "October."
    )
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
    if not tables.empty:
        draw_maps(section, tables)
    draw_series(section, runs)
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
            "rank correlation of the maps of two seeds; spreads as shares of the parameter's range.",
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
        models = list(dict.fromkeys(elsewhere["model"]))
        rows = []
        for (split, flux), own in elsewhere.groupby(["split", "flux"], sort=False):
            by_model = own.groupby("model")[["share", "share_of_means"]].mean()
            rows.append([str(split), str(flux), *[_share(by_model, model) for model in models]])
        section.parts.append(
            Table(
                "What the network decides: the share of each flux's variance that would be there if the "
                "network had been told of another place while the weather stays (Jansen 1999); 0: it makes "
                "no difference, 1: it decides all. As climate and attributes go together it can slightly "
                "pass 1. The target is what is observed, behind the routing. In brackets: of "
                "the differences between long-term means of sites.",
                ["split", "flux", *models],
                rows,
                words=2,
            )
        )
    balance = evaluated(runs, "balance")
    if not balance.empty:
        section.tell(balance_sentence(balance))
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


def _share(by_model: pd.DataFrame, model: str) -> str:
    if model not in by_model.index:
        return "–"
    share, means = (float(by_model[name].loc[model]) for name in ("share", "share_of_means"))
    return f"{number(share)} ({number(means)})"


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
        rows.append([CHECKED, *[_passed(own_checks, str(method)) for method in table.columns]])
        section.parts.append(
            Table(
                f"{model}, {split}: what its {question} is made from; the share of each method's whole. "
                "Below, whether the method passes its sanity checks (completeness, randomised weights, "
                "remove and retrain): do not believe one that fails them.",
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


def _passed(checks: pd.DataFrame, method: str) -> str:
    """Say whether a method passes all of its checks, or else which it fails."""
    failed = failed_checks(checks, method)
    if failed is None:
        return "–"
    return f"fails {', '.join(failed)}" if failed else "passes all"


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
