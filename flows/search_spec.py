"""What a search looks for, and what each run is given of the machine."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, StrictInt, model_serializer, model_validator

from thalweg.flows.spec import Count, Number, Positive, Spec


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
    """What each run is given.

    ``workers: null`` is as many at once as fit. ``memory`` (GB) is for the data of one run: what needs more
    is streamed from the store; ``null`` is half of the memory that is free, shared by the workers.
    ``gradient_memory`` (GB) is what a simulation may keep for its way back: with less it computes some days
    twice, to the same result; ``null`` is 4 GB, or a quarter of what is free on a GPU.
    """

    cpus_per_worker: Positive = 1
    gpus_per_worker: Annotated[Number, Field(ge=0)] = 0
    workers: Count | None = None
    retries: Annotated[StrictInt, Field(ge=0)] = 2
    threads: Count | None = None
    memory: Positive | None = None
    gradient_memory: Positive | None = None

    @property
    def torch_threads(self) -> int:
        """Threads that a worker computes with."""
        return self.threads or max(1, int(self.cpus_per_worker))
