"""What an experiment is: data, splits, models, training, search and resources, as one typed file."""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from thalweg.flows import names
from thalweg.flows.model_spec import (
    FLOORS,
    CalibratedModel,
    ClimatologyModel,
    HybridModel,
    LstmModel,
    LstmNetwork,
    MlpNetwork,
    Model,
    Network,
    PersistenceModel,
    Training,
    TrainingOverrides,
)
from thalweg.flows.search_spec import Dimension, Resources, Search
from thalweg.flows.spec import Name, Spec
from thalweg.flows.split_spec import Split, TemporalSplit, UngaugedRegionsSplit, UngaugedSitesSplit
from thalweg.storage.errors import InputError

__all__ = [
    "FLOORS",
    "CalibratedModel",
    "ClimatologyModel",
    "Data",
    "Dimension",
    "Experiment",
    "HybridModel",
    "LstmModel",
    "LstmNetwork",
    "MlpNetwork",
    "Model",
    "Network",
    "PersistenceModel",
    "Resources",
    "Search",
    "Source",
    "Split",
    "TemporalSplit",
    "Training",
    "TrainingOverrides",
    "UngaugedRegionsSplit",
    "UngaugedSitesSplit",
    "load_experiment",
    "override",
]


class Source(BaseModel):
    """Where a store comes from when it is not there yet; the other keys are the reader's own."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str


class Data(Spec):
    """The store, how it is made, and which of its variables are used."""

    store: str
    source: Source | None = None
    quality: dict[str, Any] | None = None
    ingest: dict[str, Any] | None = None
    target: str = "discharge"
    forcings: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "precipitation",
        "temperature",
        "potential_evapotranspiration",
    )
    attributes: tuple[str, ...] | None = None


class Experiment(Spec):
    """Models x splits x seeds on one store, and optionally a search."""

    name: Name
    data: Data
    splits: Annotated[tuple[Split, ...], Field(min_length=1)]
    models: Annotated[dict[Name, Model], Field(min_length=1)]
    training: Training = Training()
    search: Search | None = None
    resources: Resources = Resources()

    @field_validator("splits")
    @classmethod
    def _distinct_splits(cls, splits: tuple[Split, ...]) -> tuple[Split, ...]:
        labels = [label for split in splits for label in split.labels]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"has {label!r} twice: give one of them another `name`")
        return splits

    @model_validator(mode="after")
    def _search_known(self) -> Experiment:
        if self.search is not None:
            trainable = [name for name, model in self.models.items() if model.kind not in FLOORS]
            names.check_one_of(self.search.model, trainable, "search.model", "trainable model here")
            if self.search.split is not None:
                labels = [label for split in self.splits for label in split.labels]
                names.check_one_of(self.search.split, labels, "search.split", "split here")
        return self

    def training_for(self, model: str) -> Training:
        """Give the training of one model: the experiment's, with the model's own keys over it."""
        spec = self.models[model]
        if spec.kind in FLOORS:
            return self.training
        own = spec.training  # type: ignore[union-attr]
        return self.training.model_copy(update=own.given())

    def seeds_for(self, model: str) -> tuple[int, ...]:
        """Give the seeds of one model; a floor, where nothing is drawn, has seed 0 alone."""
        return (0,) if self.models[model].kind in FLOORS else self.training_for(model).seeds


def load_experiment(path: str | Path) -> Experiment:
    """Read an experiment from YAML.

    Raises
    ------
    InputError
        One line for each mistake: file, line, key, what is wrong and what would be right.
    """
    from thalweg.flows import explain, specfile

    source = specfile.read(path)
    try:
        return Experiment.model_validate(source.content)
    except ValidationError as error:
        raise InputError("\n".join(explain.lines(error, source))) from None


def override(experiment: Experiment, values: dict[str, Any]) -> Experiment:
    """Give a copy of an experiment in which dotted keys have other values.

    Parameters
    ----------
    values : such as ``{"training.learning_rate": 1e-3, "models.hybrid.components": 4}``; a split is
        named by its label or its place (``splits.temporal.train``, ``splits.0.train``).

    Raises
    ------
    InputError
        For an unknown key (the nearest is named) or a value that does not fit.
    """
    from thalweg.flows import explain, keys

    content = experiment.model_dump()
    for key, value in values.items():
        *parents, last = keys.resolve(key, content)
        holder: Any = reduce(_child, parents, content)
        holder[last] = value
    try:
        return Experiment.model_validate(content)
    except ValidationError as error:
        raise InputError("\n".join(explain.lines(error))) from None


def _child(container: Any, key: Any) -> Any:
    """Give what lies below a key, made where absent, and such that it can be changed."""
    if isinstance(container, dict) and container.get(key) is None:
        container[key] = {}
    if isinstance(container[key], tuple):
        container[key] = list(container[key])
    return container[key]
