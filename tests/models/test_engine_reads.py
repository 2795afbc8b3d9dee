"""What a step reads besides its arguments: changed, it is other physics; and what is refused."""

import os
import threading
import types
import warnings

import numpy as np
import pytest
import torch

from thalweg.models.engine import UnsupportedOperation, fused, set_memory_budget, simulate
from thalweg.models.process import Parameter, ProcessModel, State, Variable
from thalweg.models.raw import of_raw

FACTOR = 2.0
TABLE = {"factor": [2.0]}


class Gauge(ProcessModel):
    forcings = (Variable("rain", "mm/day"),)
    states = (State("storage", "mm", 1.0),)
    parameters = (Parameter("k", "1", 0.0, 1.0),)
    fluxes = (Variable("outflow", "mm/day"),)
    factor = 2.0

    def by(self):
        return self.factor

    def step(self, forcing, state, parameter):
        return self.CurrentState(state.storage), self.Fluxes(forcing.rain * self.by() + 0 * parameter.k)


def gauge(step):
    return type("Odd", (Gauge,), {"step": step})()


def given(sites=3, dtype=torch.float32):
    rain = torch.linspace(1, 2, 4 * sites, dtype=dtype).reshape(4, sites)
    return {"rain": rain}, {"k": torch.full((sites, 2), 0.3, dtype=dtype)}


def factor_of(process, backend="fused"):
    rain, parameters = given()
    outflow = simulate(process, rain, parameters, backend=backend).fluxes["outflow"]
    return round(float(outflow[1, 1, 0] / rain["rain"][1, 1]), 5)


def taking(read):
    def step(self, forcing, state, parameter):
        return self.CurrentState(state.storage), self.Fluxes(forcing.rain * read(self) + 0 * parameter.k)

    return gauge(step)


def test_attributes_count_by_value():
    process = taking(lambda self: self.factors[0])
    for factor in (2.0, 3.0, 3.5):
        process.factors = [factor]
        assert factor_of(process) == factor
        process.factors[0] += 1
        assert factor_of(process) == factor + 1


def test_an_object_that_is_gone_is_not_mistaken_for_a_new_one():
    class Small:
        def __init__(self, factor):
            self.__dict__["factor"] = factor

    for number in range(60):
        process = taking(lambda self: self.options.factor)
        process.options = Small(float(number))
        assert factor_of(process) == number
        process.options = (float(number),)
        del process


def test_tensors_of_one_number_count_by_value():
    process = taking(lambda self: self.scale)
    process.scale = torch.tensor(2.0)
    assert factor_of(process) == 2.0
    process.scale.fill_(5.0)
    assert factor_of(process) == 5.0


def test_classes_methods_closures_and_globals_count(monkeypatch):
    class Own(Gauge):
        factor = 2.0

    assert factor_of(Own()) == 2.0
    monkeypatch.setattr(Own, "factor", 3.0)
    assert factor_of(Own()) == 3.0
    assert factor_of(of_raw(Own())) == 3.0
    monkeypatch.setattr(Own, "by", lambda self: 7.0)
    assert factor_of(Own()) == 7.0
    assert factor_of(of_raw(Own())) == 7.0
    held = {"factor": 2.0}
    process = taking(lambda self: held["factor"])
    assert factor_of(process) == 2.0
    held["factor"] = 4.0
    assert factor_of(process) == 4.0
    process = taking(lambda self: FACTOR * TABLE["factor"][0])
    assert factor_of(process) == 4.0
    monkeypatch.setitem(globals(), "FACTOR", 3.0)
    assert factor_of(process) == 6.0
    monkeypatch.setitem(TABLE, "factor", [5.0])
    assert factor_of(process) == 15.0


def test_what_contains_itself_is_read_once():
    process = taking(lambda self: self.box.factor)
    process.box = types.SimpleNamespace(factor=2.0)
    process.box.box = process.box
    assert factor_of(process) == 2.0
    process.box.factor = 3.0
    assert factor_of(process) == 3.0


@pytest.mark.parametrize(
    "read",
    [
        lambda rain: 2.0 if rain.tolist()[0][0] > 1.1 else 1.0,
        lambda rain: float(np.mean(rain.detach().numpy())),
        lambda rain: 1.0 / rain.shape[0],
        lambda rain: 1.0 / rain.numel(),
        lambda rain: float(len(rain)),
    ],
)
def test_numbers_read_out_of_tensors_are_refused(read):
    def step(self, forcing, state, parameter):
        return self.CurrentState(state.storage), self.Fluxes(forcing.rain * read(forcing.rain))

    with pytest.raises(UnsupportedOperation, match=r"Odd.step (takes the value|reads the shape)"):
        factor_of(gauge(step))


def test_a_wrapped_step_is_named_by_its_own_line_and_told_once():
    def step(self, forcing, state, parameter):
        return self.CurrentState(state.storage), self.Fluxes(torch.hypot(forcing.rain, parameter.k))

    process = gauge(step)
    with pytest.raises(UnsupportedOperation, match=r"Odd.step uses hypot.*test_engine_reads.py, line"):
        factor_of(of_raw(process))
    rain, parameters = given()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for each in (process, of_raw(process)):
            simulate(each, rain, parameters)
            simulate(each, rain, parameters, weights=torch.tensor([0.5, 0.5]))
    assert [warning.filename for warning in said] == [__file__]


def test_mixed_types_are_told():
    rain, parameters = given()
    with pytest.warns(RuntimeWarning, match="found torch.float32 on cpu, torch.float64 on cpu"):
        simulate(Gauge(), {"rain": rain["rain"].double()}, parameters)


def test_options_that_are_not_known():
    def step(self, forcing, state, parameter):
        return self.CurrentState(state.storage), self.Fluxes(torch.round(forcing.rain * 1.0, decimals=2))

    with pytest.raises(UnsupportedOperation, match="uses round with options"):
        factor_of(gauge(step))


@pytest.mark.parametrize("backend", ["eager", "fused"])
def test_tensors_without_the_axes_wanted_are_refused(backend):
    rain, parameters = given()
    for wrong in (torch.full((3,), 0.3), torch.tensor(0.3), torch.full((1, 4, 3, 2), 0.3), 0.3):
        with pytest.raises(
            ValueError, match=r"Gauge: parameter 'k' is .*; it must be \(site, component\) or"
        ):
            simulate(Gauge(), rain, {"k": wrong}, backend=backend)
    with pytest.raises(ValueError, match=r"forcing 'rain' is \(4,\); it must be \(time, site\)"):
        simulate(Gauge(), {"rain": rain["rain"][:, 0]}, parameters, backend=backend)
    with pytest.raises(ValueError, match="initial state 'storage'"):
        simulate(Gauge(), rain, parameters, initial={"storage": torch.ones(1, 3, 2)}, backend=backend)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"weights": "median"}, "weights 'median': give a tensor or 'mean'"),
        ({"weights": [0.5, 0.5]}, r"weights \[0.5, 0.5\]"),
        ({"memory": -5}, "above zero"),
        ({"memory": float("nan")}, "above zero"),
        ({"state_days": [1.0, 2.5]}, "whole numbers of days"),
    ],
)
def test_options_out_of_range(options, says):
    with pytest.raises(ValueError, match=says):
        simulate(Gauge(), *given(), **options)


def test_a_budget_must_be_a_number():
    with pytest.raises(ValueError, match="above zero"):
        set_memory_budget(float("nan"))


def test_a_step_returns_states_then_fluxes():
    def swapped(self, forcing, state, parameter):
        return self.Fluxes(forcing.rain * parameter.k), self.CurrentState(state.storage)

    def short(self, forcing, state, parameter):
        return self.CurrentState(state.storage), ()

    for step, what in ((swapped, "states"), (short, "fluxes")):
        with pytest.raises(UnsupportedOperation, match=rf"gives no {what} where .* return self.CurrentState"):
            factor_of(gauge(step))


def test_a_process_without_states_is_refused():
    with pytest.raises(TypeError, match="declares no state"):
        type("Empty", (Gauge,), {"states": ()})


def test_a_fork_while_another_thread_traces():
    started, leave = threading.Event(), threading.Event()

    def hold():
        with fused._lock:
            started.set()
            leave.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    started.wait(10)
    child = os.fork()
    if child == 0:
        free = fused._lock.acquire(timeout=2)
        os._exit(0 if free else 1)
    leave.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
