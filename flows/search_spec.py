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


Algorithm = Literal["grid", "random", "bayesian", "asha", "hyperband", "pbt"]
Objective = Literal["validation", "gap", "cost"]

# Keys that only some algorithms read: elsewhere they would be without effect.
KEYS_OF: dict[str, tuple[str, ...]] = {
    "sampler": ("bayesian",),
    "lag": ("bayesian",),
    "reduction": ("asha", "hyperband"),
    "least_epochs": ("asha", "hyperband"),
    "interval": ("pbt",),
}
STOPPING = ("asha", "hyperband", "pbt")  # look at the validation score while trials train
DEFAULT_TRIALS = 20
DEFAULT_LAG = 4
DEFAULT_REDUCTION = 3
GENERATIONS = 10


class Search(Spec):
    """A search for better values of any keys of the experiment.

    ``objectives``: ``validation`` is the best validation score, higher is better; ``gap`` what is lost
    between training sites and days and those of validation, and ``cost``, lower are better. The first ranks
    the trials; with several, those that no other one beats in all are kept as the Pareto set. ``cost:
    parameters`` counts the model's trainable numbers; ``seconds`` are those of its training, which no seed
    repeats.

    ``trials: null`` is 20, and for ``hyperband`` as many as its brackets have. ``seed`` draws the proposals.
    ``lag``: a Bayesian proposal knows all trials but the last ``lag``, so that many run at once.
    ``reduction``: ASHA and HyperBand keep one in so many trials at each rung; the first rung is at
    ``least_epochs``. ``interval``: epochs of a generation of ``pbt``. ``repeats``: how often the best trial
    is trained again with other seeds, which tells how much of a difference is noise.
    """

    algorithm: Algorithm = "asha"
    trials: Count | None = None
    model: str
    split: str | None = None
    objectives: Annotated[tuple[Objective, ...], Field(min_length=1)] = ("validation",)
    cost: Literal["parameters", "seconds"] = "parameters"
    seed: Annotated[StrictInt, Field(ge=0)] = 1
    sampler: Literal["gaussian_process", "tpe"] | None = None
    lag: Count | None = None
    reduction: Annotated[StrictInt, Field(ge=2)] | None = None
    least_epochs: Count | None = None
    interval: Count | None = None
    repeats: Annotated[StrictInt, Field(ge=0)] = 0
    space: Annotated[dict[str, Dimension], Field(min_length=1)]

    @model_validator(mode="after")
    def _keys_with_effect(self) -> Search:
        for key, algorithms in KEYS_OF.items():
            if getattr(self, key) is not None and self.algorithm not in algorithms:
                raise ValueError(
                    f"has no use for {key!r} with {self.algorithm}: it is for {', '.join(algorithms)}"
                )
        if len(set(self.objectives)) < len(self.objectives):
            raise ValueError("names an objective twice")
        if self.algorithm in STOPPING and self.objectives[0] != "validation":
            raise ValueError(f"{self.algorithm} stops trials by their validation: name that objective first")
        if self.algorithm == "pbt" and self.trials == 1:
            raise ValueError("pbt needs a population of at least 2 trials")
        return self


class Resources(Spec):
    """What each run is given.

    ``workers: null`` is as many runs at once as fit. ``workers_per_model``: so many workers train one model
    together; each has its own CPUs and GPUs, and its share of the sites. ``memory`` (GB) is for the data of
    one worker: what needs more is streamed from the store; ``null`` is half of the machine's memory,
    shared by the workers. ``gradient_memory`` (GB) is what a simulation may keep for its way back: with less
    it computes some days twice, to the same result; ``null`` is 4 GB, or a quarter of a GPU's memory.
    """

    cpus_per_worker: Positive = 1
    gpus_per_worker: Annotated[Number, Field(ge=0)] = 0
    workers: Count | None = None
    workers_per_model: Count = 1
    retries: Annotated[StrictInt, Field(ge=0)] = 2
    threads: Count | None = None
    memory: Positive | None = None
    gradient_memory: Positive | None = None

    @property
    def gpus_per_model(self) -> float:
        """GPUs of all workers of a model."""
        return self.workers_per_model * self.gpus_per_worker

    @property
    def torch_threads(self) -> int:
        """Threads that a worker computes with."""
        return self.threads or max(1, int(self.cpus_per_worker))
