"""`thalweg evaluate`: what of each run is computed after training, from what the run left.

A product is a name and a function of the run and its data that gives tables by name; see
:mod:`thalweg.flows.products`. To add one, add a line to ``PRODUCTS``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thalweg.flows.names import nearest
from thalweg.flows.pooling import ensembles
from thalweg.flows.products import conformal, events, explanation, extrapolation, physics, scores
from thalweg.flows.products.run_data import RunData
from thalweg.flows.products.scores import Tables
from thalweg.storage import evaluations
from thalweg.storage.errors import InputError, UnavailableError
from thalweg.storage.results import Run, find_run, find_runs

Product = Callable[[Run, RunData], Tables]

PRODUCTS: list[tuple[str, Product]] = [
    ("deterministic", scores.deterministic),
    ("probabilistic", scores.probabilistic),
    ("events", events.events),
    ("signatures", scores.signatures),
    ("strata", scores.strata),
    ("conformal", conformal.conformal),
    ("support", extrapolation.support),
    ("trends", extrapolation.yearly_trends),
    ("parameters", physics.parameters),
    ("physics", physics.physics),
    ("network_share", physics.network_share),
    ("explanation", explanation.explanation),
]

# What a product is made from, beside the settings: all that training and testing left.
SOURCES = (
    "manifest.json",
    "weights.pt",
    *(f"{name}.zarr" for name in ("predictions", "forecast", "validated", "validated_forecast")),
    *(f"{name}.zarr" for name in ("parameters", "fluxes")),
)


@dataclass
class Evaluated:
    """What came of a run's evaluation.

    Attributes
    ----------
    made, kept : names of products that were made now, and that were there.
    failed : product -> why it could not be made.
    """

    run: Run
    made: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def evaluate(
    root: Path,
    names: Sequence[str],
    changes: Mapping[str, Any] | None = None,
    *,
    only: Sequence[str] = (),
    force: bool = False,
    on_run: Callable[[Run], None] = lambda run: None,
) -> list[Evaluated]:
    """Evaluate runs that are done, and the ensembles of those of them that differ in their seed alone.

    Parameters
    ----------
    names : runs, or experiments for all of their runs.
    changes : dotted keys of the experiment with other values, such as ``models.lstm.conformal.level``.
    only : names of products; all of them if empty.
    force : make what is there again.
    on_run : is told each run before it is evaluated.

    Raises
    ------
    InputError
        When a name is unknown, or no run named is done.
    """
    known = [name for name, _ in PRODUCTS]
    for name in only:
        if name not in known:
            raise InputError(f"--only {name}: unknown{nearest(name, known)}")
    runs = _done(root, names)
    pooled = ensembles(root, [run for run in runs if not run.manifest.get("members")], force=force)
    found = {run.id: RunData(run, dict(changes or {})) for run in (*runs, *pooled)}
    for data in found.values():
        _ = data.spec  # a wrong key is told before anything is computed
    results = []
    for data in found.values():
        on_run(data.run)
        results.append(evaluate_run(data, only=only, force=force))
    return results


def evaluate_run(data: RunData, *, only: Sequence[str] = (), force: bool = False) -> Evaluated:
    """Make the products of one run that are not there yet; what one lacks does not stop the others."""
    result = Evaluated(data.run)
    for name, make in PRODUCTS:
        if only and name not in only:
            continue
        made_from = _digest(data, name)
        if not force and evaluations.is_made(data.run.path, name, made_from):
            result.kept.append(name)
            continue
        try:
            tables = make(data.run, data)
        except (InputError, UnavailableError) as error:
            result.failed[name] = str(error)
            continue
        evaluations.write_product(data.run.path, name, tables, made_from)
        result.made.append(name)
    return result


def _digest(data: RunData, product: str) -> str:
    """Give the hash of what a product depends on: the run's files, and what the experiment says of it."""
    content: list[Any] = [_stamp(data.run.path / name) for name in SOURCES]
    if product == "conformal" and not data.floor:
        content.append(data.spec.conformal.model_dump())  # type: ignore[union-attr]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def undone(root: Path, names: Iterable[str]) -> list[str]:
    """Give the ids of the runs of all names that are not done, so that they cannot be evaluated."""
    return [run.id for run in _named(root, names) if run.state != "done"]


def _done(root: Path, names: Sequence[str]) -> list[Run]:
    """Give the runs of all names that are done, each once.

    Raises
    ------
    InputError
        When a name is unknown or no run is done.
    """
    named = _named(root, names)
    done = [run for run in named if run.state == "done"]
    if not done:
        states = ", ".join(sorted({run.state for run in named})) or "there is none"
        raise InputError(f"no run of {', '.join(names)} is done ({states}): there is nothing to evaluate")
    return done


def _named(root: Path, names: Iterable[str]) -> list[Run]:
    experiments = {run.experiment for run in find_runs(root)}
    named: dict[str, Run] = {}
    for name in names:
        plain = name.removeprefix(f"{root}/").strip("/")
        runs = find_runs(root, plain) if plain in experiments else [find_run(root, name)]
        named |= {run.id: run for run in runs}
    return list(named.values())
