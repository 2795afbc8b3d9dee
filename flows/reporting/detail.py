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
from thalweg.flows.reporting.strata import OF_DAYS, attribute_spread, strata_means
from thalweg.flows.reporting.tables import evaluated
from thalweg.storage.results import Run

MOST_CLASSES = 24
MOST_ATTRIBUTES = 6
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
    means = strata_means(strata)
    for split in list(dict.fromkeys(means["split"]))[:MOST_SPLITS]:
        own = means[means["split"] == split]
        kept = [by for by in own["by"].unique() if own.loc[own["by"] == by, "label"].nunique() > 1]
        first = [by for by in kept if by in (*OF_DAYS, "region")]
        named = own.assign(label=own["by"] + " " + own["label"])
        table = named[named["by"].isin(first)].pivot_table("value", "model", "label", sort=False)
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
        spread = attribute_spread(of_models).head(MOST_ATTRIBUTES)
        if len(spread):
            ends = ("lowest", "highest", "change")
            rows = [
                [str(row["by"]), str(row["model"]), *[number(row[name]) for name in ends]]
                for row in spread.to_dict("records")
            ]
            columns = ["attribute", "model", "lowest class", "highest class", "highest − lowest"]
            section.parts.append(
                Table(
                    f"{split}: the attributes along which skill changes most: {METRICS[metric].long_name} of "
                    "the sites with the lowest and with the highest values, of three classes. Of many "
                    "attributes some differ by chance.",
                    columns,
                    rows,
                    words=2,
                )
            )


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
