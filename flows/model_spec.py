"""The models that an experiment can name, and how they are trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    StrictBool,
    StrictInt,
    ValidationInfo,
    create_model,
    field_validator,
    model_serializer,
    model_validator,
)

from thalweg.flows import names
from thalweg.flows.head_spec import Conformal, Head, check_uncertainty
from thalweg.flows.spec import Count, Number, Positive, Share, Spec

# How parallel components are averaged: alike, or by weights that are trained too.
Weights = Literal["mean", "learned"]
Process = Annotated[str, AfterValidator(names.check_process)]


class Training(Spec):
    """How a model is trained.

    ``precision`` is that of networks while they train; physics, losses and weights have 32 bits, and so
    has all that is scored. ``accumulate``: a batch is computed in so many parts, one after the other, which
    need less memory and give the same gradient.
    """

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
    checkpoint_seconds: Annotated[Number, Field(ge=0)] = 300.0
    precision: Literal["float32", "bf16", "fp16"] = "float32"
    accumulate: Count = 1
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
    dropout: Share = 0.0


class LstmNetwork(Spec):
    """Forcing and attributes to parameters that vary in time; the others come from an MLP beside it."""

    kind: Literal["lstm"]
    hidden: Count = 64
    static_hidden: tuple[Count, ...] = (64, 64)
    dropout: Share = 0.0


Network = Annotated[MlpNetwork | LstmNetwork, Field(discriminator="kind")]


Members = Annotated[StrictInt, Field(ge=2)]


class _Trainable(Spec):
    training: TrainingOverrides = Field(default_factory=TrainingOverrides)  # type: ignore[valid-type]
    head: Head | None = None
    conformal: Conformal = Conformal()

    @model_validator(mode="after")
    def _uncertainty_fits(self) -> Self:
        members, network = getattr(self, "mc_dropout", None), getattr(self, "network", self)
        physical = getattr(self, "process", None) is not None
        check_uncertainty(self.head, members, getattr(network, "dropout", None), self.conformal, physical)
        given = self.training.model_fields_set  # type: ignore[attr-defined]
        if self.head is not None and "loss" in given:
            raise ValueError("has a head, which is trained by its own loss: leave out `training.loss`")
        return self


class CalibratedModel(_Trainable):
    """A process model with each site's own parameters, found by gradient.

    ``routing: null`` routes discharge to the gauge where the process does not do so itself.
    """

    kind: Literal["calibrated"]
    process: Process = "hbv"
    components: Count = 1
    weights: Weights = "mean"
    routing: StrictBool | None = None


class LstmModel(_Trainable):
    """A network alone: forcing and attributes to discharge.

    ``mc_dropout``: so many simulations with other units left out make its forecast (Monte Carlo dropout).
    """

    kind: Literal["lstm"]
    hidden: Count = 64
    dropout: Share = 0.2
    mc_dropout: Members | None = None


class HybridModel(_Trainable):
    """A network that gives a process model its parameters.

    ``routing: null`` routes discharge to the gauge where the process does not do so itself. ``mc_dropout``:
    so many simulations with other units left out make its forecast (Monte Carlo dropout).
    """

    kind: Literal["hybrid"]
    process: Process = "hbv"
    components: Count = 16
    weights: Weights = "mean"
    routing: StrictBool | None = None
    network: Network = MlpNetwork(kind="mlp")
    varying: tuple[str, ...] = ()
    mc_dropout: Members | None = None

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
