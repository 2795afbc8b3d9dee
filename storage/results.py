"""Find runs and put their results side by side.

A root holds one folder an experiment, which holds one folder a run; the files of a run are listed in
:mod:`thalweg.storage.run_folder`, whose writers are given here too. A run that
cannot be read is found all the same and says so in its ``problems``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from thalweg.storage.errors import InputError
from thalweg.storage.run import RUN_NAME, Run
from thalweg.storage.run_folder import (
    FORMAT,
    HISTORY_COLUMNS,
    PLACE_COLUMNS,
    STATES,
    append_history,
    run_name,
    write_history,
    write_manifest,
    write_metrics,
    write_status,
)
from thalweg.storage.run_series import (
    forecast_of,
    write_fluxes,
    write_parameters,
    write_predictions,
    written_by_sites,
)

__all__ = [
    "CELL_COLUMNS",
    "FORMAT",
    "HISTORY_COLUMNS",
    "PLACE_COLUMNS",
    "STATES",
    "Run",
    "append_history",
    "collect_metrics",
    "collect_runs",
    "find_run",
    "find_runs",
    "forecast_of",
    "place_in_order",
    "run_name",
    "write_fluxes",
    "write_history",
    "write_manifest",
    "write_metrics",
    "write_parameters",
    "write_predictions",
    "write_status",
    "written_by_sites",
]

CELL_COLUMNS = ("run", "experiment", "model", "kind", "split", "fold", "seed")


def find_runs(root: Path | str, experiment: str | None = None) -> list[Run]:
    """Give every run under ``root``, of one experiment or of all, in a fixed order.

    A root that is not there has no runs. Folders whose name starts with a dot are passed over, and
    those that neither hold a manifest or a status nor are named as a run is.
    """
    runs = [
        Run(folder)
        for parent in _folders(Path(root))
        if experiment is None or parent.name == experiment
        for folder in _folders(parent)
        if RUN_NAME.fullmatch(folder.name) or _has(folder, "manifest.json") or _has(folder, "status.json")
    ]
    return sorted(runs, key=place_in_order)


def place_in_order(run: Run) -> tuple[Any, ...]:
    """Give what runs are sorted by: fold 10 after fold 2."""
    return run.experiment, run.model, run.split, _natural(run.fold), run.seed, run.id


def find_run(root: Path | str, id: str) -> Run:  # noqa: A002 - the word used everywhere for it
    """Give the run with this id, or the only one whose id, or name within its experiment, starts so.

    Raises
    ------
    InputError
        When no run or more than one fits; the nearest are named.
    """
    wanted = id.strip().removeprefix(f"{Path(root)}/").strip("/")
    runs = find_runs(root)
    for names in (lambda run: (run.id,), lambda run: (run.id, run.path.name)):
        exact = [run for run in runs if wanted in names(run)]
        if len(exact) == 1:
            return exact[0]
    found = [
        run for run in runs if wanted and (run.id.startswith(wanted) or run.path.name.startswith(wanted))
    ]
    if len(found) == 1:
        return found[0]
    if found:
        named = ", ".join(run.id for run in found[:5]) + (", ..." if len(found) > 5 else "")
        raise InputError(f"run {id!r} fits {len(found)} runs under {root}: {named}; give more of the id")
    ids = [run.id for run in runs]
    near = difflib.get_close_matches(wanted, ids, n=3, cutoff=0.3)
    advice = f"did you mean {' or '.join(near)}?" if near else f"there are {len(ids)} runs there"
    raise InputError(f"no run {id!r} under {root}: {advice}")


def collect_runs(runs: Iterable[Run]) -> pd.DataFrame:
    """Give one row a run: ``CELL_COLUMNS``, ``state``, ``sites`` (test sites planned), ``message``."""
    rows = []
    for run in runs:
        test = run.manifest.get("test")
        sites = test.get("sites") if isinstance(test, dict) else None
        message = str(run.status.get("message") or "; ".join(run.problems))
        rows.append((*_labels(run), run.state, pd.NA if sites is None else sites, message))
    return pd.DataFrame(rows, columns=[*CELL_COLUMNS, "state", "sites", "message"])


def collect_metrics(runs: Iterable[Run], *, validation: bool = False) -> pd.DataFrame:
    """Give the metrics of all runs in one table: ``CELL_COLUMNS``, the site's place, the metrics.

    Those of the test part, or of the validation part. Runs without metrics have no rows;
    :func:`collect_runs` names them.
    """
    tables = []
    for run in runs:
        table = run.validation() if validation else run.metrics()
        if not table.empty:
            labels = pd.DataFrame([_labels(run)] * len(table), columns=list(CELL_COLUMNS))
            tables.append(pd.concat([labels, table.reset_index(drop=True)], axis=1))
    if not tables:
        return pd.DataFrame(columns=[*CELL_COLUMNS, *PLACE_COLUMNS])
    return pd.concat(tables, ignore_index=True)


def _labels(run: Run) -> tuple[str, str, str, str, str, str, int]:
    return (run.id, run.experiment, run.model, run.kind, run.split, run.fold, run.seed)


def _folders(parent: Path) -> list[Path]:
    try:
        return sorted(path for path in parent.iterdir() if not path.name.startswith(".") and path.is_dir())
    except OSError:
        return []


def _has(folder: Path, name: str) -> bool:
    try:
        return (folder / name).exists()
    except OSError:
        return False


def _natural(label: str) -> tuple[tuple[int, int | str], ...]:
    """Order labels so that fold 10 comes after fold 9."""
    return tuple(
        (0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", label) if part
    )
