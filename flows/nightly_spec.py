"""The file of a nightly chain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, StrictInt, ValidationError

from thalweg.flows import specfile
from thalweg.flows.check import check
from thalweg.flows.names import nearest
from thalweg.flows.spec import Name, Number, Spec
from thalweg.storage.errors import InputError

if TYPE_CHECKING:
    from thalweg.flows.experiment import Experiment


class Chain(Spec):
    """What a nightly chain does.

    Attributes
    ----------
    experiment : file of the experiment.
    model, split : whose newest run is watched.
    days : newest days whose errors are compared with those of the test.
    least_days : with fewer new days than that nothing is said.
    level, margin : as :func:`thalweg.evaluation.drift.drift` takes them.
    retrain_days : after which the experiment is run anew up to the newest day; 0 for never.
    """

    experiment: str
    model: Name
    split: str = "temporal"
    days: Annotated[StrictInt, Field(ge=10)] = 90
    least_days: Annotated[StrictInt, Field(ge=1)] = 30
    level: Annotated[Number, Field(gt=0, lt=0.5)] = 0.01
    margin: Annotated[Number, Field(ge=1)] = 1.1
    retrain_days: Annotated[StrictInt, Field(ge=0)] = 7


def read_chain(path: Path) -> tuple[Chain, Experiment]:
    """Read a chain and check its experiment, against its store too where that is within reach.

    Raises
    ------
    InputError
        With one line for each mistake.
    """
    spec = specfile.read(path)
    if unknown := [key for key in spec.content if key != "nightly"]:
        raise InputError(
            f"{path}:{spec.line(unknown[:1])}: {unknown[0]}: unknown key; all stands below `nightly`"
        )
    try:
        chain = Chain.model_validate(spec.content["nightly"] or {})
    except ValidationError as error:
        raise InputError("\n".join(_problem(path, spec, each) for each in error.errors())) from None
    checked = check(Path(chain.experiment), {}, elsewhere=True)
    checked.raise_problems()
    assert checked.experiment is not None
    experiment = checked.experiment
    if chain.model not in experiment.models:
        line = spec.line(["nightly", "model"])
        raise InputError(
            f"{path}:{line}: nightly.model: {chain.experiment} has no {chain.model!r}"
            f"{nearest(chain.model, list(experiment.models))}"
        )
    labels = [label for split in experiment.splits for label in split.labels]
    if chain.split not in labels:
        line = spec.line(["nightly", "split"])
        raise InputError(
            f"{path}:{line}: nightly.split: {chain.experiment} has no {chain.split!r}"
            f"{nearest(chain.split, labels)}"
        )
    if experiment.data.source is None:
        raise InputError(f"{chain.experiment}: data.source: is missing; a chain brings the store up to it")
    return chain, experiment


def _problem(path: Path, spec: specfile.SpecFile, error: Any) -> str:
    place = ["nightly", *(str(part) for part in error["loc"])]
    hint = nearest(place[-1], list(Chain.model_fields)) if error["type"] == "extra_forbidden" else ""
    text = "unknown key" if error["type"] == "extra_forbidden" else error["msg"]
    return f"{path}:{spec.line(place)}: {'.'.join(place)}: {text}{hint}"
