"""The space of a search: how many trials it is, whether every value in it is allowed, what a trial means."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from thalweg.flows.console import plural
from thalweg.flows.experiment import Dimension, Experiment, Search, override
from thalweg.flows.halving import Bracket, brackets
from thalweg.flows.search_spec import DEFAULT_TRIALS
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
# What a model can go on with from a checkpoint that was made with another value.
CHANGEABLE = ("learning_rate", "gradient_clip", "dropout")
FIXED_TRAINING = {"warmup": "it changes which days are scored", "seeds": "they have no effect on trials"}


def values_of(dimension: Dimension) -> Sequence[Any] | None:
    """Give all values of a dimension, or None where they are continuous."""
    if dimension.choice is not None:
        return dimension.choice
    if dimension.integer is not None:
        return range(dimension.integer[0], dimension.integer[1] + 1)
    return None


def longest(experiment: Experiment) -> int:
    """Give the epochs of the longest trial."""
    search = experiment.search
    if search is None:
        return 0
    epochs = experiment.training_for(search.model).epochs
    for key, dimension in search.space.items():
        if key.endswith("training.epochs"):
            epochs = max(values_of(dimension) or (epochs,))
    return int(epochs)


def count_trials(experiment: Experiment) -> int:
    """Give the number of trials of a search, the repetitions of the best left out."""
    search = experiment.search
    if search is None:
        return 0
    if search.algorithm == "grid":
        return math.prod(len(values_of(dimension) or ()) for dimension in search.space.values())
    if search.algorithm == "hyperband":
        return sum(bracket.sizes[0] for bracket in brackets(search, longest(experiment)))
    return search.trials or DEFAULT_TRIALS


def count_epochs(experiment: Experiment) -> int:
    """Give how many epochs a search trains at most, the repetitions of the best included."""
    search, epochs = experiment.search, longest(experiment)
    if search is None:
        return 0
    if search.algorithm == "hyperband":
        trained = sum(map(_bracket_epochs, brackets(search, epochs)))
    else:
        trained = count_trials(experiment) * epochs
    return trained + search.repeats * epochs


def cost_text(experiment: Experiment) -> str:
    """Give what a search costs, on one line."""
    search = experiment.search
    if search is None:
        return ""
    trials, epochs = count_trials(experiment), count_epochs(experiment)
    repeats = f", and {plural(search.repeats, 'repetition')} of the best" if search.repeats else ""
    most = "at most " if search.algorithm == "asha" or experiment.training_for(search.model).patience else ""
    return f"{plural(trials, 'trial')}{repeats}: {most}{plural(epochs, 'epoch')} in all"


def _bracket_epochs(bracket: Bracket) -> int:
    before = (0, *bracket.rungs)
    return sum(
        size * (rung - last) for size, rung, last in zip(bracket.sizes, bracket.rungs, before, strict=False)
    )


def check_cost(experiment: Experiment, *, yes: bool) -> int:
    """Give the number of trials.

    Raises
    ------
    InputError
        When they are more than 1000 and ``yes`` is false.
    """
    search = experiment.search
    if search is None:
        return 0
    trials = count_trials(experiment)
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
        if search.algorithm == "pbt" and key.rpartition(".")[2] not in CHANGEABLE:
            yield place, f"pbt changes values while it trains, which only {', '.join(CHANGEABLE)} can be"
            continue
        for value in probes(dimension):
            try:
                override(experiment, {key: value})
            except InputError as error:
                yield place, str(error).splitlines()[0].removeprefix(f"{key}: ")
                break
    yield from _split_problems(experiment, search)
    if search.algorithm == "pbt" and experiment.training_for(search.model).patience is not None:
        yield ("search", "algorithm"), "pbt trains all to the end: set training.patience to null"


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


def probes(dimension: Dimension) -> Sequence[Any]:
    """Give values to check a dimension with: all of a choice, the ends of a range."""
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
    able = [label for split in experiment.splits if _has_validation(split) for label in split.labels]
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
