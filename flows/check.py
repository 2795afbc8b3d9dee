"""Everything that can be known to be wrong with an experiment before it runs, and what it would run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.flows import specfile
from thalweg.flows.check_training import (
    Problem,
    lacking,
    resource_problems,
    share_problems,
    training_problems,
)
from thalweg.flows.experiment import (
    FLOORS,
    CalibratedModel,
    Experiment,
    HybridModel,
    load_experiment,
    override,
)
from thalweg.flows.head_spec import Conformal
from thalweg.flows.names import nearest
from thalweg.flows.split_spec import AnotherStoreSplit
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
    warnings : what this machine lacks, one line each; a cluster may have it.
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
        The store cannot be reached now, and nothing else is wrong: a mistake stays one later.
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
    except UnavailableError:
        if not problems:
            raise
    ordered = sorted(problems, key=lambda pair: pair[0])
    result.problems = list(dict.fromkeys(text for _, text in ordered))
    if not elsewhere and not os.environ.get("RAY_ADDRESS"):
        result.warnings = [f"{path}: {text}" for text in lacking(experiment)]
    return result


def _found(experiment: Experiment, result: Check) -> Iterator[Problem]:
    yield from _search_problems(experiment)
    yield from _ingest_problems(experiment)
    if not result.elsewhere:
        yield from resource_problems(experiment)
    yield from training_problems(experiment)
    yield from _process_problems(experiment)
    yield from _conformal_problems(experiment)
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
    yield from _other_source(experiment, result.dataset)
    yield from _variable_problems(experiment, result.dataset)
    for place in range(len(experiment.splits)):
        outside = list(_period_problems(experiment, place, result.dataset))
        yield from outside
        if not outside:
            yield from _fold_problems(experiment, place, result.dataset, result.folds)
    yield from share_problems(experiment, result.folds)
    yield from _tried_problems(experiment, result)


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


def _other_source(experiment: Experiment, dataset: xr.Dataset) -> Iterator[Problem]:
    """Tell when the store that is there was made from another source than the experiment's."""
    from thalweg.storage.store import source_text

    data = experiment.data
    if data.source is None:
        return
    made_from, wanted = str(dataset.attrs["source"]), source_text(data.source.model_dump())
    if made_from != wanted:
        yield (
            ("data", "source"),
            f"{data.store} was made from {made_from}, but {wanted} is asked for: name another store, or "
            "delete this one",
        )


def _process_problems(experiment: Experiment) -> Iterator[Problem]:
    from thalweg.flows.derived import missing_forcings
    from thalweg.models.process_check import check_step
    from thalweg.models.processes import find_process

    checked: set[str] = set()
    for name, model in experiment.models.items():
        if not isinstance(model, CalibratedModel | HybridModel):
            continue
        process = find_process(model.process)
        if model.process not in checked:
            checked.add(model.process)
            try:
                check_step(process)
            except ValueError as error:
                yield ("models", name, "process"), str(error)
        missing = missing_forcings(process, experiment.data.forcings)
        if missing:
            yield (
                ("models", name, "process"),
                f"{model.process} needs {', '.join(missing)}: add it to data.forcings",
            )
        fluxes = [flux.name for flux in process.fluxes]
        if experiment.data.target not in fluxes:
            yield (
                ("models", name, "process"),
                f"{model.process} does not give the target {experiment.data.target!r}"
                f"{nearest(experiment.data.target, fluxes)}",
            )
        if model.routing and experiment.data.target != "discharge":
            yield ("models", name, "routing"), "only discharge is routed to the gauge: leave it out"


def _conformal_problems(experiment: Experiment) -> Iterator[Problem]:
    """Tell when intervals are asked for and no split has a part to calibrate them on."""
    keys = ("validate_", "validate_share")
    if any(getattr(split, key, None) for split in experiment.splits for key in keys):
        return
    for name, model in experiment.models.items():
        if getattr(model, "conformal", Conformal()) != Conformal():
            yield (
                ("models", name, "conformal"),
                "is calibrated on a validation part, which no split has: give one `validate` or "
                "`validate_share`",
            )


def _variable_problems(experiment: Experiment, dataset: xr.Dataset) -> Iterator[Problem]:
    data = experiment.data
    series = [str(name) for name, array in dataset.data_vars.items() if "time" in array.dims]
    static = [str(name) for name, array in dataset.data_vars.items() if "time" not in array.dims]
    if data.target not in series:
        yield ("data", "target"), f"{data.target!r} is not in the store{nearest(data.target, series)}"
    for place, name in enumerate(data.forcings):
        if name not in series:
            yield ("data", "forcings", place), f"{name!r} is not in the store{nearest(name, series)}"
    for place, name in enumerate(data.attributes or ()):
        if name not in static:
            yield ("data", "attributes", place), f"{name!r} is not in the store{nearest(name, static)}"
        elif dataset[name].dtype.kind not in "fiu":
            yield ("data", "attributes", place), f"{name!r} is text: networks take numbers only"


def _period_problems(experiment: Experiment, place: int, dataset: xr.Dataset) -> Iterator[Problem]:
    from thalweg.storage.periods import period_of

    first, last = period_of(dataset)
    split = experiment.splits[place]
    for key, period in periods(split):
        if isinstance(split, AnotherStoreSplit) and key == "test":
            continue  # it is of that store
        if period[0] < first or period[1] > last:
            message = f"{period[0]} to {period[1]} is not within the store, which has {first} to {last}"
            yield ("splits", place, key), message


def _fold_problems(
    experiment: Experiment, place: int, dataset: xr.Dataset, known: list[Fold]
) -> Iterator[Problem]:
    """Add the split's folds to those known, or say what is wrong with it."""
    from thalweg.flows.plan import FOLD_SEED
    from thalweg.storage.periods import period_of
    from thalweg.storage.splits import make_folds

    split = experiment.splits[place]
    try:
        target = experiment.data.target if experiment.data.target in dataset else None  # said elsewhere
        folds = make_folds(dataset, split.spec(), FOLD_SEED, target=target)
    except InputError as error:
        yield ("splits", place), str(error)
        return
    known += folds
    if isinstance(split, AnotherStoreSplit):
        yield from _other_store_problems(experiment, place, split, dataset)
    if folds:
        yield from _length_problems(experiment, folds[0], period_of(dataset)[0])


def _other_store_problems(
    experiment: Experiment, place: int, split: AnotherStoreSplit, dataset: xr.Dataset
) -> Iterator[Problem]:
    """Tell which variables that the models are given the other store lacks."""
    from thalweg.storage.attributes import default_attributes
    from thalweg.storage.store import open_store

    other, data = open_store(split.store, split.version), experiment.data
    attributes = default_attributes(dataset) if data.attributes is None else data.attributes
    missing = [name for name in (*data.forcings, *attributes) if name not in other.data_vars]
    if missing:
        listed = ", ".join(missing[:6]) + (", ..." if len(missing) > 6 else "")
        yield (
            ("splits", place, "store"),
            f"{split.store} lacks {listed}, which models are trained on here: name the forcings and "
            "attributes that both stores have in data.forcings and data.attributes",
        )


def _length_problems(experiment: Experiment, fold: Fold, first: date) -> Iterator[Problem]:
    for name, model in experiment.models.items():
        if model.kind in FLOORS:
            continue
        training = experiment.training_for(name)
        start = max(first, fold.train.start - timedelta(days=training.warmup))
        days = (fold.train.end - start).days + 1
        if training.warmup + training.window > days:
            own = model.training.given()  # type: ignore[union-attr]
            keys = ("models", name, "training") if {"window", "warmup"} & set(own) else ("training",)
            key = "window" if training.window >= training.warmup else "warmup"
            yield (
                (*keys, key),
                f"warmup {training.warmup} + window {training.window} days do not fit into the {days} days "
                f"of split {fold.split} ({start} to {fold.train.end}): shorten one of them",
            )


def _search_problems(experiment: Experiment) -> Iterator[Problem]:
    from thalweg.flows.space import space_problems

    if experiment.search is not None:
        yield from space_problems(experiment)


def _tried_problems(experiment: Experiment, result: Check) -> Iterator[Problem]:
    """Tell which values of a search do not fit the store."""
    from thalweg.flows.space import probes
    from thalweg.storage.periods import period_of

    if experiment.search is None or result.dataset is None or not result.folds:
        return
    first = period_of(result.dataset)[0]

    def against_store(spec: Experiment) -> list[str]:
        own = [*_process_problems(spec), *_variable_problems(spec, result.dataset)]  # type: ignore[arg-type]
        lengths = [problem for fold in result.folds for problem in _length_problems(spec, fold, first)]
        return [message for _, message in (*own, *training_problems(spec), *lengths)]

    known = set(against_store(experiment))
    for key, dimension in experiment.search.space.items():
        if not (key.startswith("data.") or key.endswith(TRIED)):
            continue
        for value in probes(dimension):
            with suppress(InputError):  # a value that is not allowed at all is told of already
                new = [
                    text for text in against_store(override(experiment, {key: value})) if text not in known
                ]
                if new:
                    yield ("search", "space", key), f"{value}: {new[0]}"
                    break


def periods(split: Any) -> list[tuple[str, tuple[date, date]]]:
    """Give the periods that a split names: ``(key, (first day, last day))``."""
    found = [(key, getattr(split, name, None)) for key, name in PARTS]
    return [(key, period) for key, period in found if period is not None]


PARTS = (("train", "train"), ("test", "test"), ("validate", "validate_"))
# Keys of a search whose values may be allowed and yet not fit the rest.
TRIED = (".process", ".window", ".precision", ".accumulate", ".batch_sites")
