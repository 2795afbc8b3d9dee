"""How the days of a simulation are cut: where states are wanted, and so that memory is bounded."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Segments:
    """Spans of days that are simulated one after another.

    Attributes
    ----------
    spans : of days, in order, without gaps.
    recompute : keep only the states at the start of each span, and simulate it again on the way back;
        otherwise the states of every day are kept.
    """

    spans: tuple[range, ...]
    recompute: bool


def cut(
    days: range, wanted: Iterable[int], *, per_day: int, per_cut: int, memory: int, record: bool
) -> Segments:
    """Cut days into segments (checkpointing: Griewank & Walther 2000, 10.1145/347837.347846, one level).

    Parameters
    ----------
    wanted : days at whose end states are wanted: a segment ends with each.
    per_day : bytes that a day of the segment at work takes.
    per_cut : bytes that the states at the start of a segment take, kept for all segments.
    memory : bytes that all of this may take.
    record : whether there is a way back.

    Raises
    ------
    ValueError
        When no way of cutting keeps within ``memory``; the message says what is needed.
    """
    fits = per_day * len(days) <= memory
    longest = len(days) if fits else _longest(len(days), per_day, per_cut if record else 0, memory)
    ends = sorted({*wanted, days.stop - 1})
    spans: list[range] = []
    start = days.start
    for end in ends:
        number = math.ceil((end + 1 - start) / longest)
        edges = [start + (end + 1 - start) * i // number for i in range(number + 1)]
        spans += [range(a, b) for a, b in itertools.pairwise(edges)]
        start = end + 1
    return Segments(tuple(spans), recompute=record and not fits)


def _longest(days: int, per_day: int, per_cut: int, memory: int) -> int:
    """Give the longest segment of which ``per_day * length + per_cut * days / length`` fits."""
    root = memory**2 - 4.0 * per_day * per_cut * days
    length = 0 if root < 0 else int((memory + math.sqrt(root)) / (2 * per_day))
    if length < 1:
        least = max(2 * math.sqrt(float(per_day) * per_cut * days), per_day + per_cut)
        raise ValueError(
            f"a memory budget of {memory / 1e9:.3g} GB is too small for this simulation; it needs "
            f"{1.01 * least / 1e9:.3g} GB, or fewer sites at once"
        )
    return length
