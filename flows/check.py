"""Everything that can be known to be wrong with an experiment before it runs, and what it would run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.flows import specfile
from thalweg.flows.check_models import conformal_problems, process_problems
from thalweg.flows.check_store import store_problems
from thalweg.flows.check_training import Problem, lacking, resource_problems, training_problems
from thalweg.flows.experiment import Experiment, load_experiment, override
from thalweg.flows.names import nearest
from thalweg.storage.errors import InputError, UnavailableError

if TYPE_CHECKING:
    import xarray as xr

    from thalweg.storage.splits import Fold


@dataclass
class Check:
    """What a check found.

    Attributes
    ----------
    experiment : None when it could not be read.
    problems : one line each, with file and line number where a key is at fault.
    dataset : the store, or None when it is still to be made.
    folds : of every split, when the store is there.
    elsewhere : whether it is to run on other machines: what this one lacks is no mistake.
    warnings : what this machine lacks or does not reach, one line each; a cluster may have it.
    """

    experiment: Experiment | None = None
    problems: list[str] = field(default_factory=list)
    dataset: xr.Dataset | None = None
    folds: list[Fold] = field(default_factory=list)
    elsewhere: bool = False
    warnings: list[str] = field(default_factory=list)

    def raise_problems(self) -> None:
        """Raise :class:`InputError` with all problems, if there are any."""
        if self.problems:
            raise InputError("\n".join(self.problems))


def check(path: str | Path, changes: Mapping[str, Any] | None = None, *, elsewhere: bool = False) -> Check:
    """Check an experiment: the file first, then against its store when that is there.

    Parameters
    ----------
    changes : dotted keys with values that take the place of the file's.
    elsewhere : it is to run on other machines: what this one lacks is no mistake.

    Raises
    ------
    UnavailableError
        The store cannot be reached from here now, it is to run here, and nothing else is wrong: a mistake
        stays one later.
    """
    try:
        experiment = override(load_experiment(path), dict(changes or {}))
    except InputError as error:
        return Check(problems=str(error).splitlines())
    source = specfile.read(path)
    result = Check(experiment, elsewhere=elsewhere)
    problems: list[tuple[int, str]] = []
    try:
        for keys, message in _found(experiment, result):
            line = source.line(keys)
            problems.append((line, f"{path}:{line}: {'.'.join(map(str, keys))}: {message}"))
    except UnavailableError as error:
        if elsewhere:
            result.warnings.append(f"{path}: not checked against its store: {error}")
        elif not problems:
            raise
    ordered = sorted(problems, key=lambda pair: pair[0])
    result.problems = list(dict.fromkeys(text for _, text in ordered))
    if not elsewhere and not os.environ.get("RAY_ADDRESS"):
        result.warnings = [f"{path}: {text}" for text in lacking(experiment)]
    return result


def _found(experiment: Experiment, result: Check) -> Iterator[Problem]:
    if experiment.search is not None:
        from thalweg.flows.space import space_problems

        yield from space_problems(experiment)
    yield from _ingest_problems(experiment)
    if not result.elsewhere:
        yield from resource_problems(experiment)
    yield from training_problems(experiment)
    yield from process_problems(experiment)
    yield from conformal_problems(experiment)
    from thalweg.storage.store import has_store, open_store

    store = experiment.data.store
    try:
        if not has_store(store):
            if not result.elsewhere:
                yield from _source_problems(experiment)
            return
        result.dataset = open_store(store)
    except InputError as error:
        yield ("data", "store"), str(error)
        return
    yield from store_problems(experiment, result.dataset, result.folds)


def _ingest_problems(experiment: Experiment) -> Iterator[Problem]:
    from thalweg.flows.ingestion import Spec, options_of

    data = experiment.data
    for key, given in (("quality", data.quality), ("ingest", data.ingest)):
        try:
            options_of(Spec(data.store, {}, **{key: given}))
        except InputError as error:
            yield ("data", key), str(error).removeprefix(f"{key}: ")


def _source_problems(experiment: Experiment) -> Iterator[Problem]:
    from thalweg.storage.sources import SOURCES

    source = experiment.data.source
    if source is None:
        message = f"{experiment.data.store} does not exist; give data.source to make it, or make it first: "
        yield ("data", "store"), message + "thalweg ingest"
        return
    if source.kind not in SOURCES and ":" not in source.kind:
        yield ("data", "source", "kind"), f"{source.kind!r} is no source{nearest(source.kind, SOURCES)}"
    path = (source.model_extra or {}).get("path")
    pattern = isinstance(path, str) and any(mark in path for mark in "*?[{")
    if isinstance(path, str) and not pattern and not Path(path).exists():
        yield ("data", "source", "path"), f"{path} does not exist (paths are relative to {Path.cwd()})"
