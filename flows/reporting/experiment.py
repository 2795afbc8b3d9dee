"""Gather what an experiment's runs left and put it on one page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import yaml

from thalweg import __version__
from thalweg.flows import look_count
from thalweg.flows.evaluation import PRODUCTS, Evaluated, evaluate
from thalweg.flows.names import nearest, refuse_unknown_metric
from thalweg.flows.reporting.costs import costs_section
from thalweg.flows.reporting.detail import detail_section
from thalweg.flows.reporting.extrapolation import extrapolation_section
from thalweg.flows.reporting.interpretation import interpretation_section
from thalweg.flows.reporting.page import page
from thalweg.flows.reporting.section import Section
from thalweg.flows.reporting.skill import skill_section
from thalweg.flows.reporting.uncertainty import uncertainty_section
from thalweg.flows.split_kinds import split_kinds
from thalweg.storage import atomic
from thalweg.storage.errors import InputError
from thalweg.storage.results import Run, collect_metrics, find_runs

NAME, EXPLANATION = "report.html", "explanation"


def write_report(root: Path, experiment: str, file: Path | None = None, metric: str = "nse") -> Path:
    """Write the report of an experiment.

    Parameters
    ----------
    root : folder of all runs.
    file : where to write; by default `report.html` in the experiment's folder.
    metric : by which models are ordered and compared.

    Returns
    -------
    Path : of the file.

    Raises
    ------
    InputError
        When there is no such experiment, nothing of it is done, or the metric is unknown.
    """
    refuse_unknown_metric(metric)
    runs, done = runs_with_results(root, experiment)
    looked = look_count.look(root, runs, "report")
    place = file or root / experiment / NAME
    atomic.write_text(place, page(experiment, _about(runs), _sections(runs, metric, looked), _source(done)))
    return place


def evaluate_all(root: Path, experiment: str, on_run: Callable[[Run], None]) -> list[Evaluated]:
    """Evaluate every run of an experiment; explain the networks of one run a model and split.

    To explain a network takes longer than all else together, and folds and seeds mostly tell the same.

    Parameters
    ----------
    on_run : is told each run before it is evaluated.

    Raises
    ------
    InputError
        When there is no such experiment, or nothing of it is done.
    """
    done = runs_with_results(root, experiment)[1]
    first: dict[tuple[str, str], Run] = {}
    for run in done:
        first.setdefault((run.model, run.split), run)
    quick = [name for name, _ in PRODUCTS if name != EXPLANATION]
    found = evaluate(root, [experiment], only=quick, on_run=on_run)
    explained = [run.id for run in first.values()]
    return found + evaluate(root, explained, only=[EXPLANATION], on_run=on_run)


def runs_with_results(root: Path, experiment: str) -> tuple[list[Run], list[Run]]:
    """Give all runs of an experiment, and those that are done.

    Raises
    ------
    InputError
        When there is no such experiment, or nothing of it is done.
    """
    runs = find_runs(root, experiment)
    if not runs:
        known = sorted({run.experiment for run in find_runs(root)})
        raise InputError(f"{root} has no runs of {experiment!r}{nearest(experiment, known)}")
    done = [run for run in runs if run.state == "done"]
    if not done:
        raise InputError(f"{experiment}: none of its {len(runs)} runs is done: there is nothing to report")
    return runs, done


def _sections(runs: Sequence[Run], metric: str, looked: Sequence[dict[str, object]]) -> list[Section]:
    metrics, validation = collect_metrics(runs), collect_metrics(runs, validation=True)
    skill = skill_section(metrics, runs, metric)
    skill.parts += [f"Test of {row['split']}: {row['text']}." for row in looked]
    if any(int(str(row["models"])) >= look_count.MANY for row in looked):
        skill.tell(f"{look_count.ADVICE[0].upper()}{look_count.ADVICE[1:]}.", short=True)
    return [
        skill,
        detail_section(runs, metric),
        extrapolation_section(metrics, validation, runs, split_kinds(runs), metric),
        interpretation_section(metrics, runs, metric),
        uncertainty_section(runs),
        costs_section(runs),
    ]


def _about(runs: Sequence[Run]) -> list[str]:
    snapshots = {str(run.manifest.get("snapshot") or "")[:12] for run in runs} - {""}
    models = list(dict.fromkeys(run.model for run in runs))
    made = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, Thalweg {__version__}"
    lines = [f"{len(runs)} runs of {len(models)} models: {', '.join(models)}.", f"Written {made}."]
    if snapshots:
        lines.insert(1, f"Data: snapshot {', '.join(sorted(snapshots))}.")
    return lines


def _source(runs: Sequence[Run]) -> str:
    content = runs[0].manifest.get("config")
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True) if content else ""
