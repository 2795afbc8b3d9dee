"""Which windows of which sites a training step sees."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Windows:
    """Draws batches of windows: every site equally often, each from a random first day.

    Sites are shuffled anew when all have been seen. Draws come from a generator of its own, so that
    nothing else changes them.

    Parameters
    ----------
    observed : ``(time, site)``; NaN where missing. A site without any observation is never drawn.
    window, warmup : days with and before the targets.
    sparse : whether few days may be observed: see :class:`ObservedStarts`.
    observed_days, local : where several processes hold the sites: the days with an observation of each, and
        its place among those held here, -1 for the others, ``(site,)``. ``observed`` is of those held here.

    Raises
    ------
    ValueError
        When the record is shorter than warm-up and window, or nothing was observed.
    """

    def __init__(
        self,
        observed: Tensor,
        window: int,
        warmup: int,
        batch_sites: int,
        seed: int,
        *,
        sparse: bool = False,
        observed_days: Tensor | None = None,
        local: Tensor | None = None,
    ) -> None:
        self.last_start = check_length(observed.shape[0], window, warmup)
        self.starts = ObservedStarts(observed, window, warmup) if sparse else None
        self.local = local
        if observed_days is None:
            observed_days = torch.isfinite(observed[warmup:]).sum(0).cpu()
        self.sites = torch.nonzero(observed_days).squeeze(-1)
        if len(self.sites) == 0:
            raise ValueError("no training site has any observation in the training part")
        self.device = observed.device
        self.batch = min(batch_sites, len(self.sites))
        self.steps_per_pass = max(1, math.ceil(int(observed_days.sum()) / (window * self.batch)))
        self.generator = torch.Generator().manual_seed(seed)
        self.queue = torch.empty(0, dtype=torch.long)

    def draw(self) -> tuple[Tensor, Tensor]:
        """Give ``(site,)`` indices of sites and of their windows' first days (warm-up included).

        Only those of the sites that are held here, with their places among them; all draw alike.
        """
        while len(self.queue) < self.batch:
            order = torch.randperm(len(self.sites), generator=self.generator)
            self.queue = torch.cat([self.queue, self.sites[order]])
        sites, self.queue = self.queue[: self.batch], self.queue[self.batch :]
        if self.local is not None:
            sites = self.local[sites]
        if self.starts is None:
            starts = torch.randint(self.last_start + 1, (self.batch,), generator=self.generator)
        else:
            starts = self.starts.draw(sites, self.generator)
        if self.local is not None:
            here = sites >= 0
            sites, starts = sites[here], starts[here]
        return sites.to(self.device), starts.to(self.device)

    def state(self) -> dict[str, Tensor]:
        """Give what :meth:`restore` needs to go on with the same draws."""
        return {"generator": self.generator.get_state(), "queue": self.queue}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from a :meth:`state`."""
        self.generator.set_state(state["generator"].cpu())
        self.queue = state["queue"].cpu()


class ObservedStarts:
    """Draws the first days of windows that hold an observation, each as likely as any other of its site.

    Where only some years train, most windows would hold nothing to learn from. An observed day is then as
    likely in a window as any other of its site, but for those less than a window from the record's ends or
    from other observed days.

    Parameters
    ----------
    observed : ``(time, site)``; NaN where missing.
    window, warmup : days with and before the targets.
    """

    def __init__(self, observed: Tensor, window: int, warmup: int) -> None:
        there = torch.isfinite(observed[warmup:]).cpu()
        before = torch.cat(
            [torch.zeros(1, there.shape[1], dtype=torch.int32), there.cumsum(0, dtype=torch.int32)]
        )
        holds = before[window:] > before[:-window]
        # how many such windows begin on a day or earlier, ``(site, day)``
        self.upto = holds.cumsum(0, dtype=torch.int32).T.contiguous()

    def draw(self, sites: Tensor, generator: torch.Generator) -> Tensor:
        """Give a first day for each of ``sites``, which all have an observation; ``(site,)``.

        For a site of -1, which is not held here, it means nothing.
        """
        share = torch.rand(len(sites), generator=generator, dtype=torch.float64)
        starts, here = torch.zeros_like(sites), sites >= 0
        upto = self.upto[sites[here]]
        number = (share[here] * upto[:, -1]).to(torch.int32) + 1
        starts[here] = torch.searchsorted(upto, number.unsqueeze(1)).squeeze(1)
        return starts


def check_length(days: int, window: int, warmup: int) -> int:
    """Give the last day that a window and its warm-up can begin on.

    Raises
    ------
    ValueError
        When they do not fit.
    """
    last_start = days - window - warmup
    if last_start < 0:
        raise ValueError(
            f"a warm-up of {warmup} and a window of {window} days do not fit into the {days} days "
            "of the training part and what lies before it: shorten training.window or training.warmup"
        )
    return last_start
