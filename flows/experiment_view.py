"""`thalweg show EXPERIMENT`: how its cells did, why some failed, and what all of it took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from thalweg.flows.console import console, plural, table
from thalweg.flows.ledger import Cost, cost_of, total
from thalweg.flows.progress import COLOURS, duration
from thalweg.storage import run_sharing
from thalweg.storage.results import Run, find_runs


def runs_of(root: Path, name: str) -> list[Run]:
    """Give the runs of an experiment; none when this is no experiment's name."""
    return find_runs(root, name.removeprefix(f"{root}/").strip("/"))


def describe_experiment(runs: list[Run]) -> dict[str, Any]:
    """Give all that `thalweg show` says of an experiment."""
    return {
        "experiment": runs[0].experiment,
        "path": run_sharing.named(runs[0].path.parent),
        "states": dict(Counter(run.state for run in runs)),
        "not_done": [_trouble(run) for run in runs if run.state not in ("done", "waiting", "running")],
        "cost": total_cost(run.path for run in runs).summary(),
    }


def _trouble(run: Run) -> dict[str, Any]:
    status = run.status
    return {
        "run": run.path.name,
        "state": run.state,
        "reason": str(status.get("message") or "; ".join(run.problems)),
        "error": status.get("error"),
        "epoch": status.get("epoch"),
        "attempts": status.get("attempts"),
    }


def show_experiment(content: Mapping[str, Any]) -> None:
    """Print it."""
    out = console()
    count = ", ".join(f"{number} {state}" for state, number in content["states"].items())
    out.print(f"{content['experiment']}: {plural(sum(content['states'].values()), 'run')}: {count}")
    if content["not_done"]:
        made = table("run", "state", "epoch", "attempts", "reason", right=("epoch", "attempts"))
        for row in content["not_done"]:
            numbers = (str(row[key] or "") for key in ("epoch", "attempts"))
            made.add_row(row["run"], row["state"], *numbers, row["reason"], style=COLOURS.get(row["state"]))
        out.print(made)
    if content["cost"]["attempts"]:
        out.print(f"took {cost_text(content['cost'])}", markup=False)
    out.print(f"folder {content['path']}", markup=False)


def total_cost(folders: Iterable[Path]) -> Cost:
    """Add up what runs took, as far as it is known."""
    return total(cost for folder in folders if (cost := cost_of(folder)) is not None)


def cost_text(cost: Mapping[str, Any]) -> str:
    """Give a cost, as :meth:`thalweg.flows.ledger.Cost.summary` gives it, on one line."""
    parts = [f"{duration(cost['wall_seconds'])} of work", f"{duration(cost['cpu_seconds'])} of CPU"]
    if cost["gpu_seconds"]:
        parts.append(f"{duration(cost['gpu_seconds'])} of GPU")
    parts.append(f"memory up to {size(cost['peak_memory'])}")
    if cost["peak_gpu_memory"]:
        parts.append(f"GPU memory up to {size(cost['peak_gpu_memory'])}")
    parts.append(f"{size(cost['bytes_read'])} read")
    if cost["samples_per_second"] is not None:
        parts.append(f"{cost['samples_per_second']:,.0f} windows a second in training")
        parts.append(f"{cost['waiting_share']:.0%} of that waiting for data")
    return ", ".join(parts)


def size(count: float) -> str:
    """Give bytes as people say them: 340 MB, 1.2 GB."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count / 1e3:.3g} kB"
