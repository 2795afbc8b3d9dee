"""Several processes that train one model together: what they tell each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

Content = TypeVar("Content")


class LostWorkerError(RuntimeError):
    """Another process of the group has gone away; the others cannot go on without it.

    Attributes
    ----------
    crowded : whether its machine ran out of memory, as far as is known.
    """

    crowded = False


class Group:
    """The processes that train one model, seen from one of them; a process alone by default.

    All of them call the same methods in the same order.

    Parameters
    ----------
    rank : which one this is; 0 is the one that writes.
    size : how many there are.
    device : where what is exchanged must lie: a GPU with NCCL, else the processor.
    """

    def __init__(self, rank: int = 0, size: int = 1, device: torch.device | None = None) -> None:
        self.rank, self.size = rank, size
        self.device = torch.device("cpu") if device is None else device

    @classmethod
    def current(cls) -> Group:
        """Give the group that this process has joined by ``torch.distributed``, or the process alone."""
        if not dist.is_available() or not dist.is_initialized():
            return cls()
        device = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else None
        return cls(dist.get_rank(), dist.get_world_size(), device)

    @property
    def alone(self) -> bool:
        """Whether there is no other process."""
        return self.size == 1

    def sum(self, values: Tensor) -> Tensor:
        """Add up a tensor over all processes.

        Raises
        ------
        LostWorkerError
            When one of them has gone away; so do the other methods.
        """
        if self.alone:
            return values
        total = values.to(self.device, copy=True)
        with _peers():
            dist.all_reduce(total)
        return total.to(values.device)

    def most(self, value: float) -> float:
        """Give the largest of the values of all processes."""
        return max(self.collect(value))

    def share(self, content: Content) -> Content:
        """Give what process 0 has."""
        if self.alone:
            return content
        held: list[Any] = [content]
        with _peers():
            dist.broadcast_object_list(held, src=0, device=self.device)
        found: Content = held[0]
        return found

    def collect(self, content: Content) -> list[Content]:
        """Give what each process has, by rank."""
        if self.alone:
            return [content]
        held: list[Any] = [None] * self.size
        with _peers():
            dist.all_gather_object(held, content)
        return held

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Add up the gradients over all processes, in one exchange for each type of number.

        A process that had nothing to compute has none: they count as zero.
        """
        if self.alone:
            return
        trained = [each for each in parameters if each.requires_grad]
        gradients = [torch.zeros_like(each) if each.grad is None else each.grad for each in trained]
        for kind in dict.fromkeys(gradient.dtype for gradient in gradients):
            same = [gradient for gradient in gradients if gradient.dtype == kind]
            total = self.sum(torch.cat([gradient.reshape(-1) for gradient in same]))
            parts = torch.split(total, [gradient.numel() for gradient in same])
            for gradient, part in zip(same, parts, strict=True):
                gradient.copy_(part.view_as(gradient))
        for each, gradient in zip(trained, gradients, strict=True):
            each.grad = gradient


ALONE = Group()


@contextmanager
def _peers() -> Iterator[None]:
    """Tell errors of an exchange from those of the computation."""
    try:
        yield
    except RuntimeError as error:
        text = " ".join(str(error).split())[:200]
        raise LostWorkerError(f"another worker of this model has gone away ({text})") from error
