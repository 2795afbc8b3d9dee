"""Which differences between models are clear, as the report tells them, computed beside the page.

Drawing years and sites anew takes seconds where there are many: a page shows what it has, and this when it
is done.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from threading import Lock

import numpy as np
import pandas as pd

from thalweg.dashboard.look import Look, Stroke, number, text
from thalweg.dashboard.measures import Measure
from thalweg.dashboard.parts import named
from thalweg.dashboard.scope import Scope
from thalweg.dashboard.tables import range_bar, row_of, table
from thalweg.evaluation.intervals import LEVEL
from thalweg.evaluation.resampling import FEWEST_BLOCKS
from thalweg.flows.reporting.differences import MOST_PAIRS, VERDICTS, Pair, compare_on
from thalweg.storage.results import Run

MOST_VALUES = 12_000_000
"""Predicted days at all sites of all runs that are compared without being asked."""
_KEPT = 60

_work = ThreadPoolExecutor(1, thread_name_prefix="differences")
_begun: OrderedDict[object, Future[list[Pair]]] = OrderedDict()
_lock = Lock()


def compared(scope: Scope, metric: str, models: Sequence[str]) -> Future[list[Pair]]:
    """Every two models on a split, the better ranked one first; begun now where it was not yet.

    Parameters
    ----------
    models : trained ones with a value of the metric, best first.
    """
    sources = tuple(run.source for run in scope.runs if run.model in models)
    key = (scope.experiment, scope.split, metric, tuple(models), sources)
    with _lock:
        if key not in _begun:
            runs = [Run(Path(path)) for path, _ in sources]
            pairs = list(combinations(models, 2))[:MOST_PAIRS]
            _begun[key] = _work.submit(compare_on, scope.table, runs, scope.split, pairs, metric)
        _begun.move_to_end(key)
        while len(_begun) > _KEPT:
            _begun.popitem(last=False)[1].cancel()
        return _begun[key]


def size(scope: Scope, models: Sequence[str]) -> int:
    """Predicted days at all sites of all runs that a comparison reads."""
    days = {run.id: _days(run.test_start, run.test_end) for run in scope.runs if run.model in models}
    sites = scope.table.groupby("run", observed=True).size()
    return sum(int(sites.get(run, 0)) * length for run, length in days.items())


def difference_table(
    found: Sequence[Pair], measure: Measure, strokes: Mapping[str, Stroke], look: Look
) -> str:
    """One row a pair: the verdict in words, the median difference with its interval drawn, and the sites."""
    ends = np.array([[p.comparison.difference.low, p.comparison.difference.high] for p in found], dtype=float)
    reach = float(np.nanmax(np.abs(ends))) if np.isfinite(ends).any() else 1.0
    head = [
        '<th class="l">Models</th>',
        '<th class="l">Verdict</th>',
        f'<th class="l" colspan="2" title="median over sites">Difference in {text(measure.axis)}</th>',
        '<th class="l">Drawn anew</th>',
        '<th title="Diebold-Mariano test of daily squared errors">p, daily errors</th>',
        "<th>First is better at</th>",
        "<th>Sites</th>",
    ]
    return table(head, [_pair(pair, reach, measure, strokes, look) for pair in found])


def words(found: Sequence[Pair], measure: Measure) -> str:
    """What the table means, and how it was made."""
    clear = sum(pair.comparison.verdict in ("a", "b") for pair in found)
    what = "distances from the best value" if measure.centred else "differences"
    return (
        f"{clear} of {len(found)} differences are clear. Median over sites of the {what}, first less second, "
        f"with its {LEVEL:.0%} interval from drawing whole water years and sites anew (sites alone where "
        f"fewer than {FEWEST_BLOCKS} water years were tested). Of pairs that are equal one in ten looks "
        "different by chance."
    )


def _pair(pair: Pair, reach: float, measure: Measure, strokes: Mapping[str, Stroke], look: Look) -> str:
    each = pair.comparison
    gap = each.difference
    drawn = pd.Series({"median": gap.median, "low": gap.low, "high": gap.high})
    winner = {"a": each.a, "b": each.b}.get(each.verdict)
    stroke = strokes[winner] if winner else Stroke(look.floor, "solid", 1.0)
    verdict = text(VERDICTS[each.verdict].format(a=each.a, b=each.b))
    told = f"<b>{verdict}</b>" if winner else f'<span class="t-muted">{verdict}</span>'
    decimals = measure.decimals + 1
    between = f"{number(gap.low, decimals)} to {number(gap.high, decimals)}"
    chance = "&lt; 0.001" if pair.p_value < 0.001 else number(pair.p_value, 3)
    share = f"{each.share_better:.0%}" if each.share_better == each.share_better else "–"
    return row_of(
        [
            f'<td class="l">{named(each.a)} − {named(each.b)}</td>',
            f'<td class="l">{told}</td>',
            f'<td class="l" style="width:18%">{range_bar(drawn, (-reach, reach), stroke, look)}</td>',
            f'<td class="l">{number(gap.median, decimals, signed=True)}&ensp;<small>{between}</small></td>',
            f'<td class="l">{text(pair.over)}</td>',
            f"<td>{chance}</td>",
            f"<td>{share}</td>",
            f"<td>{gap.sites:,}</td>",
        ]
    )


def _days(start: str, end: str) -> int:
    try:
        return max(1, (pd.Timestamp(end) - pd.Timestamp(start)).days + 1)
    except (TypeError, ValueError):
        return 1
