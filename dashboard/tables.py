"""Tables as HTML: dense, aligned, with a model's own line beside its name."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from thalweg.dashboard.data import Card
from thalweg.dashboard.look import Look, Stroke, number, text
from thalweg.dashboard.measures import Measure
from thalweg.dashboard.parts import swatch

_GLYPHS = {"failed": "×", "stopped": "–", "unknown": "?"}


def skill_table(
    medians: pd.DataFrame,
    intervals: pd.DataFrame,
    chosen: Measure,
    measures: Mapping[str, Measure],
    strokes: Mapping[str, Stroke],
    floors: Sequence[str],
    look: Look,
) -> str:
    """One row a model: the chosen metric with its interval drawn, then the medians of the others.

    Parameters
    ----------
    medians : index model, one column a metric; plus `sites` and, where known, `baseflow_index_correlation`.
    intervals : index model; `median`, `low`, `high` of the chosen metric.
    """
    others = [name for name in measures if name != chosen.name]
    order = chosen.rank(intervals["median"]).sort_values(na_position="last").index
    span = _span(intervals, chosen)
    best = {
        name: _best(medians.drop(index=list(floors), errors="ignore")[name], m)
        for name, m in measures.items()
    }
    baseflow = medians.get("baseflow_index_correlation")
    head = [
        '<th class="l">Model</th>',
        f'<th class="l" colspan="2" title="{text(chosen.long)}">{_heading(chosen)}: median, 90 %</th>',
        *(f'<th title="{text(measures[name].long)}">{_heading(measures[name])}</th>' for name in others),
    ]
    if baseflow is not None:
        head.append('<th title="Correlation over sites of simulated and reference baseflow index">BFI r</th>')
    head.append("<th>Sites</th>")
    rows = []
    for model in order:
        row = intervals.loc[model]
        stroke = strokes[model]
        strong = ' class="best"' if model == best[chosen.name] else ""
        cells = [
            f'<td class="l">{swatch(stroke)}&ensp;{text(model)}</td>',
            f'<td class="l">{_whisker(row, span, stroke, look)}</td>',
            f'<td class="l"><span{strong}>{_value(row["median"], chosen)}</span>'
            f"&ensp;<small>{_value(row['low'], chosen)} to {_value(row['high'], chosen)}</small></td>",
        ]
        for name in others:
            strong = ' class="best"' if model == best[name] else ""
            cells.append(f"<td{strong}>{_value(medians.loc[model, name], measures[name])}</td>")
        if baseflow is not None:
            cells.append(f"<td>{number(baseflow[model])}</td>")
        cells.append(f"<td>{int(medians.loc[model, 'sites']):,}</td>")
        kind = ' class="floor"' if model in floors else ""
        rows.append(f"<tr{kind}>{''.join(cells)}</tr>")
    return _table(head, rows)


def site_table(
    values: pd.DataFrame,
    measures: Mapping[str, Measure],
    strokes: Mapping[str, Stroke],
    floors: Sequence[str],
) -> str:
    """Metrics of one site, one row a model."""
    head = ['<th class="l">Model</th>']
    head += [f'<th title="{text(m.long)}">{_heading(m)}</th>' for m in measures.values()]
    best = {
        name: _best(values.drop(index=list(floors), errors="ignore")[name], m) for name, m in measures.items()
    }
    rows = []
    for model in values.index:
        cells = [f'<td class="l">{swatch(strokes[model])}&ensp;{text(model)}</td>']
        for name, measure in measures.items():
            strong = ' class="best"' if model == best[name] else ""
            cells.append(f"<td{strong}>{_value(values.loc[model, name], measure)}</td>")
        kind = ' class="floor"' if model in floors else ""
        rows.append(f"<tr{kind}>{''.join(cells)}</tr>")
    return _table(head, rows)


def run_matrix(
    runs: Sequence[Card],
    medians: Mapping[str, float],
    measure: Measure,
    strokes: Mapping[str, Stroke],
    look: Look,
) -> str:
    """Models by splits: the median of a metric over runs and, for every run, a square that tells its state.

    Parameters
    ----------
    medians : the metric's median over sites by run id.
    """
    splits = list(dict.fromkeys(run.split for run in runs))
    models = sorted(
        {run.model for run in runs}, key=lambda m: (any(r.floor for r in runs if r.model == m), m)
    )
    head = ['<th class="l">Model</th>', *(f'<th class="l">{text(split)}</th>' for split in splits)]
    rows = []
    for model in models:
        cells = [f'<td class="l" style="width:13rem">{swatch(strokes[model])}&ensp;{text(model)}</td>']
        for split in splits:
            own = [run for run in runs if run.model == model and run.split == split]
            known = [medians[run.id] for run in own if np.isfinite(medians.get(run.id, np.nan))]
            value = _value(float(np.mean(known)), measure) if known else "–" if own else ""
            squares = "".join(square(run, look) for run in own)
            cells.append(
                f'<td class="l"><span style="display:inline-block;width:3.2rem">{value}</span>'
                f'<span class="t-cells">{squares}</span></td>'
            )
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return _table(head, rows)


def square(run: Card, look: Look) -> str:
    """A run's state as a small square; a running one is filled as far as it is."""
    told = f"fold {run.fold}, seed {run.seed}: {run.state}"
    if run.state == "running" and run.epochs:
        told += f", epoch {run.epoch or 0} of {run.epochs}"
    if run.message and run.state != "done":
        told += f": {run.message[:160]}"
    return state_square(run.state, look, run.progress, told)


def state_square(state: str, look: Look, progress: float | None = None, told: str = "") -> str:
    """The square of a state, with a glyph where colour alone would not do."""
    color = look.states.get(state, look.states["unknown"])
    if state == "running":
        share = 100.0 * (progress or 0.0)
        fill = f"background:linear-gradient(0deg,{color} {share:.0f}%,transparent {share:.0f}%)"
    elif state in ("waiting", "unknown"):
        fill = f"color:{color}"
    else:
        fill = f"background:{color}"
    line = "dashed" if state == "unknown" else "solid"
    title = f' title="{text(told)}"' if told else ""
    return f'<i style="{fill};border:1.5px {line} {color}"{title}>{_GLYPHS.get(state, "")}</i>'


def _table(head: Sequence[str], rows: Sequence[str]) -> str:
    inner = f"<thead><tr>{''.join(head)}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<div class="t-scroll"><table class="t">{inner}</table></div>'


def _heading(measure: Measure) -> str:
    units = measure.suffix.strip()
    return text(measure.short) + (f" <small>{text(units)}</small>" if units else "")


def _value(value: float, measure: Measure) -> str:
    return number(value, measure.decimals, signed=measure.signed and measure.perfect == 0.0)


def _best(column: pd.Series, measure: Measure) -> str | None:
    ranked = measure.rank(column.dropna())
    return str(ranked.idxmin()) if len(ranked) > 1 else None


def _span(intervals: pd.DataFrame, measure: Measure) -> tuple[float, float]:
    values = intervals[["low", "high", "median"]].to_numpy(float)
    values = values[np.isfinite(values)]
    if values.size == 0:
        return (0.0, 1.0)
    low, high = float(values.min()), float(values.max())
    if measure.better == "high":
        low, high = max(min(low, 0.0), -1.0), measure.perfect
    elif measure.better == "zero":
        reach = max(abs(low - measure.perfect), abs(high - measure.perfect)) or 1.0
        low, high = measure.perfect - reach, measure.perfect + reach
    else:
        low = 0.0
    return (low, high if high > low else low + 1.0)


def _whisker(row: pd.Series, span: tuple[float, float], stroke: Stroke, look: Look, width: int = 190) -> str:
    """Median as a dot, interval as a bar, on the scale of all rows; a tick at zero where it is inside."""

    def place(value: float) -> float:
        share = (value - span[0]) / (span[1] - span[0])
        return 6 + (width - 12) * min(1.0, max(0.0, share))

    parts = [f'<line x1="6" x2="{width - 6}" y1="9" y2="9" stroke="{look.faint}" stroke-width="1.5"/>']
    if span[0] <= 0.0 <= span[1]:
        zero = place(0.0)
        parts.append(f'<line x1="{zero:.1f}" x2="{zero:.1f}" y1="2" y2="16" stroke="{look.border}"/>')
    if np.isfinite(row["low"]) and np.isfinite(row["high"]):
        a, b = place(row["low"]), place(row["high"])
        parts.append(
            f'<line x1="{a:.1f}" x2="{b:.1f}" y1="9" y2="9" stroke="{stroke.color}" stroke-width="5" '
            f'stroke-linecap="round" opacity=".38"/>'
        )
    if np.isfinite(row["median"]):
        parts.append(f'<circle cx="{place(row["median"]):.1f}" cy="9" r="4.5" fill="{stroke.color}"/>')
    return f'<svg width="{width}" height="18" aria-hidden="true">{"".join(parts)}</svg>'
