"""Where and when models are good: by season, flow, region and attribute; and the signatures of flow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from thalweg.evaluation.skill import METRICS
from thalweg.flows.reporting import figures
from thalweg.flows.reporting.section import Figure, Section, Table, number
from thalweg.flows.reporting.tables import evaluated
from thalweg.storage.results import Run

OF_DAYS = ("season", "flow")
MOST_CLASSES = 24
MOST_SPLITS = 4


def detail_section(runs: Sequence[Run], metric: str) -> Section:
    """Give skill in strata and the signatures, of the runs that were evaluated.

    Parameters
    ----------
    metric : shown by stratum where it was evaluated so, else the Nash-Sutcliffe efficiency.
    """
    section = Section("detail", "Where and when")
    strata = evaluated(runs, "strata")
    if not strata.empty:
        shown = metric if metric in set(strata["metric"]) else "nse"
        _strata(section, strata[strata["metric"] == shown], shown)
    signatures = evaluated(runs, "signatures")
    if not signatures.empty:
        _signatures(section, signatures)
    return section


def _strata(section: Section, strata: pd.DataFrame, metric: str) -> None:
    """Draw medians over sites, a model a row and a stratum a column."""
    label = np.where(strata["days"] == "all", strata["sites_of"], strata["days"])
    strata = strata.assign(label=strata["by"] + " " + pd.Series(label, strata.index).astype(str))
    # runs of one model: folds hold different sites, so that each counts by its sites
    weighted = strata.assign(weighted=strata["median"] * strata["sites"])
    known = weighted[weighted["median"].notna()]
    sums = known.groupby(["split", "model", "by", "label"], sort=False)[["weighted", "sites"]].sum()
    means = (sums["weighted"] / sums["sites"]).reset_index(name="value")
    for split in list(dict.fromkeys(means["split"]))[:MOST_SPLITS]:
        own = means[means["split"] == split]
        kept = [by for by in own["by"].unique() if own.loc[own["by"] == by, "label"].nunique() > 1]
        first = [by for by in kept if by in (*OF_DAYS, "region")]
        table = own[own["by"].isin(first)].pivot_table("value", "model", "label", sort=False)
        if table.empty:
            continue
        table = table.iloc[:, :MOST_CLASSES]
        width = 1.6 + 0.42 * table.shape[1]
        figure, (panel,) = figures.panels(1, width, 1.3 + 0.32 * len(table))
        figures.heat(panel, table, list(table.index), list(table.columns), low=-0.2, high=0.9)
        panel.set_title(split)
        section.parts.append(
            Figure(
                f"Median {METRICS[metric].long_name} by season, class of observed flow and region.",
                figures.svg(figure),
            )
        )
        spread = _attribute_spread(own[own["by"].isin(set(kept) - set(first))])
        if spread:
            columns = ["attribute", "model", "lowest class", "highest class", "highest − lowest"]
            section.parts.append(
                Table(f"{split}: the attributes along which skill changes most.", columns, spread, words=2)
            )


def _attribute_spread(own: pd.DataFrame, most: int = 6) -> list[list[str]]:
    rows = []
    for (by, model), part in own.groupby(["by", "model"], sort=False):
        first, last = part["value"].iloc[0], part["value"].iloc[-1]
        rows.append(
            (
                abs(last - first),
                [str(by), str(model), *[number(each) for each in (first, last, last - first)]],
            )
        )
    return [row for _, row in sorted(rows, key=lambda pair: -pair[0])[:most]]


def _signatures(section: Section, signatures: pd.DataFrame) -> None:
    """Give how well each signature is ordered over sites, from all folds together."""
    values = [
        name for name in signatures.columns if name not in ("site", "series", "run", "model", "split", "seed")
    ]
    rows = []
    for (split, model), own in signatures.groupby(["split", "model"], sort=False):
        observed, simulated = (
            own[own["series"] == series].groupby("site")[values].mean()
            for series in ("observed", "simulated")
        )
        cells = [number(observed[name].corr(simulated[name], method="spearman")) for name in values]
        rows.append([str(split), str(model), *cells])
    section.parts.append(
        Table(
            "Hydrological signatures (Addor et al. 2018): rank correlation over sites of simulated with "
            "observed.",
            ["split", "model", *values],
            rows,
            words=2,
        )
    )
