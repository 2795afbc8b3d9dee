"""What is wrong with an experiment that only its store can show: variables, periods, sites."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from thalweg.flows.check_models import process_problems
from thalweg.flows.check_training import Problem, share_problems, training_problems
from thalweg.flows.experiment import FLOORS, Experiment, override
from thalweg.flows.names import nearest
from thalweg.flows.split_spec import AnotherStoreSplit
from thalweg.storage.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

    from thalweg.storage.splits import Fold


PARTS = (("train", "train"), ("test", "test"), ("validate", "validate_"))
# Keys of a search whose values may be allowed and yet not fit the rest.
TRIED = (".process", ".window", ".precision", ".accumulate", ".batch_sites")


def store_problems(experiment: Experiment, dataset: xr.Dataset, known: list[Fold]) -> Iterator[Problem]:
    """Tell what does not fit the store, and add the folds of every split that does to those known."""
    yield from _other_source(experiment, dataset)
    yield from _variable_problems(experiment, dataset)
    for place in range(len(experiment.splits)):
        outside = list(_period_problems(experiment, place, dataset))
        yield from outside
        if not outside:
            yield from _fold_problems(experiment, place, dataset, known)
    yield from share_problems(experiment, known)
    yield from _tried_problems(experiment, dataset, known)


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
    for key, period in _periods(split):
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


def _tried_problems(experiment: Experiment, dataset: xr.Dataset, folds: list[Fold]) -> Iterator[Problem]:
    """Tell which values of a search do not fit the store."""
    from thalweg.flows.space import probes
    from thalweg.storage.periods import period_of

    if experiment.search is None or not folds:
        return
    first = period_of(dataset)[0]

    def against_store(spec: Experiment) -> list[str]:
        own = [*process_problems(spec), *_variable_problems(spec, dataset)]
        lengths = [problem for fold in folds for problem in _length_problems(spec, fold, first)]
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


def _periods(split: Any) -> list[tuple[str, tuple[date, date]]]:
    """Give the periods that a split names: ``(key, (first day, last day))``."""
    found = [(key, getattr(split, name, None)) for key, name in PARTS]
    return [(key, period) for key, period in found if period is not None]
