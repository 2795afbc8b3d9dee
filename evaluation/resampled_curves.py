"""Flow duration curves, ranks and peaks of resampled records, from counts of days by block."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from thalweg.evaluation import peaks
from thalweg.evaluation.efficiency import distance_to_one, ratio
from thalweg.evaluation.flow_regime import HIGH_SHARE, LOW_SHARE, MIDDLE, SMALLEST_FLOW
from thalweg.evaluation.moments import Array

# Grid on which two flow duration curves are compared: steps of 3 % from a ten thousandth of the mean flow.
_STEP, _SMALLEST_SHARE = 0.03, 1e-4


class SiteBlocks:
    """One series of one site, ``(time,)`` (mm/day), cut into blocks of days of which samples were drawn.

    Days without observation are left out. Everything of a sample follows from how often each block is in
    it: the number of days above a value, and their sum.
    """

    def __init__(
        self, series: Array, observed: Array, block: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> None:
        there = ~np.isnan(observed)
        self.whole, self.whole_observed, self.whole_block = series, observed, block
        self.series, self.block = series[there], block[there]
        self.counts = counts.astype(np.float64)
        self.each = np.arange(counts.shape[1])
        order = np.argsort(self.series, kind="stable")
        self.order = order[::-1]
        self.falling = self.series[self.order]
        self.above = self.cumulative(np.ones(self.series.size))
        self.days = self.counts @ self.above[-1]

    def cumulative(self, values: Array, *, rising: bool = False) -> Array:
        """Add values of the days by block, from the highest flow down (or from the lowest up).

        Returns
        -------
        ``(day + 1, block)``: row k holds the sums over the first k days of the order.
        """
        order = self.order[::-1] if rising else self.order
        columns = np.zeros((len(order) + 1, len(self.each)))
        columns[1:] = np.where(self.block[order, None] == self.each, values[order, None], 0.0)
        return np.cumsum(columns, axis=0)

    def below(self, places: NDArray[np.int64]) -> Array:
        """Give the days by block before a place in rising order, ``(..., block)``."""
        return np.asarray(self.above[-1] - self.above[len(self.order) - places])

    def weigh(self, sums: Array, places: NDArray[np.int64]) -> Array:
        """Give the sum over a sample's days before a place in the order, ``(sample,)``."""
        return np.asarray(np.einsum("sb,sb->s", self.counts, sums[places]))

    @cached_property
    def ranks(self) -> dict[str, Array]:
        """Ranks, from 1 at the highest day, that the metrics ask for, ``(sample,)`` each."""
        count_high, count_low = (np.round(share * self.days) for share in (HIGH_SHARE, LOW_SHARE))
        upper, lower = (np.minimum(np.round(share * self.days) + 1.0, self.days) for share in MIDDLE)
        low = np.minimum(self.days - count_low + 1.0, self.days)
        return {"high": count_high, "low": low, "upper": upper, "lower": lower, "last": self.days}

    @cached_property
    def places(self) -> dict[str, NDArray[np.int64]]:
        """Place in falling order of the day of each of these ranks, ``(sample,)`` each, by bisection."""
        wanted = np.stack(list(self.ranks.values()))
        first, last = np.zeros(wanted.shape, np.int64), np.full(wanted.shape, len(self.order) - 1)
        for _ in range(len(self.order).bit_length()):
            middle = (first + last) // 2
            enough = np.einsum("sb,rsb->rs", self.counts, self.above[middle + 1]) >= wanted
            last = np.where(enough, middle, last)
            first = np.where(enough, first, np.minimum(middle + 1, last))
        return dict(zip(self.ranks, last, strict=True))

    @cached_property
    def ties(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First place, and the one after the last, of the days with the same flow as each day, ``(day,)``."""
        rising = -self.falling
        return (
            np.searchsorted(rising, rising, side="left").astype(np.int64),
            np.searchsorted(rising, rising, side="right").astype(np.int64),
        )

    @cached_property
    def highest(self) -> Array:
        """Sum of the highest 2 % of days, ``(sample,)`` (mm/day)."""
        place, rank = self.places["high"], self.ranks["high"]
        rest = rank - self.weigh(self.above, place)
        total = self.weigh(self.cumulative(self.series), place) + rest * self.falling[place]
        return np.where(rank > 0.0, total, 0.0)

    @cached_property
    def depth(self) -> Array:
        """Sum of how far the logarithms of the lowest 30 % of days lie above the lowest, ``(sample,)``."""
        count = np.round(LOW_SHARE * self.days)
        place = len(self.order) - 1 - self.places["low"]  # counted from the lowest
        logarithm = np.log(np.maximum(self.series, SMALLEST_FLOW))
        logarithm -= logarithm.min()
        rising = logarithm[self.order[::-1]]
        lowest = rising[len(self.order) - 1 - self.places["last"]]
        rest = count - np.einsum("sb,sb->s", self.counts, self.below(place))
        total = self.weigh(self.cumulative(logarithm, rising=True), place) + rest * rising[place]
        depth = total - count * lowest
        return np.where(depth > 1e-9 * count, depth, 0.0)

    @cached_property
    def slope(self) -> Array:
        """Difference of the logarithms of flow at 20 and 70 % exceedance, ``(sample,)``."""
        upper, lower = (
            np.log(np.maximum(self.falling[self.places[name]], SMALLEST_FLOW)) for name in ("upper", "lower")
        )
        return np.asarray(upper - lower)

    @cached_property
    def total(self) -> Array:
        """Sum over the days, ``(sample,)`` (mm/day)."""
        return np.asarray(self.counts @ np.bincount(self.block, self.series, len(self.each)))

    @cached_property
    def middle_rank(self) -> Array:
        """Days by block with less flow than each day, and half of those with as much, ``(day, block)``."""
        first, after = self.ties
        middle = self.above[-1] - (self.above[first] + self.above[after]) / 2.0
        ranks: Array = np.empty(middle.shape)
        ranks[self.order] = middle
        return ranks

    def rank_product(self, other: SiteBlocks) -> Array:
        """Give the covariance of ranks times the days, ``(sample,)``.

        Ranks are linear in how often each block was drawn, and so their products are cubic: one sum over
        days for each three blocks serves all samples.
        """
        a, b = self.middle_rank, other.middle_rank
        cubic = np.stack([a[self.block == block].T @ b[self.block == block] for block in self.each])
        blocks = len(self.each)
        partly = (self.counts @ cubic.reshape(blocks, -1)).reshape(-1, blocks, blocks)
        total = np.einsum("sij,si,sj->s", partly, self.counts, self.counts)
        return np.asarray(total - self.days**3 / 4.0)

    @cached_property
    def rank_variance(self) -> Array:
        """Variance of ranks times the days, ``(sample,)``; zero where all days are equal."""
        variance = self.rank_product(self)
        return np.where(variance > 1e-9 * self.days**3, variance, 0.0)

    @cached_property
    def at_most(self) -> NDArray[np.float32]:
        """Share of days with at most each share of the mean flow, on the grid of flows, ``(sample, flow)``.

        The last is 1 in every sample; one whose flows sum to nothing has no meaning. Another mean moves the
        curve along the logarithm of flow, by the same distance everywhere. Single precision is finer than
        the grid, and twice as fast.
        """
        days, usual = np.maximum(self.days, 1.0), float(self.series.mean())
        means = np.where(self.total > 0.0, self.total / days, usual)
        moved = np.log(means / usual) / _STEP
        least = np.floor(moved.min())
        whole = (np.floor(moved) - least).astype(np.int64)
        part = (moved - np.floor(moved))[:, None]
        steps = 2 + int(np.ceil(np.log(max(self.falling[0] / means.min(), 1.0) / _SMALLEST_SHARE) / _STEP))
        nodes = np.log(_SMALLEST_SHARE) + _STEP * (np.arange(steps + int(whole.max()) + 1) + least)
        below = np.searchsorted(self.falling[::-1], usual * np.exp(nodes), side="right")
        share = self.counts.astype(np.float32) @ self.below(below).T.astype(np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(share, steps + 1, axis=1)
        there = windows[np.arange(len(whole)), whole]
        there /= days.astype(np.float32)[:, None]
        return np.asarray(there[:, :-1] + part.astype(np.float32) * np.diff(there, axis=1))


def _fhv(guess: SiteBlocks, truth: SiteBlocks) -> Array:
    return 100.0 * ratio(guess.highest - truth.highest, truth.highest)


def _flv(guess: SiteBlocks, truth: SiteBlocks) -> Array:
    return -100.0 * ratio(guess.depth - truth.depth, truth.depth)


def _fms(guess: SiteBlocks, truth: SiteBlocks) -> Array:
    return 100.0 * ratio(guess.slope - truth.slope, truth.slope)


def _rmse_high(guess: SiteBlocks, truth: SiteBlocks) -> Array:
    after = truth.ties[1][truth.places["high"]]
    squares = truth.cumulative((guess.series - truth.series) ** 2)
    mean = ratio(truth.weigh(squares, after), truth.weigh(truth.above, after))
    return np.where(truth.ranks["high"] > 0.0, np.sqrt(mean), np.nan)


def _rmse_low(guess: SiteBlocks, truth: SiteBlocks) -> Array:
    before = len(truth.order) - truth.ties[0][truth.places["low"]]  # counted from the lowest
    squares = truth.cumulative((guess.series - truth.series) ** 2, rising=True)
    days = np.einsum("sb,sb->s", truth.counts, truth.below(before))
    mean = ratio(truth.weigh(squares, before), np.asarray(days))
    return np.where(np.round(LOW_SHARE * truth.days) > 0.0, np.sqrt(mean), np.nan)


def _kge_np(guess: SiteBlocks, truth: SiteBlocks) -> Array:
    spread = np.sqrt(guess.rank_variance) * np.sqrt(truth.rank_variance)
    spearman = ratio(guess.rank_product(truth), spread)
    return distance_to_one(spearman, 1.0 - 0.5 * _distance(guess, truth), ratio(guess.total, truth.total))


def _distance(guess: SiteBlocks, truth: SiteBlocks) -> Array:
    """Area between two flow duration curves, each divided by its mean, ``(sample,)``.

    It equals the area between the two shares of days below each flow, which is what is added up.
    """
    if min(guess.series.sum(), truth.series.sum()) <= 0.0:
        return np.full(len(truth.counts), np.nan)
    first, second = sorted((guess.at_most, truth.at_most), key=lambda share: share.shape[1])
    short = first.shape[1]
    apart = np.concatenate([np.abs(first - second[:, :short]), 1.0 - second[:, short:]], axis=1)
    flow = _SMALLEST_SHARE * np.exp(_STEP * np.arange(second.shape[1]))
    width = np.diff(flow, prepend=0.0)
    # the trapezoidal rule, and a rectangle below the first node
    area = apart @ ((width + np.append(width[1:], 0.0)) / 2.0).astype(np.float32)
    area = area.astype(np.float64) + apart[:, 0] * width[0] / 2.0
    for one in (guess, truth):  # flows below zero, which only simulations have
        below = np.bincount(one.block, np.minimum(one.series, 0.0), len(one.each))
        area -= ratio(one.counts @ below, one.total)
    return np.where((guess.total > 0.0) & (truth.total > 0.0), area, np.nan)


def _of_peaks(
    found: Callable[[Array, Array], peaks.Peaks | None],
) -> Callable[[SiteBlocks, SiteBlocks], Array]:
    def mean(guess: SiteBlocks, truth: SiteBlocks) -> Array:
        of_site = found(guess.whole, truth.whole_observed)
        if of_site is None or not of_site.days.size:
            return np.full(len(guess.counts), np.nan)
        block = guess.whole_block[of_site.days]
        sums = [np.bincount(block, weights, len(guess.each)) for weights in (of_site.values, None)]
        return ratio(guess.counts @ sums[0], guess.counts @ sums[1])

    return mean


CURVES: dict[str, Callable[[SiteBlocks, SiteBlocks], Array]] = {
    "kge_np": _kge_np,
    "fhv": _fhv,
    "flv": _flv,
    "fms": _fms,
    "rmse_high": _rmse_high,
    "rmse_low": _rmse_low,
    "peak_timing": _of_peaks(peaks.lags),
    "missed_peaks": _of_peaks(peaks.misses),
}
