"""Tables over sites from the metrics of many runs, honest about what is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from thalweg.evaluation.comparison import Comparison, compare, compare_sites
from thalweg.evaluation.interpretation.audit import baseflow_check
from thalweg.evaluation.intervals import LEVEL, SAMPLES, median_interval
from thalweg.evaluation.tables import GROUP, groups, need, site_values

__all__ = ["Comparison", "baseflow_check", "compare", "compare_sites", "site_values", "summarize"]

COLUMNS = [
    "experiment", "model", "kind", "split", "metric", "median", "low", "high", "sites", "undefined", "folds",
    "seeds", "runs", "runs_expected", "baseflow_correlation", "baseflow_flag", "note",
]  # fmt: skip


def summarize(
    metrics: pd.DataFrame,
    metric: str = "nse",
    runs: pd.DataFrame | None = None,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Give one row for each experiment, model and split.

    A site's value is its mean over seeds (and folds, where it is tested in several); the median and its
    bootstrap interval go over the sites of all folds together.

    Parameters
    ----------
    metrics : the table of :func:`thalweg.storage.results.collect_metrics`.
    metric : a column of it.
    runs : the table of :func:`thalweg.storage.results.collect_runs`. With it missing runs and sites are
        counted, and a model without any result has a row.
    samples, seed, level : see :func:`thalweg.evaluation.intervals.median_interval`.

    Returns
    -------
    Table with the columns ``COLUMNS``. ``sites`` are those in the median, ``undefined`` those tested whose
    value is NaN; ``folds``, ``seeds`` and ``runs`` those with results; ``runs_expected`` is NA where
    unknown. ``baseflow_correlation`` (over sites; NaN where the model has no baseflow) and
    ``baseflow_flag`` are those of :func:`thalweg.evaluation.interpretation.audit.baseflow_check`. ``note``
    says in words what is missing, or nothing.
    """
    if not metrics.empty:
        need(metrics, metric)
    audit = baseflow_check(metrics).set_index(GROUP)
    found = dict(groups(metrics))
    planned = {} if runs is None else dict(groups(runs))
    rows = []
    for key in sorted({*found, *planned}):
        table = found.get(key, metrics.iloc[:0])
        plan = planned.get(key)
        values = site_values(table, metric).to_numpy(dtype=float) if len(table) else np.zeros(0)
        rows.append(
            {
                **dict(zip(GROUP, key, strict=True)),
                "kind": _kind(table) or _kind(plan),
                "metric": metric,
                **median_interval(values, samples, seed, level)._asdict(),
                "sites": int((~np.isnan(values)).sum()),
                "undefined": int(np.isnan(values).sum()),
                **_runs(table, plan),
                "baseflow_correlation": audit["correlation"].get(key, np.nan),
                "baseflow_flag": bool(audit["flag"].get(key, False)),
                "note": _note(table, plan, int(np.isnan(values).sum())),
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS).astype({"runs_expected": "Int64"})


def _kind(table: pd.DataFrame | None) -> str:
    if table is None or table.empty or "kind" not in table.columns:
        return ""
    return str(table["kind"].iloc[0])


def _runs(table: pd.DataFrame, plan: pd.DataFrame | None) -> dict[str, Any]:
    counts = {name: table[name].nunique() if name in table.columns else 0 for name in ("fold", "seed")}
    cells = table[[name for name in ("fold", "seed") if name in table.columns]].drop_duplicates()
    return {
        "folds": counts["fold"],
        "seeds": counts["seed"],
        "runs": len(cells),
        "runs_expected": pd.NA if plan is None else len(plan),
    }


def _note(table: pd.DataFrame, plan: pd.DataFrame | None, undefined: int) -> str:
    parts = []
    if plan is not None:
        scored = set(table["run"].unique()) if "run" in table.columns else set()
        with_results = plan["run"].isin(scored)
        missing = plan.loc[~with_results, "state"]
        if len(missing):
            states = ", ".join(
                f"{count} {state}" for state, count in missing.value_counts(sort=False).items()
            )
            parts.append(f"{len(missing)} of {len(plan)} runs without results ({states})")
        expected = pd.to_numeric(plan.loc[with_results, "sites"], errors="coerce")
        absent = int(expected.sum()) - len(table) if expected.notna().all() else 0
        if absent > 0:
            parts.append(f"{absent} of {int(expected.sum())} sites without a row")
    if undefined:
        parts.append(f"{undefined} sites undefined")
    return "; ".join(parts)
