"""Tables that `thalweg evaluate` made, of all runs of an experiment together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from thalweg.storage.evaluations import read_table
from thalweg.storage.results import Run


def evaluated(runs: Sequence[Run], name: str) -> pd.DataFrame:
    """Read a table of every run that has it, with columns ``run``, ``model``, ``split`` and ``seed``.

    Empty where no run has it.
    """
    found = []
    for run in sorted(runs, key=lambda run: run.split):  # in each split the models in their order
        table = read_table(run.path, name)
        if isinstance(table, pd.DataFrame):
            labels: dict[str, Any] = {"run": run.id, "model": run.model, "split": run.split, "seed": run.seed}
            found.append(table.assign(**labels))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()
