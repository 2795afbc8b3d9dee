"""Tables as HTML: dense, aligned, with a model's own line beside its name."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from thalweg.dashboard.look import Look, Stroke, number, text
from thalweg.dashboard.measures import Measure
from thalweg.dashboard.parts import named, swatch
from thalweg.dashboard.reading.cards import Card

_GLYPHS = {"failed": "×", "stopped": "–", "unknown": "?"}
_BASEFLOW = "Correlation over sites of the simulated baseflow index with the one filtered from observations"
_FLAG = "Good discharge with the wrong baseflow: right for the wrong reason"


def skill_table(
    medians: pd.DataFrame,
    intervals: pd.DataFrame,
    chosen: Measure,
    measures: Mapping[str, Measure],
    strokes: Mapping[str, Stroke],
    floors: Sequence[str],
    look: Look,
) -> str:
    """One row a model, floors last: the chosen metric with its interval drawn, then the other medians.

    Parameters
    ----------
    medians : index model, one column a metric.
    intervals : index model; columns of `summarize` for the chosen metric.
    """
    others = [measure for name, measure in measures.items() if name != chosen.name]
    span = _span(intervals, chosen)
    best = _best_models(medians, measures, floors)
    with_baseflow = bool(intervals["baseflow_correlation"].notna().any())
    head = [
        '<th class="l">Model</th>',
        f'<th class="l" colspan="2" title="{text(chosen.long)}">{_heading(chosen)}, median</th>',
        *(f'<th title="{text(measure.long)}">{_heading(measure)}</th>' for measure in others),
        f'<th title="{_BASEFLOW}">Baseflow r</th>' if with_baseflow else "",
        "<th>Sites</th>",
    ]
    rows = []
    ranked = chosen.rank(intervals["median"]).sort_values(na_position="last").index
    for model in sorted(ranked, key=lambda model: model in floors):
        row = intervals.loc[model]
        strong = ' class="best"' if model == best[chosen.name] else ""
        cells = [
            model_cell(model, strokes[model]),
            f'<td class="l" style="width:16%">{range_bar(row, span, strokes[model], look)}</td>',
            f'<td class="l"><span{strong}>{_value(row["median"], chosen)}</span>'
            f"&ensp;<small>{_value(row['low'], chosen)} to {_value(row['high'], chosen)}</small></td>",
            *(_cell(medians.loc[model, m.name], m, model == best[m.name]) for m in others),
            _baseflow_cell(row) if with_baseflow else "",
            f"<td>{int(row['sites']):,}</td>",
        ]
        rows.append(row_of(cells, model in floors))
    return table(head, rows)


def gap_table(gaps: pd.DataFrame, measure: Measure, strokes: Mapping[str, Stroke], look: Look) -> str:
    """Skill inside and outside of what was trained on, and the gap with its interval drawn.

    Parameters
    ----------
    gaps : columns of :func:`thalweg.evaluation.extrapolation.gaps.extrapolation_gaps`.
    """
    drawn = gaps.rename(columns={"gap": "median"})
    ends = drawn[["median", "low", "high"]].to_numpy(float)
    reach = float(np.nanmax(np.abs(ends))) if np.isfinite(ends).any() else 1.0
    head = ["Model", "Outside", "Inside"]
    cells = [f'<th class="l">{name}</th>' for name in head]
    cells += [f"<th>{_heading(measure)} inside</th>", f"<th>{_heading(measure)} outside</th>"]
    cells += [
        '<th class="l" colspan="2">Gap, inside less outside</th>',
        '<th class="l">In words</th>',
        "<th>Sites</th>",
    ]
    rows = []
    for _, row in drawn.iterrows():
        inside = row["inside_split"] + ("" if row["paired"] else " (other sites)")
        interval = f"{_value(row['low'], measure)} to {_value(row['high'], measure)}"
        stroke = strokes[row["model"]]
        rows.append(
            row_of(
                [
                    model_cell(row["model"], stroke),
                    f'<td class="l">{text(row["split"])}</td>',
                    f'<td class="l">{text(inside)}</td>',
                    f"<td>{_value(row['inside'], measure)}</td>",
                    f"<td>{_value(row['outside'], measure)}</td>",
                    f'<td class="l" style="width:14%">{range_bar(row, (-reach, reach), stroke, look)}</td>',
                    f'<td class="l">{_value(row["median"], measure)}&ensp;<small>{interval}</small></td>',
                    f'<td class="l">{text(row["sentence"].split(": ", 1)[1].split(" (")[0])}</td>',
                    f"<td>{int(row['sites']):,}</td>",
                ],
                floor=False,
            )
        )
    return table(cells, rows)


def site_table(
    values: pd.DataFrame,
    measures: Mapping[str, Measure],
    strokes: Mapping[str, Stroke],
    floors: Sequence[str],
) -> str:
    """Metrics of one site, one row a model."""
    best = _best_models(values, measures, floors)
    head = ['<th class="l">Model</th>']
    head += [f'<th title="{text(measure.long)}">{_heading(measure)}</th>' for measure in measures.values()]
    rows = []
    for model in values.index:
        cells = [_cell(values.loc[model, m.name], m, model == best[m.name]) for m in measures.values()]
        rows.append(row_of([model_cell(model, strokes[model]), *cells], model in floors))
    return table(head, rows)


def run_matrix(
    runs: Sequence[Card],
    medians: Mapping[tuple[str, str], float],
    measure: Measure,
    strokes: Mapping[str, Stroke],
    look: Look,
) -> str:
    """Models by splits: the median of a metric and, for every run, a square that tells its state.

    Parameters
    ----------
    medians : the metric's median over sites by model and split.
    """
    splits = list(dict.fromkeys(run.split for run in runs))
    models = sorted({(run.floor, run.model) for run in runs})
    head = ['<th class="l">Model</th>']
    head += [f'<th class="l">{text(split)}, median {_heading(measure)}</th>' for split in splits]
    rows = []
    for floor, model in models:
        cells = [model_cell(model, strokes[model])]
        for split in splits:
            own = [run for run in runs if run.model == model and run.split == split]
            value = _value(medians.get((model, split), np.nan), measure) if own else ""
            squares = "".join(square(run, look) for run in own)
            inner = f'<span class="t-number">{value}</span><span class="t-cells">{squares}</span>'
            cells.append(f'<td class="l">{inner}</td>')
        rows.append(row_of(cells, floor))
    return table(head, rows, "t t-matrix")


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


def table(head: Sequence[str], rows: Sequence[str], kind: str = "t") -> str:
    """A table from its heading cells and rows; wide ones scroll."""
    inner = f"<thead><tr>{''.join(head)}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<div class="t-scroll"><table class="{kind}">{inner}</table></div>'


def row_of(cells: Sequence[str], floor: bool = False) -> str:
    """A row; a floor's is grey."""
    kind = ' class="floor"' if floor else ""
    return f"<tr{kind}>{''.join(cells)}</tr>"


def model_cell(model: str, stroke: Stroke) -> str:
    """A model's name beside its line."""
    return f'<td class="l">{swatch(stroke)}&ensp;{named(model)}</td>'


def _cell(value: float, measure: Measure, best: bool) -> str:
    strong = ' class="best"' if best else ""
    return f"<td{strong}>{_value(value, measure)}</td>"


def _baseflow_cell(row: pd.Series) -> str:
    value = number(row["baseflow_correlation"])
    return f'<td class="flag" title="{_FLAG}">⚠ {value}</td>' if row["baseflow_flag"] else f"<td>{value}</td>"


def _heading(measure: Measure) -> str:
    units = measure.suffix.strip()
    return text(measure.short) + (f" <small>{text(units)}</small>" if units else "")


def _value(value: float, measure: Measure) -> str:
    return number(value, measure.decimals, signed=measure.signed)


def _best_models(
    values: pd.DataFrame, measures: Mapping[str, Measure], floors: Sequence[str]
) -> dict[str, str | None]:
    """The best trained model by metric, where there are several."""
    trained = values.drop(index=list(floors), errors="ignore")
    ranks = {name: measure.rank(trained[name].dropna()) for name, measure in measures.items()}
    return {name: str(rank.idxmin()) if len(rank) > 1 else None for name, rank in ranks.items()}


def _span(intervals: pd.DataFrame, measure: Measure) -> tuple[float, float]:
    values = intervals[["low", "high", "median"]].to_numpy(float)
    values = values[np.isfinite(values)]
    if values.size == 0:
        return (0.0, 1.0)
    low, high = float(values.min()), float(values.max())
    if measure.better == "high":
        low, high = max(min(low, 0.0), -1.0), measure.perfect
    elif measure.centred:
        reach = max(abs(low - measure.perfect), abs(high - measure.perfect)) or 1.0
        low, high = measure.perfect - reach, measure.perfect + reach
    else:
        low = 0.0
    return (low, high if high > low else low + 1.0)


def range_bar(row: pd.Series, span: tuple[float, float], stroke: Stroke, look: Look) -> str:
    """Median as a dot, interval as a bar, on the scale of all rows; a tick at zero where it is inside."""

    def place(value: float) -> float:
        return 100.0 * min(1.0, max(0.0, (value - span[0]) / (span[1] - span[0])))

    def bar(left: float, width: str, top: int, height: int, rest: str) -> str:
        return f'<span style="left:{left:.1f}%;width:{width};top:{top}px;height:{height}px;{rest}"></span>'

    marks = [bar(0.0, "100%", 6, 2, f"background:{look.faint}")]
    if span[0] < 0.0 < span[1]:
        marks.append(bar(place(0.0), "1px", 0, 14, f"background:{look.border}"))
    if np.isfinite(row["low"]) and np.isfinite(row["high"]):
        a, b = place(row["low"]), place(row["high"])
        marks.append(bar(a, f"{b - a:.1f}%", 4, 6, f"background:{stroke.color};opacity:.42"))
    if np.isfinite(row["median"]):
        dot = f"margin-left:-5px;border-radius:50%;background:{stroke.color}"
        marks.append(bar(place(row["median"]), "10px", 2, 10, dot))
    return f'<span class="t-range">{"".join(marks)}</span>'
