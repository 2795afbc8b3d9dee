"""From a traced step to the kernels of one way of using it, made when they are first needed."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

from thalweg.models.engine.fused.kernel import March
from thalweg.models.engine.fused.passes import lowered
from thalweg.models.engine.fused.program import CONDITIONS, Program
from thalweg.models.engine.fused.target import Compiled, Target

# How an input lies in memory: see `March` for the layouts of series.
STATIC, START = "static", "start"

Kinds = tuple[tuple[str, str], ...]

# What gives a finite number for finite ones, unless it overflows.
TAME = CONDITIONS | {
    *("input", "constant", "zero", "add", "sub", "mul", "neg", "abs", "where", "minimum", "maximum"),
    *("floor", "ceil", "trunc", "rint"),
}
# Days at the end that may each have a kernel of their own on the way back.
FEW = 2


@dataclass(frozen=True)
class Reach:
    """The states whose gradient is there on some days of the way back.

    Attributes
    ----------
    started : it comes from the day after these days.
    live : it is there at the end of each of these days.
    finished : it goes on to the day before them.
    """

    started: tuple[str, ...]
    live: tuple[str, ...]
    finished: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """What is simulated, apart from the numbers and the number of days and sites.

    Attributes
    ----------
    program : the traced step.
    inputs : every input's name (``forcing.*``, ``parameter.*``, ``state.*``) and kind: the layout of
        a series, ``static`` for a parameter that does not change, ``start`` for a state.
    outputs : ``flux.*`` and ``state.*`` series that are wanted.
    needed : the inputs whose gradient may be asked for; empty when there is no way back.
    target : what the kernels run on.
    """

    program: Program
    inputs: Kinds
    outputs: tuple[str, ...]
    needed: tuple[str, ...]
    target: Target

    def variant(self, *, outputs: bool, way_back: bool) -> Plan:
        """Give the plan without the series, or without a way back, where these are false."""
        return plan_of(
            self.program,
            self.inputs,
            self.outputs if outputs else (),
            self.needed if way_back else (),
            self.target,
        )

    def named(self, kind: str) -> tuple[str, ...]:
        return tuple(name for name, found in self.inputs if found == kind)

    @functools.cached_property
    def states(self) -> tuple[str, ...]:
        return self.named(START)

    @functools.cached_property
    def series(self) -> Kinds:
        return tuple(item for item in self.inputs if item[1] not in (STATIC, START))

    @functools.cached_property
    def recorded(self) -> tuple[str, ...]:
        """The states that the way back computes from, kept for every day."""
        if not self.needed:
            return ()
        outputs = self.program.outputs
        used = self.program.inputs_of(outputs[f"gradient.{n}"] for n in {*self.needed, *self.states})
        return tuple(name for name in self.states if name in used)

    def forward_march(self) -> March:
        program, loose = lowered(
            self.program.specialised((*self.states, *self.outputs), ()), self.target.single
        )
        used = program.inputs_of(program.outputs.values())
        return March(
            program=program,
            loose=loose,
            backward=False,
            static=tuple(n for n in self.named(STATIC) if n in used),
            series=tuple(item for item in self.series if item[0] in used),
            carried=tuple((n, n) for n in self.states),
            started=self.states,
            finished=self.states,
            added=(),
            recorded=self.recorded,
            stored=self.outputs,
            summed=(),
        )

    def backward_march(self, given: Kinds, reach: Reach) -> March:
        """Give the march back from the last day.

        Parameters
        ----------
        given : gradients of the outputs with their layouts, ``given.flux.*`` and ``given.state.*``;
            those that are not among them are absent.
        reach : the states whose gradient is carried.
        """
        passed_on = {*reach.live, *reach.finished}
        carried = tuple((f"given.{n}", f"gradient.{n}") for n in self.states if n in passed_on)
        wanted = tuple(f"gradient.{n}" for n in self.needed if n not in self.states)
        outputs = (*(out for _, out in carried), *wanted)
        special = self.program.specialised(outputs, self._absent(given, reach.live))
        program, loose = lowered(special, self.target.single)
        used = program.inputs_of(program.outputs.values())
        static = self.named(STATIC)
        return March(
            program=program,
            loose=loose,
            backward=True,
            static=tuple(n for n in static if n in used),
            series=tuple(
                item for item in (*self.series, *given) if item[0] in used and item[0] not in dict(carried)
            ),
            carried=carried,
            started=tuple(f"given.{n}" for n in reach.started),
            finished=tuple(f"given.{n}" for n in reach.finished),
            added=tuple(item for item in given if item[0] in dict(carried)),
            recorded=self.recorded,
            stored=tuple(w for w in wanted if w.removeprefix("gradient.") not in static),
            summed=tuple(w for w in wanted if w.removeprefix("gradient.") in static),
        )

    def reached(self, given: Kinds, live: Iterable[str]) -> frozenset[str]:
        """Give the states at the start of a day whose gradient is not absent, by those at its end."""
        outputs = {f"gradient.{name}": name for name in self.states}
        special = self.program.specialised(outputs, self._absent(given, live))
        return frozenset(
            outputs[name] for name, i in special.outputs.items() if special.nodes[i].operation != "zero"
        )

    @functools.cached_property
    def is_tame(self) -> bool:
        """Tell whether no slope can be infinite where inputs are finite."""
        outputs = (self.program.outputs[f"gradient.{name}"] for name in {*self.needed, *self.states})
        return all(self.program.nodes[i].operation in TAME for i in self.program.reachable(outputs))

    def _absent(self, given: Kinds, live: Iterable[str]) -> set[str]:
        gradients = {f"given.{name}" for name in self.program.outputs if not name.startswith("gradient.")}
        return gradients - {name for name, _ in given} - {f"given.{name}" for name in live}


@functools.lru_cache(maxsize=256)
def plan_of(
    program: Program, inputs: Kinds, outputs: tuple[str, ...], needed: tuple[str, ...], target: Target
) -> Plan:
    """Give the one plan of these."""
    return Plan(program, inputs, outputs, needed, target)


@functools.lru_cache(maxsize=256)
def forward_kernel(plan: Plan) -> Compiled:
    """Give the kernel forward, compiled."""
    return plan.target.compile(plan.forward_march())


@functools.lru_cache(maxsize=256)
def backward_kernel(plan: Plan, given: Kinds, reach: Reach) -> Compiled:
    """Give the kernel back, compiled; see :meth:`Plan.backward_march` for the arguments."""
    return plan.target.compile(plan.backward_march(given, reach))


@functools.lru_cache(maxsize=256)
def way_back(plan: Plan, given: Kinds, started: tuple[str, ...], days: int) -> tuple[tuple[int, Reach], ...]:
    """Cut the way back over some days where the states that have a gradient change, the last days first.

    A gradient that nothing gives is absent, as it is to autograd, and not the number 0, whose product with
    an infinite slope is not a number. Which are there changes in the last days alone. Where no slope can
    be infinite, and beyond the last :data:`FEW` days, 0 stands for those that come with an earlier day.

    Parameters
    ----------
    given : see :meth:`Plan.backward_march`.
    started : states after the last day whose gradient is given.

    Returns
    -------
    Numbers of days and what is reached on each of them.
    """
    added = frozenset(name.removeprefix("given.") for name, _ in given).intersection(plan.states)

    def in_order(states: Iterable[str]) -> tuple[str, ...]:
        some = frozenset(states)
        return tuple(name for name in plan.states if name in some)

    found: list[tuple[int, Reach]] = []
    while days > 0:
        live = added.union(started)
        after = plan.reached(given, live)
        steady = added | after == live
        if not steady and (plan.is_tame or len(found) == FEW):
            while not after <= live:
                live |= after
                after = plan.reached(given, live)
            steady = True
        reach = Reach(started, in_order(live), in_order(after))
        found.append((days if steady else 1, reach))
        days -= found[-1][0]
        started = reach.finished
    return tuple(found)
