"""Where and when models are good: by season, flow, region and attribute; and the signatures of flow."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import numpy as np
import pandas as pd

from thalweg.evaluation.signatures import SIGNATURES
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
        floors = {run.model for run in runs if run.kind == "floor"}
        _strata(section, strata[strata["metric"] == shown], shown, floors)
    signatures = evaluated([run for run in runs if run.kind != "floor"], "signatures")
    if not signatures.empty:
        _signatures(section, signatures)
    return section


def _strata(section: Section, strata: pd.DataFrame, metric: str, floors: AbstractSet[str]) -> None:
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
                f"Median {METRICS[metric].long_name} over sites by season, class of observed flow and "
                "region; of several folds and seeds their mean, weighted by sites. Within a season or a "
                "class of flow an efficiency compares with the mean of those days alone, and is lower "
                "where flow varies little; days of flood, chosen by what came, reward a model that always "
                "says flood.",
                figures.svg(figure),
            )
        )
        of_models = own[own["by"].isin(set(kept) - set(first)) & ~own["model"].isin(floors)]
        spread = _attribute_spread(of_models)
        if spread:
            columns = ["attribute", "model", "lowest class", "highest class", "highest − lowest"]
            section.parts.append(
                Table(
                    f"{split}: the attributes along which skill changes most: {METRICS[metric].long_name} of "
                    "the sites with the lowest and with the highest values, of three classes. Of many "
                    "attributes some differ by chance.",
                    columns,
                    spread,
                    words=2,
                )
            )


def _attribute_spread(own: pd.DataFrame, most: int = 6) -> list[list[str]]:
    rows = []
    ranges = own.assign(start=own["label"].str.extract(r" (\S+) to \S+$")[0].astype(float))
    for (by, model), part in ranges.dropna(subset=["start"]).groupby(["by", "model"], sort=False):
        if len(part) < 2:
            continue
        ordered = part.sort_values("start")["value"]
        first, last = ordered.iloc[0], ordered.iloc[-1]
        rows.append(
            (
                abs(last - first),
                [str(by), str(model), *[number(each) for each in (first, last, last - first)]],
            )
        )
    return [row for _, row in sorted(rows, key=lambda pair: -pair[0])[:most]]


def _signatures(section: Section, signatures: pd.DataFrame) -> None:
    """Give how well each signature is ordered over sites, from all folds together."""
    values = [name for name in SIGNATURES if name in signatures]
    rows = []
    for (split, model), own in signatures.groupby(["split", "model"], sort=False):
        observed, simulated = (
            own[own["series"] == series].groupby("site")[values].mean()
            for series in ("observed", "simulated")
        )
        cells = [_rank_correlation(observed[name], simulated[name]) for name in values]
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


def _rank_correlation(observed: pd.Series, simulated: pd.Series) -> str:
    """Give Spearman's correlation over the sites that have both; a dash where one is the same everywhere."""
    both = pd.concat([observed, simulated], axis=1, join="inner").dropna().rank().to_numpy()
    varied = len(both) > 1 and (np.ptp(both, axis=0) > 0.0).all()
    return number(float(np.corrcoef(both.T)[0, 1]) if varied else None)
