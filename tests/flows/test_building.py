"""Models from what an experiment says of them."""

import pytest
import torch

from thalweg.flows.building import build_model
from thalweg.flows.check import check
from thalweg.flows.model_spec import CalibratedModel, HybridModel

FORCINGS = ["precipitation", "temperature", "potential_evapotranspiration"]
RADIATION = ["temperature", "shortwave_radiation", "vapor_pressure"]


def build(target="discharge", kind=CalibratedModel, **spec):
    names = {CalibratedModel: "calibrated", HybridModel: "hybrid"}
    return build_model(
        kind(kind=names[kind], **spec),
        attributes=torch.zeros(3, 2),
        donors=torch.ones(3, dtype=torch.bool),
        forcings=FORCINGS if target == "discharge" else RADIATION,
        target=target,
        scale=1.0,
        seed=1,
    )


@pytest.mark.parametrize(
    ("spec", "target", "routed"),
    [
        ({"process": "hbv"}, "discharge", True),
        ({"process": "hbv", "routing": False}, "discharge", False),
        ({"process": "gr4j"}, "discharge", False),
        ({"process": "gr4j", "routing": True}, "discharge", True),
        ({"process": "stream_temperature"}, "water_temperature", False),
    ],
)
def test_discharge_is_routed_once(spec, target, routed):
    assert bool(len(build(target, **spec).raw_routing)) is routed
    assert bool(build(target, HybridModel, **spec).routing) is routed


def test_nothing_but_discharge_is_routed():
    with pytest.raises(ValueError, match="only discharge is routed to the gauge, not 'water_temperature'"):
        build("water_temperature", process="stream_temperature", routing=True)


def test_a_check_says_so_too(content, write):
    content["data"] |= {"target": "water_temperature"}
    content["models"] = {"heat": {"kind": "calibrated", "process": "stream_temperature", "routing": True}}
    problems = check(write(content)).problems
    assert any("routing: only discharge is routed to the gauge" in line for line in problems)
