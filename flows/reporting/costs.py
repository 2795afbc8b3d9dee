"""What the runs took, and which of them are not there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from thalweg.flows.experiment_view import cost_text, total_cost
from thalweg.flows.progress import duration
from thalweg.flows.reporting.section import Section, Table
from thalweg.storage.results import Run


def costs_section(runs: Sequence[Run]) -> Section:
    """Give what each model took, and the runs without results."""
    section = Section("costs", "Cost and completeness")
    states = Counter(run.state for run in runs)
    section.tell(f"{len(runs)} runs: {', '.join(f'{count} {state}' for state, count in states.items())}.")
    whole = total_cost(run.path for run in runs).summary()
    if whole["attempts"]:
        section.tell(f"Together: {cost_text(whole)}.")
        rows = []
        for model in dict.fromkeys(run.model for run in runs):
            own = [run for run in runs if run.model == model]
            cost = total_cost(run.path for run in own).summary()
            rows.append([model, str(len(own)), duration(cost["wall_seconds"]), duration(cost["cpu_seconds"])])
        section.parts.append(Table("By model.", ["model", "runs", "time", "CPU time"], rows))
    missing = [run for run in runs if run.state != "done"]
    if missing:
        section.short.append(f"{len(missing)} of {len(runs)} runs have no results: see the end.")
        rows = [[run.path.name, run.state, str(run.status.get("message") or "")] for run in missing]
        section.parts.append(Table("Runs without results.", ["run", "state", "why"], rows, words=3))
    return section
