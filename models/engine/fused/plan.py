"""From a traced step to the kernels of one way of using it, made when they are first needed."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from thalweg.models.engine.fused.kernel import March
from thalweg.models.engine.fused.passes import lowered
from thalweg.models.engine.fused.program import Program
from thalweg.models.engine.fused.target import Compiled, Target

# How an input lies in memory: see `March` for the layouts of series.
STATIC, START = "static", "start"

Kinds = tuple[tuple[str, str], ...]


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

    def backward_march(self, given: Kinds, started: tuple[str, ...], finished: tuple[str, ...]) -> March:
        """Give the march back from the last day.

        Parameters
        ----------
        given : gradients of the outputs with their layouts, ``given.flux.*`` and ``given.state.*``;
            those that are not among them are absent.
        started : states after the last day whose gradient is given, ``state.*``.
        finished : states before the first day whose gradient is wanted.
        """
        carried = tuple((f"given.{n}", f"gradient.{n}") for n in self.states)
        wanted = tuple(f"gradient.{n}" for n in self.needed if n not in self.states)
        present = {name for name, _ in given}
        absent = [
            str(n.value)
            for n in self.program.nodes
            if n.operation == "input" and str(n.value).startswith("given.flux.") and n.value not in present
        ]
        special = self.program.specialised((*(out for _, out in carried), *wanted), absent)
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
            started=tuple(f"given.{n}" for n in started),
            finished=tuple(f"given.{n}" for n in finished),
            added=tuple(item for item in given if item[0] in dict(carried)),
            recorded=self.recorded,
            stored=tuple(w for w in wanted if w.removeprefix("gradient.") not in static),
            summed=tuple(w for w in wanted if w.removeprefix("gradient.") in static),
        )


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
def backward_kernel(
    plan: Plan, given: Kinds, started: tuple[str, ...], finished: tuple[str, ...]
) -> Compiled:
    """Give the kernel back, compiled; see :meth:`Plan.backward_march` for the arguments."""
    return plan.target.compile(plan.backward_march(given, started, finished))
