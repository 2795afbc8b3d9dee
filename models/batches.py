"""Batches of windows to train on: from data in memory, or streamed by blocks of sites.

Both give the same :class:`Batch` and go on from their state to the same bits, in the middle of an epoch
too. What they differ in is what is shuffled: see :class:`InMemory` and :class:`Streamed`.

Where several processes train together all of them draw the same windows, so that the state of one is that of
all, and take those of the sites that they hold.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import torch
from torch import Tensor

from thalweg.models.sampling import ObservedStarts, Windows, check_length
from thalweg.models.training_data import Batch, SharedData, StreamedData, TrainingData


class Batches(Protocol):
    """What draws batches; the same seed draws the same ones."""

    steps_per_pass: int

    def draw(self) -> Batch | None:
        """Give the next batch, or what of it is held here: None where that is nothing."""
        ...

    def state(self) -> dict[str, Any]:
        """Give what :meth:`restore` needs to go on with the same draws."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state`."""
        ...

    def close(self) -> None:
        """Let go of what is being read."""
        ...


class InMemory:
    """Draws batches from tensors: every site equally often, each window from a random first day.

    All is shuffled: the order of sites anew whenever all have been seen, the first days at every draw.
    """

    def __init__(
        self, data: TrainingData | SharedData, window: int, warmup: int, batch_sites: int, seed: int
    ) -> None:
        shared = data if isinstance(data, SharedData) else None
        self.data = data.held if isinstance(data, SharedData) else data
        self.window, self.warmup = window, warmup
        self.windows = Windows(
            self.data.observed, window, warmup, batch_sites, seed, sparse=self.data.sparse,
            observed_days=None if shared is None else shared.observed_days,
            local=None if shared is None else shared.local,
        )  # fmt: skip
        self.steps_per_pass = self.windows.steps_per_pass

    def draw(self) -> Batch | None:
        """Give the next batch, or what of it is held here."""
        sites, starts = self.windows.draw()
        return self.data.batch(sites, starts, self.warmup, self.window) if len(sites) else None

    def state(self) -> dict[str, Any]:
        """Give what :meth:`restore` needs to go on with the same draws."""
        return self.windows.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state`."""
        if "queue" not in state:
            raise ValueError(_OTHER_WAY.format("streamed", "fit into memory"))
        self.windows.restore(state)

    def close(self) -> None:
        """Nothing is being read."""


class Streamed:
    """Draws batches from sites that are read block by block, the next one while the last one trains.

    A pass takes every site the same number of times, as often as its record holds windows (on average
    over sites). Random are: the order of the groups of neighbours in each pass, and thereby which of them
    share a block; the order of the sites in a block, anew for each of its rounds; the first day of every
    window. Not random is that all windows of one pass over a site are drawn while its block is in
    memory: a batch holds sites of one block only, and neighbours on the disk are always in the same one.
    The batches of a block differ by at most one site in size, so that none is a small remainder.

    Everything is drawn from the seed and the place in the stream alone: that place is the whole state.

    Raises
    ------
    ValueError
        When the record is shorter than warm-up and window, or nothing was observed.
    """

    def __init__(self, data: StreamedData, window: int, warmup: int, batch_sites: int, seed: int) -> None:
        self.last_start = check_length(data.days, window, warmup)
        known = set(torch.nonzero(data.donors).squeeze(-1).tolist())
        groups = [[site for site in group if site in known] for group in data.neighbours]
        self.groups = [group for group in groups if group]
        sites = sum(map(len, self.groups))
        if sites == 0:
            raise ValueError("no training site has any observation in the training part")
        self.data, self.window, self.warmup, self.seed = data, window, warmup, seed
        self.batch = min(batch_sites, sites)
        observed = int(data.observed_days.sum())
        self.steps_per_pass = max(1, math.ceil(observed / (window * self.batch)))
        self.rounds = max(1, round(observed / (window * sites)))
        self.place = (0, 0, 0)  # pass, block, step
        self.block: TrainingData | None = None
        self.tickets: list[tuple[Tensor, Tensor]] = []
        self.thread: ThreadPoolExecutor | None = None
        self.next: Future[TrainingData | None] | None = None

    def draw(self) -> Batch | None:
        """Give the next batch; waits where the block it is from has not been read yet."""
        if not self.tickets:
            self._load()
        turn, number, step = self.place
        sites, starts = self.tickets[step]
        batch = None if self.block is None else self._held(self.block, sites, starts)
        self.place = (turn, number, step + 1)
        if step + 1 == len(self.tickets):
            self.place, self.block, self.tickets = (*self._after(turn, number), 0), None, []
        return batch

    def _held(self, block: TrainingData, sites: Tensor, starts: Tensor) -> Batch | None:
        here = sites >= 0
        if not bool(here.any()):
            return None
        return block.batch(sites[here], starts[here], self.warmup, self.window)

    def state(self) -> dict[str, Any]:
        """Give what :meth:`restore` needs to go on with the same draws."""
        return {"place": list(self.place)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state`."""
        if "place" not in state:
            raise ValueError(_OTHER_WAY.format("in memory", "have to be streamed"))
        self.close()
        turn, number, step = state["place"]
        self.place = (int(turn), int(number), int(step))

    def close(self) -> None:
        """Let go of the blocks; the next draw reads again."""
        self.block = self.next = None
        self.tickets = []
        if self.thread is not None:
            self.thread.shutdown(wait=False, cancel_futures=True)
            self.thread = None

    def _load(self) -> None:
        """Make the block at our place the present one, and let the one after it be read."""
        turn, number, _ = self.place
        if self.thread is None:
            self.thread = ThreadPoolExecutor(1, thread_name_prefix="training data")
        block = self.next or self.thread.submit(self._read, self._sites(turn, number))
        self.block = block.result()
        self.tickets = self._tickets(turn, number)
        self.next = self.thread.submit(self._read, self._sites(*self._after(turn, number)))

    def _read(self, sites: list[int]) -> TrainingData | None:
        """Read those of the sites that this process trains on."""
        own = [site for site, here in zip(sites, self._here(sites), strict=True) if here]
        return self.data.read(own) if own else None

    def _here(self, sites: list[int]) -> Tensor:
        held = self.data.held
        return torch.ones(len(sites), dtype=torch.bool) if held is None else held[sites]

    def _blocks(self, turn: int) -> list[list[int]]:
        """Give the places of the sites of each block of a pass: whole groups, in a random order."""
        blocks: list[list[int]] = [[]]
        for place in torch.randperm(len(self.groups), generator=self._generator(turn)).tolist():
            if blocks[-1] and len(blocks[-1]) + len(self.groups[place]) > self.data.block_sites:
                blocks.append([])
            blocks[-1] += self.groups[place]
        return blocks

    def _sites(self, turn: int, number: int) -> list[int]:
        return self._blocks(turn)[number]

    def _after(self, turn: int, number: int) -> tuple[int, int]:
        return (turn, number + 1) if number + 1 < len(self._blocks(turn)) else (turn + 1, 0)

    def _tickets(self, turn: int, number: int) -> list[tuple[Tensor, Tensor]]:
        """Give the batches of a block: places within what was read, -1 for what was not, and first days."""
        generator = self._generator(turn, number)
        here = self._here(self._sites(turn, number))
        rounds = [torch.randperm(len(here), generator=generator) for _ in range(self.rounds)]
        sites = torch.where(here, here.cumsum(0) - 1, -1)[torch.cat(rounds)]
        if self.block is not None and self.block.sparse:
            starts = ObservedStarts(self.block.observed, self.window, self.warmup).draw(sites, generator)
        else:
            starts = torch.randint(self.last_start + 1, (len(sites),), generator=generator)
        batches = max(1, round(len(sites) / self.batch))
        return list(zip(sites.tensor_split(batches), starts.tensor_split(batches), strict=True))

    def _generator(self, *place: int) -> torch.Generator:
        digest = hashlib.sha256(repr((self.seed, *place)).encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)


def make_batches(
    data: TrainingData | SharedData | StreamedData, window: int, warmup: int, batch_sites: int, seed: int
) -> Batches:
    """Give what draws from the data.

    Raises
    ------
    ValueError
        When the record is shorter than warm-up and window, or nothing was observed.
    """
    kind: Callable[..., Batches] = Streamed if isinstance(data, StreamedData) else InMemory
    return kind(data, window, warmup, batch_sites, seed)


_OTHER_WAY = (
    "the checkpoint was made with training data {}, which now {}: "
    "set resources.memory as it was, or remove the checkpoint"
)
