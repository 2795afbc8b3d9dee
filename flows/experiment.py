"""What an experiment is: data, splits, models, training, search and resources, as one typed file."""

from __future__ import annotations

from datetime import date
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SerializerFunctionWrapHandler,
    StrictInt,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
    model_serializer,
    model_validator,
)
from thalweg.flows import names
from thalweg.storage.errors import InputError


def _no_truth_value(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"must be a number, not {str(value).lower()}")
    return value


def _groups(value: Any) -> int | tuple[tuple[str, ...], ...] | None:
    """Read a number of groups, or groups of labels; a label alone is a group."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 2):
        return value
    if not isinstance(value, (list, tuple)) or len(value) < 2:
        raise ValueError("must be two or more groups of labels, such as [[a, b], [c]], or their number")
    groups = [group if isinstance(group, (list, tuple)) else [group] for group in value]
    if any(isinstance(label, (list, dict, bool, float)) for group in groups for label in group):
        raise ValueError("has a label that is neither text nor a whole number")
    return tuple(tuple(str(label) for label in group) for group in groups)


def _ordered(period: tuple[date, date]) -> tuple[date, date]:
    if period[0] >= period[1]:
        raise ValueError(f"starts on {period[0]}, which is not before its end, {period[1]}")
    return period


Number = Annotated[float, BeforeValidator(_no_truth_value), Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
Share = Annotated[Number, Field(ge=0, lt=1)]
Count = Annotated[StrictInt, Field(ge=1)]
Period = Annotated[tuple[date, date], AfterValidator(_ordered)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+(-[a-z0-9_]+)*$")]
Process = Annotated[str, AfterValidator(names.check_process)]


class Spec(BaseModel):
    """A part of an experiment: unknown keys are refused, nothing changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(BaseModel):
    """Where a store comes from when it is not there yet; the other keys are the reader's own."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str


class Data(Spec):
    """The store, and which of its variables are used."""

    store: str
    source: Source | None = None
    target: str = "discharge"
    forcings: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "precipitation",
        "temperature",
        "potential_evapotranspiration",
    )
    attributes: tuple[str, ...] | None = None


class _Split(Spec):
    name: Name | None = None

    @property
    def label(self) -> str:
        """The name that run folders and tables carry."""
        return self.name or str(self.kind)  # type: ignore[attr-defined]

    def spec(self) -> dict[str, Any]:
        """Give the mapping that :func:`thalweg.storage.splits.make_folds` takes."""
        return self.model_dump(exclude_none=True)


class TemporalSplit(_Split):
    """The same sites, another time."""

    kind: Literal["temporal"]
    train: Period
    test: Period
    validate_: Annotated[Period | None, Field(alias="validate")] = None

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)


class UngaugedSitesSplit(_Split):
    """Sites never seen, drawn at random into folds."""

    kind: Literal["ungauged_sites"]
    folds: Annotated[StrictInt, Field(ge=2)] = 5
    train: Period | None = None
    test: Period | None = None
    validate_share: Share | None = None


class UngaugedRegionsSplit(_Split):
    """Whole regions never seen."""

    kind: Literal["ungauged_regions"]
    by: str = "region"
    groups: Annotated[int | tuple[tuple[str, ...], ...] | None, PlainValidator(_groups)] = None
    train: Period | None = None
    test: Period | None = None
    validate_share: Share | None = None


Split = Annotated[TemporalSplit | UngaugedSitesSplit | UngaugedRegionsSplit, Field(discriminator="kind")]


class Training(Spec):
    """How a model is trained."""

    epochs: Count = 30
    steps_per_epoch: Count | None = None
    window: Count = 365
    warmup: Annotated[StrictInt, Field(ge=0)] = 365
    batch_sites: Count = 64
    loss: Annotated[str, AfterValidator(names.check_loss)] = "nse"
    optimizer: Literal["adam", "adamw", "adadelta"] = "adam"
    learning_rate: Positive = 1e-3
    schedule: Literal["cosine", "constant", "step"] = "cosine"
    gradient_clip: Positive | None = 1.0
    patience: Count | None = None
    checkpoint_every: Count = 1
    seeds: Annotated[tuple[Annotated[StrictInt, Field(ge=0)], ...], Field(min_length=1)] = (1,)

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"names a seed twice: {list(seeds)}")
        return seeds


class _Partial(Spec):
    """Some keys of :class:`Training`: those not given stay what the experiment says."""

    @model_serializer(mode="wrap")
    def _given_alone(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if key in self.model_fields_set}

    def given(self) -> dict[str, Any]:
        """Give the keys that were set, with their values."""
        return {key: getattr(self, key) for key in sorted(self.model_fields_set)}


TrainingOverrides: type[_Partial] = create_model(
    "TrainingOverrides",
    __base__=_Partial,
    __module__=__name__,
    **{key: (field.rebuild_annotation(), field.default) for key, field in Training.model_fields.items()},
)  # type: ignore[call-overload]


class MlpNetwork(Spec):
    """Attributes to static parameters."""

    kind: Literal["mlp"]
    hidden: tuple[Count, ...] = (64, 64)


class LstmNetwork(Spec):
    """Forcing and attributes to parameters that vary in time."""

    kind: Literal["lstm"]
    hidden: Count = 64


Network = Annotated[MlpNetwork | LstmNetwork, Field(discriminator="kind")]


class _Trainable(Spec):
    training: TrainingOverrides = Field(default_factory=TrainingOverrides)  # type: ignore[valid-type]


class CalibratedModel(_Trainable):
    """A process model with each site's own parameters, found by gradient."""

    kind: Literal["calibrated"]
    process: Process = "hbv"
    components: Count = 1


class LstmModel(_Trainable):
    """A network alone: forcing and attributes to discharge."""

    kind: Literal["lstm"]
    hidden: Count = 64
    dropout: Share = 0.2


class HybridModel(_Trainable):
    """A network that gives a process model its parameters."""

    kind: Literal["hybrid"]
    process: Process = "hbv"
    components: Count = 16
    network: Network = MlpNetwork(kind="mlp")
    varying: tuple[str, ...] = ()

    @field_validator("varying")
    @classmethod
    def _varying_known(cls, varying: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "process" in info.data:
            names.check_varying(info.data["process"], varying)
        if varying and getattr(info.data.get("network"), "kind", None) == "mlp":
            raise ValueError(
                "parameters that vary in time need a network that sees the forcing: {kind: lstm}"
            )
        return varying

    @model_validator(mode="after")
    def _lstm_has_a_task(self) -> HybridModel:
        if self.network.kind == "lstm" and not self.varying:
            raise ValueError("a network of kind lstm needs `varying`: the parameters that change in time")
        return self


class ClimatologyModel(Spec):
    """A floor: the mean of each day of the year over the training part."""

    kind: Literal["climatology"]


class PersistenceModel(Spec):
    """A floor: yesterday's observation."""

    kind: Literal["persistence"]


Model = Annotated[
    CalibratedModel | LstmModel | HybridModel | ClimatologyModel | PersistenceModel,
    Field(discriminator="kind"),
]
FLOORS = ("climatology", "persistence")


class Dimension(Spec):
    """The values one key of a search may take: exactly one of the forms."""

    choice: Annotated[tuple[Any, ...], Field(min_length=1)] | None = None
    uniform: tuple[Number, Number] | None = None
    log_uniform: tuple[Positive, Positive] | None = None
    integer: tuple[StrictInt, StrictInt] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Dimension:
        if len(self.model_fields_set) != 1:
            raise ValueError("must have exactly one of choice, uniform, log_uniform, integer")
        low_high = self.uniform or self.log_uniform or self.integer
        if low_high and low_high[0] >= low_high[1]:
            raise ValueError(f"goes from {low_high[0]} to {low_high[1]}: the first must be the smaller")
        return self

    @model_serializer(mode="wrap")
    def _form_alone(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value is not None}


class Search(Spec):
    """A search for better values of any keys of the experiment."""

    algorithm: Literal["grid", "random", "bayesian", "asha"] = "asha"
    trials: Count = 20
    model: str
    split: str | None = None
    metric: Literal["validation"] = "validation"
    space: Annotated[dict[str, Dimension], Field(min_length=1)]


class Resources(Spec):
    """What each run is given. ``workers: null`` is as many at once as fit."""

    cpus_per_worker: Positive = 1
    gpus_per_worker: Annotated[Number, Field(ge=0)] = 0
    workers: Count | None = None
    retries: Annotated[StrictInt, Field(ge=0)] = 2
    threads: Count | None = None

    @property
    def torch_threads(self) -> int:
        """Threads that a worker computes with."""
        return self.threads or max(1, int(self.cpus_per_worker))


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
        labels = [split.label for split in splits]
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
                labels = [split.label for split in self.splits]
                names.check_one_of(self.search.split, labels, "search.split", "split here")
        return self

    def training_for(self, model: str) -> Training:
        """Give the training of one model: the experiment's, with the model's own keys over it."""
        spec = self.models[model]
        if spec.kind in FLOORS:
            return self.training
        own: _Partial = spec.training  # type: ignore[union-attr]
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
        reduce(_child, parents, content)[last] = value
    try:
        return Experiment.model_validate(content)
    except ValidationError as error:
        raise InputError("\n".join(explain.lines(error))) from None


def _child(container: Any, key: str | int) -> Any:
    """Give what lies below a key, made where absent, and such that it can be changed."""
    if isinstance(container, dict) and container.get(key) is None:
        container[key] = {}
    if isinstance(container[key], tuple):  # type: ignore[index]
        container[key] = list(container[key])  # type: ignore[index]
    return container[key]  # type: ignore[index]
