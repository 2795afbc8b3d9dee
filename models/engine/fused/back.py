"""The way back of a simulation: from gradients of its results to gradients of its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from thalweg.models.engine.fused.plan import Plan, Reach, backward_kernel, way_back
from thalweg.models.engine.fused.segments import Segments
from thalweg.models.engine.fused.target import Arrays
from thalweg.models.engine.fused.task import Task, arrays_of, is_shared, march, of_days, series_of


class WayBack:
    """Gradients of the inputs, gathered from the last segment to the first."""

    def __init__(
        self, task: Task, plan: Plan, tensors: Sequence[Tensor], given: Sequence[Tensor | None], *, one: bool
    ) -> None:
        self.task, self.plan, self.one = task, plan, one
        self.arrays = arrays_of(task, tensors)[0]
        self.tensors = dict(zip(task.inputs, tensors, strict=True))
        self.kinds: dict[str, str] = {}
        number, states = len(task.outputs), len(plan.states)
        for name, gradient in zip(task.outputs, given[:number], strict=True):
            if gradient is not None:
                self._take_series(f"given.{name}", gradient)
        self.carried = dict(zip(plan.states, given[number : number + states], strict=True))
        self.on_days = dict(zip(plan.states, given[number + states :], strict=False))
        fixed = [name for name in plan.needed if self.tensors[name].dim() == 2]
        zeros = tensors[0].new_zeros((len(fixed), *task.shape)).unbind(0)  # asked for at once
        self.gradients = dict(zip(fixed, zeros, strict=True))
        for name in plan.needed:
            if name not in self.gradients:
                tensor = self.tensors[name]
                self.gradients[name] = task.target.empty(tuple(tensor.shape), tensor)

    def _take_series(self, name: str, gradient: Tensor) -> None:
        if self.task.over is not None:
            shared = gradient.unsqueeze(-1)
            shared = shared / self.task.shape[1] if self.task.over == "mean" else shared
            gradient = shared.expand(-1, *self.task.shape)
        self.arrays[name], self.kinds[name] = series_of(gradient, self.task)

    def run(self, segments: Segments, kept: Sequence[Tensor]) -> None:
        """Go back through all segments; ``kept`` is what the way forward kept of each."""
        task, plan = self.task, self.plan
        for span, found in zip(reversed(segments.spans), reversed(kept), strict=True):
            record = found
            if segments.recompute:
                state = dict(zip(plan.states, found.unbind(0), strict=True))
                again = plan.variant(outputs=False, way_back=True)
                record = march(task, again, self.arrays, state, span, {})[1]
            self._add_chosen(span.stop - 1 - task.warmup)
            self._segment(span, record)
        self.gradients |= {n: g for n, g in self.carried.items() if n in plan.needed and g is not None}
        for name, gradient in self.gradients.items():
            if gradient.dim() == 3:
                gradient[: task.warmup] = 0.0
            self.gradients[name] = gradient.sum_to_size(self.tensors[name].shape)

    def _add_chosen(self, day: int) -> None:
        if day in self.task.state_days:
            place = self.task.state_days.index(day)
            for name, gradient in self.on_days.items():
                if gradient is not None:
                    before = self.carried[name]
                    self.carried[name] = gradient[place] if before is None else before + gradient[place]

    def _segment(self, span: range, record: Tensor) -> None:
        """Go back through a segment: its last days apart where other states have a gradient on them."""
        present = tuple(name for name in self.plan.states if self.carried[name] is not None)
        stop = len(span)
        for days, reach in way_back(self.plan, tuple(self.kinds.items()), present, len(span)):
            some = slice(stop - days, stop)
            if some.start == 0 and self.one:
                wanted = tuple(name for name in reach.finished if name in self.plan.needed)
                reach = replace(reach, finished=wanted)
            self._stretch(span[some], self.task.target.days_of(record, some), reach)
            stop = some.start

    def _lanes(self, names: Sequence[str], like: Tensor) -> Arrays:
        """Give memory for ``(site, component)`` of each name, asked for at once."""
        together = self.task.target.empty((len(names), *self.task.shape), like)
        return dict(zip(names, together.unbind(0), strict=True))

    def _stretch(self, span: range, record: Tensor, reach: Reach) -> None:
        task, plan = self.task, self.plan
        rows = slice(span.start - task.warmup, span.stop - task.warmup)
        arrays = {**self.arrays, **of_days(self.arrays, plan, span), "record": record}
        arrays |= {name: self.arrays[name][rows] for name in self.kinds}
        for name, gradient in self.carried.items():
            if gradient is not None:
                arrays[f"start.given.{name}"] = gradient.expand(task.shape).contiguous()
        after = self._lanes(reach.finished, record)
        arrays |= {f"end.given.{name}": t for name, t in after.items()}
        series = {name: g for name, g in self.gradients.items() if name not in plan.states}
        passing = self._lanes([name for name, gradient in series.items() if gradient.dim() == 2], record)
        for name, gradient in series.items():
            if name in passing:
                arrays[f"start.sum.gradient.{name}"] = gradient
                arrays[f"gradient.{name}"] = passing[name]
            elif is_shared(task, gradient):
                passing[name] = task.target.empty((len(span), *task.shape), record)
                arrays[f"gradient.{name}"] = passing[name]
            else:
                arrays[f"gradient.{name}"] = gradient[span.start : span.stop]
        kernel = backward_kernel(plan, tuple(self.kinds.items()), reach)
        task.target.run(kernel, arrays, len(span), task.shape)
        self.carried = {name: after.get(name) for name in plan.states}
        for name, found in passing.items():
            if found.dim() == 2:
                self.gradients[name] = found
            else:
                rows_of = self.gradients[name][span.start : span.stop]
                rows_of.copy_(found.sum_to_size(rows_of.shape))
