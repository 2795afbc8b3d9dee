"""What can be known to be wrong with the models of an experiment, before they are trained."""

from __future__ import annotations

from collections.abc import Iterator

from thalweg.flows.check_training import Problem
from thalweg.flows.experiment import CalibratedModel, Experiment, HybridModel
from thalweg.flows.head_spec import Conformal
from thalweg.flows.names import nearest


def process_problems(experiment: Experiment) -> Iterator[Problem]:
    """Tell which processes are broken, lack a forcing, or do not give the target."""
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


def conformal_problems(experiment: Experiment) -> Iterator[Problem]:
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
