"""Mistakes in a step are found before anything runs, and named with file and line."""

import pytest
import torch

from thalweg.models.process import Balance, Parameter, ProcessModel, State, Variable
from thalweg.models.process_check import check_step
from thalweg.models.processes import find_process


class Tank(ProcessModel):
    forcings = (Variable("rain", "mm/day"),)
    states = (State("water", "mm", 10.0),)
    parameters = (Parameter("rate", "1/day", 0.0, 1.0),)
    fluxes = (Variable("discharge", "mm/day"),)
    balance = Balance(("rain",), ("discharge",), ("water",))

    def step(self, forcing, state, parameter):
        flow = parameter.rate * state.water
        return self.CurrentState(state.water + forcing.rain - flow), self.Fluxes(flow)


def tank(step, **attributes):
    return type("Wrong", (Tank,), {"step": step, "balance": None, **attributes})()


@pytest.mark.parametrize("process", [find_process("hbv"), find_process("hillslope"), Tank()])
def test_a_good_step_passes(process):
    check_step(process)


def swapped(self, f, s, p):
    return self.Fluxes(p.rate * s.water), self.CurrentState(s.water)


def nothing(self, f, s, p):
    self.CurrentState(s.water)


def only_state(self, f, s, p):
    return self.CurrentState(s.water)


def plain(self, f, s, p):
    return self.CurrentState(s.water), (p.rate,)


def number(self, f, s, p):
    return self.CurrentState(s.water), self.Fluxes(0.0)


def shape(self, f, s, p):
    return self.CurrentState(s.water), self.Fluxes((p.rate * s.water).sum())


def whole(self, f, s, p):
    return self.CurrentState(s.water * p.rate), self.Fluxes(s.water > 3)


def infinite(self, f, s, p):
    return self.CurrentState(s.water * p.rate / 0.0), self.Fluxes(s.water)


def in_place(self, f, s, p):
    s.water.add_(f.rain)
    return self.CurrentState(s.water * p.rate), self.Fluxes(s.water)


def detached(self, f, s, p):
    return self.CurrentState(s.water), self.Fluxes(p.rate.detach() * s.water)


def steep(self, f, s, p):
    return self.CurrentState(s.water), self.Fluxes((p.rate - p.rate).sqrt() * s.water)


def misspelt(self, f, s, p):
    return self.CurrentState(s.watr), self.Fluxes(p.rate)


def branch(self, f, s, p):
    if f.rain > 2.0:
        return self.CurrentState(s.water), self.Fluxes(p.rate)


def branch_on_one(self, f, s, p):
    flow = p.rate if f.rain[0, 0].item() > 0 else p.rate * s.water
    return self.CurrentState(s.water), self.Fluxes(flow)


def mixing(self, f, s, p):
    return self.CurrentState(s.water), self.Fluxes(p.rate * s.water.mean() + 0 * s.water)


def own_in_place(self, f, s, p):
    flow = p.rate * s.water
    flow.clamp_(min=0.0)
    return self.CurrentState(s.water), self.Fluxes(flow)


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (swapped, "returns the fluxes before the state"),
        (nothing, "returns nothing; return self.CurrentState"),
        (only_state, "returns one CurrentState where a pair is wanted"),
        (plain, "gives its flux as a tuple; give self.Fluxes.* with discharge"),
        (number, "gives flux 'discharge' as 0.0, a float"),
        (shape, r"gives flux 'discharge' in shape \(\) for inputs of \(2, 3\)"),
        (whole, "gives flux 'discharge' in torch.bool"),
        (infinite, "gives state 'water' as inf"),
        (in_place, "changes state 'water' in place"),
        (detached, "nothing that depends on a parameter"),
        (steep, "no finite gradient with respect to parameter 'rate'"),
        (misspelt, "AttributeError: .*'watr'"),
        (branch, "RuntimeError: Boolean value of Tensor .*use torch.where"),
        (branch_on_one, "Wrong.step "),
        (mixing, "mixes sites or components"),
        (own_in_place, "writes into a tensor in place"),
        (ProcessModel.step, "is not written"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(step, says):
    with pytest.raises(ValueError, match=says) as caught:
        check_step(tank(step))
    message = str(caught.value)
    assert message.startswith("Wrong.step ")
    assert "\n" not in message
    assert step is ProcessModel.step or "test_process_check.py" in message


def test_an_exception_names_its_own_line():
    line = misspelt.__code__.co_firstlineno + 1
    with pytest.raises(ValueError, match=rf"test_process_check\.py:{line}\): AttributeError"):
        check_step(tank(misspelt))


def test_a_leak_is_named_with_its_size():
    def leaks(self, f, s, p):
        flow = p.rate * s.water
        return self.CurrentState(s.water + f.rain - 0.5 * flow), self.Fluxes(flow)

    with pytest.raises(ValueError, match=r"change of water is -2\.5 mm, not 0"):
        check_step(tank(leaks, balance=Tank.balance))


def test_what_only_the_fused_backend_lacks_is_no_mistake():
    def unknown(self, f, s, p):
        return self.CurrentState(s.water), self.Fluxes(p.rate * torch.special.i0(s.water / 10))

    check_step(tank(unknown))
