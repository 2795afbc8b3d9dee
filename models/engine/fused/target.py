"""Where kernels run: what a processor must offer so that the fused backend can use it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from thalweg.models.engine.fused.kernel import March

Arrays = dict[str, Tensor]


@dataclass(frozen=True)
class Compiled:
    """A kernel that can be run, and the names of the arguments that it wants, in order."""

    arguments: tuple[str, ...]
    run: Callable[..., None]


class Target(Protocol):
    """A processor and a type of numbers. Equal targets compile a march to the same kernel.

    A lane is one component of one site: ``site * components + component``.
    """

    def __hash__(self) -> int:
        """Give equal numbers for equal targets: plans are kept by them."""

    @property
    def single(self) -> bool:
        """Tell whether numbers are of single precision, otherwise double."""

    def shared_layout(self, components: int) -> str:
        """Give the layout in which kernels read a series ``(time, site)`` that components share."""

    def record_shape(self, days: int, states: int, lanes: int) -> tuple[int, ...]:
        """Give the shape of the record of ``states`` states at the start of each of some days."""

    def days_of(self, record: Tensor, days: slice) -> Tensor:
        """Give the record of some of its days."""

    def empty(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Give memory for an array of the type and on the device of ``like``."""

    def compile(self, march: March) -> Compiled:
        """Give the kernel of a march.

        Raises
        ------
        UnsupportedOperation
            When the march does something that this processor's language lacks.
        """

    def run(
        self, compiled: Compiled, arrays: Mapping[str, Tensor], days: int, shape: tuple[int, int]
    ) -> None:
        """Run a kernel over ``days`` days of ``shape``, ``(site, component)``.

        ``arrays`` holds all that a march names: inputs by their names (series with the days of this run
        alone, along the first axis, at any stride), ``start.<carried>``, ``start.sum.<summed>``,
        ``end.<carried>``, ``record``, and the outputs ``stored`` and ``summed`` by theirs.
        """
