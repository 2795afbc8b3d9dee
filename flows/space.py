"""The space of a search: how many trials it is, whether every value in it is allowed, what a trial means."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from thalweg.flows.experiment import Dimension, Experiment, Search, override
from thalweg.storage.errors import InputError

MOST_TRIALS = 1000  # more than these want --yes
# What a trial must not change, or its score would not be comparable, or nothing would.
FIXED = (
    "name",
    "search",
    "resources",
    "splits",
    "data.store",
    "data.source",
    "data.target",
)
FIXED_TRAINING = {"warmup": "it changes which days are scored", "seeds": "they have no effect on trials"}


def values_of(dimension: Dimension) -> Sequence[Any] | None:
    """Give all values of a dimension, or None where they are continuous."""
    if dimension.choice is not None:
        return dimension.choice
    if dimension.integer is not None:
        return range(dimension.integer[0], dimension.integer[1] + 1)
    return None


def count_trials(search: Search) -> int:
    """Give the number of trials that a search runs."""
    if search.algorithm != "grid":
        return search.trials
    return math.prod(len(values_of(dimension) or ()) for dimension in search.space.values())


def check_cost(search: Search, *, yes: bool) -> int:
    """Give the number of trials.

    Raises
    ------
    InputError
        When they are more than 1000 and ``yes`` is false.
    """
    trials = count_trials(search)
    if trials > MOST_TRIALS and not yes:
        parts = " x ".join(str(len(values_of(item) or ())) for item in search.space.values())
        grid = f" ({parts})" if search.algorithm == "grid" else ""
        raise InputError(
            f"search: {trials:,} trials{grid} are more than {MOST_TRIALS:,}: narrow search.space, take "
            "another algorithm, or say --yes"
        )
    return trials


def space_problems(experiment: Experiment) -> Iterator[tuple[Sequence[str | int], str]]:
    """Give what is wrong with the space: unknown keys, values not allowed, keys without effect."""
    search = experiment.search
    if search is None:
        return
    for key, dimension in search.space.items():
        place = ("search", "space", key)
        without_effect = _without_effect(experiment, search.model, key)
        if without_effect:
            yield place, without_effect
            continue
        if search.algorithm == "grid" and values_of(dimension) is None:
            yield place, "a grid needs `choice` or `integer`: a range has no end of values"
            continue
        for value in _probes(dimension):
            try:
                override(experiment, {key: value})
            except InputError as error:
                yield place, str(error).splitlines()[0].removeprefix(f"{key}: ")
                break
    yield from _split_problems(experiment, search)


def _without_effect(experiment: Experiment, model: str, key: str) -> str:
    for fixed in FIXED:
        if key == fixed or key.startswith(f"{fixed}."):
            return f"{fixed} cannot be searched over"
    place, _, last = key.rpartition(".")
    if last in FIXED_TRAINING and (place == "training" or place.endswith(".training")):
        return f"{last} cannot be searched over: {FIXED_TRAINING[last]}"
    if key.startswith("models."):
        other = key.split(".")[1]
        if other != model and other in experiment.models:
            return f"has no effect on {model!r}, the model of the search"
    section, _, name = key.partition(".")
    spec = experiment.models[model]
    if section == "training" and name in spec.training.model_fields_set:  # type: ignore[union-attr]
        return f"has no effect, since models.{model}.training.{name} is set: search over that"
    return ""


def _probes(dimension: Dimension) -> Sequence[Any]:
    if dimension.choice is not None:
        return dimension.choice
    return dimension.uniform or dimension.log_uniform or dimension.integer or ()


def _split_problems(experiment: Experiment, search: Search) -> Iterator[tuple[Sequence[str | int], str]]:
    try:
        search_split(experiment)
    except InputError as error:
        yield ("search", "split") if search.split else ("search",), str(error)


def search_split(experiment: Experiment) -> str:
    """Give the label of the split that trials are scored on: the named one, or the first that can.

    Raises
    ------
    InputError
        When it has no validation part.
    """
    search = experiment.search
    if search is None:
        raise InputError("the experiment has no `search` section; give it one with `model` and `space`")
    able = [split.label for split in experiment.splits if _has_validation(split)]
    if search.split is None and able:
        return able[0]
    if search.split is not None and search.split in able:
        return search.split
    which = f"split {search.split!r} lacks" if search.split else "no split here has"
    raise InputError(
        f"trials are scored on a validation part, which {which}: add `validate: [first day, last day]` to a "
        "temporal split, or `validate_share: 0.1` to an ungauged one"
    )


def _has_validation(split: Any) -> bool:
    return bool(getattr(split, "validate_", None) or getattr(split, "validate_share", None))


def decode(search: Search, drawn: Mapping[str, Any]) -> dict[str, Any]:
    """Give the values of a trial: a choice is drawn as its place in the list."""
    values = {}
    for key, dimension in search.space.items():
        value = drawn[key]
        if dimension.choice is not None:
            values[key] = dimension.choice[int(value)]
        else:
            values[key] = int(value) if dimension.integer is not None else float(value)
    return values
