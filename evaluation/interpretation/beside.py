"""A hybrid beside physics alone and a network alone, on the same split."""

from __future__ import annotations

import pandas as pd

from thalweg.evaluation.comparison import compare_sites
from thalweg.evaluation.tables import need, site_values

ALONE = {"calibrated": "physics alone", "lstm": "network alone"}
COLUMNS = [
    "experiment", "split", "hybrid", "other", "what", "metric", "hybrid_median", "other_median", "difference",
    "low", "high", "sites", "verdict", "sentence",
]  # fmt: skip


def beside(metrics: pd.DataFrame, metric: str = "nse", **options: int) -> pd.DataFrame:
    """Compare every hybrid with the physics alone and the network alone of its experiment and split.

    All models of an experiment train on the same sites and days; whether their budgets agree is for the
    experiment to say (``training``), and for the ledger of runs to show.

    Parameters
    ----------
    metrics : the table of :func:`thalweg.storage.results.collect_metrics`.
    options : ``samples`` and ``seed`` of :func:`thalweg.evaluation.comparison.compare_sites`.

    Returns
    -------
    Table with ``COLUMNS``; ``difference`` is that of the metric, hybrid - other, with its interval.
    """
    rows: list[tuple[object, ...]] = []
    if metrics.empty:
        return pd.DataFrame(rows, columns=COLUMNS)
    need(metrics, "experiment", "split", "model", "kind", metric)
    for (experiment, split), own in metrics.groupby(["experiment", "split"], sort=True):
        kinds = own.groupby("model", sort=True)["kind"].first()
        for hybrid in kinds.index[kinds == "hybrid"]:
            for other in kinds.index[kinds.isin(list(ALONE))]:
                a, b = (site_values(own[own["model"] == name], metric) for name in (hybrid, other))
                found = compare_sites(a, b, metric, hybrid, other, split=str(split), **options)
                gain = found.difference
                medians = a.median(), b.median(), gain.median, gain.low, gain.high, gain.sites
                what = ALONE[kinds[other]]
                verdict = found.verdict, found.sentence
                rows.append((experiment, split, hybrid, other, what, metric, *medians, *verdict))
    return pd.DataFrame(rows, columns=COLUMNS)
