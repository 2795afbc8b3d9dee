"""A figure while it is put together: Plotly's own words, without its checks of each of them.

Those checks take Plotly most of the time of a page, 0.16 s for ten years at a site; what is written here
needs them in tests only.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from thalweg.dashboard.figures.frame import axis, frame
from thalweg.dashboard.look import Look

_MANY_MARKERS = 3000
_LONG_LINES = 40_000
CHECKED = False  # tests set it


class Sketch:
    """Traces and a layout, added to by methods named as those of :class:`plotly.graph_objects.Figure`.

    Attributes
    ----------
    traces : each with its `type`.
    layout : axes by name: `xaxis`, `xaxis2`, ..., `yaxis`, `yaxis2`, ...
    """

    def __init__(self, layout: dict[str, Any]) -> None:
        self.traces: list[dict[str, Any]] = []
        self.layout = layout

    def add_scatter(self, **trace: Any) -> None:
        """Lines, areas or markers, as SVG."""
        self.traces.append({"type": "scatter", **trace})

    def add_points(self, points: int, **trace: Any) -> None:
        """Markers of a figure with so many: SVG is crisper, beyond some thousands only WebGL is quick."""
        self.traces.append({"type": "scattergl" if points > _MANY_MARKERS else "scatter", **trace})

    def add_lines(self, points: int, **trace: Any) -> None:
        """Lines of a figure with so many points: beyond some tens of thousands only WebGL stays fluid."""
        kind = "scattergl" if points > _LONG_LINES else "scatter"
        self.traces.append({"type": kind, "mode": "lines", **trace})

    def add_bar(self, **trace: Any) -> None:
        """Bars."""
        self.traces.append({"type": "bar", **trace})

    def add_heatmap(self, **trace: Any) -> None:
        """Cells coloured by their value."""
        self.traces.append({"type": "heatmap", **trace})

    def add_annotation(self, **told: Any) -> None:
        """Text at a place."""
        self.layout.setdefault("annotations", []).append(told)

    def add_shape(self, **shape: Any) -> None:
        """A line or a rectangle."""
        self.layout.setdefault("shapes", []).append(shape)

    def add_hline(self, y: float, **drawn: Any) -> None:
        """A line through the whole width of the first panel."""
        across = {"type": "line", "xref": "x domain", "yref": "y", "x0": 0, "x1": 1}
        self.add_shape(**(across | {"y0": y, "y1": y} | drawn))

    def add_hrect(self, low: float, high: float, **drawn: Any) -> None:
        """A band through the whole width of the first panel."""
        across = {"type": "rect", "xref": "x domain", "yref": "y", "x0": 0, "x1": 1}
        self.add_shape(**(across | {"y0": low, "y1": high} | drawn))

    def update_layout(self, **more: Any) -> None:
        """Set parts of the layout; what is within them and not named stays."""
        _merge(self.layout, more)

    def update_xaxes(self, **more: Any) -> None:
        """Set parts of every horizontal axis; `title_text` is the text of its title."""
        self._update_axes("xaxis", more)

    def update_yaxes(self, **more: Any) -> None:
        """Set parts of every vertical axis; `title_text` is the text of its title."""
        self._update_axes("yaxis", more)

    def update_axis(self, name: str, **more: Any) -> None:
        """Set parts of one axis, such as `yaxis2`."""
        title = {"title": {"text": more.pop("title_text")}} if "title_text" in more else {}
        _merge(self.layout[name], {**more, **title})

    def done(self) -> go.Figure:
        """The figure."""
        told = {"data": _plain(self.traces), "layout": _plain(self.layout)}
        return go.Figure(told, _validate=CHECKED)

    def _update_axes(self, kind: str, more: dict[str, Any]) -> None:
        for name in self.layout:
            if name.startswith(kind):
                self.update_axis(name, **more)


def figure(look: Look, height: int, title: str = "") -> Sketch:
    """An empty figure in the one look.

    Parameters
    ----------
    height : pixels.
    title : a short line above the plot, left-aligned with it.
    """
    axes = {"xaxis": {**axis(look), "showline": True}, "yaxis": {**axis(look), "showline": False}}
    return Sketch({**frame(look, height, title), **axes})


def panels(look: Look, height: int, shares: Sequence[float], gap: float) -> Sketch:
    """An empty figure of panels above each other on one axis of time, counted from the top.

    Parameters
    ----------
    height : pixels.
    shares : of the height, for each panel.
    gap : between two panels, as a share of the height.
    """
    fig = Sketch({**frame(look, height), "hovermode": "x unified", "hoversubplots": "axis"})
    fig.update_layout(margin={"t": 30})
    last = len(shares)
    edges = np.cumsum([0.0, *shares]) / sum(shares) * (1 - gap * (last - 1))
    for number, (start, end) in enumerate(pairwise(edges.tolist()), start=1):
        top, lowest = 1 - gap * (number - 1), number == last
        own = on(number)
        days = {"type": "date", "hoverformat": "%-d %b %Y", "anchor": own["yaxis"], "showline": lowest}
        above = {} if lowest else {"matches": on(last)["xaxis"], "showticklabels": False, "ticks": ""}
        fig.layout[f"xaxis{own['xaxis'][1:]}"] = {**axis(look), **days, **above}
        domain = [max(0.0, top - end), min(1.0, top - start)]
        flat = {"anchor": own["xaxis"], "domain": domain, "showline": False}
        fig.layout[f"yaxis{own['yaxis'][1:]}"] = {**axis(look), **flat}
    return fig


def on(panel: int) -> dict[str, str]:
    """The axes of a panel, for a trace; Plotly leaves out the number of the first."""
    number = "" if panel == 1 else str(panel)
    return {"xaxis": f"x{number}", "yaxis": f"y{number}"}


def over_time(values: pd.Series) -> dict[str, Any]:
    """`x` and `y` of a trace; even steps of time as the first and the step, a hundredth of their text."""
    time: dict[str, Any] = {"x": values.index}
    if isinstance(values.index, pd.DatetimeIndex) and len(values) > 1:
        steps = values.index[1:] - values.index[:-1]
        if steps[0] and (steps == steps[0]).all():
            time = {"x0": values.index[0], "dx": steps[0] / pd.Timedelta(milliseconds=1)}
    # seven digits: more than is drawn or told
    return {**time, "y": values.to_numpy(np.float32)}


def _merge(known: dict[str, Any], more: Mapping[str, Any]) -> None:
    for name, value in more.items():
        if isinstance(value, Mapping) and isinstance(known.get(name), dict):
            # never in place: axes share what frame.py gives them
            known[name] = dict(known[name])
            _merge(known[name], value)
        else:
            known[name] = value


def _plain(value: Any) -> Any:
    """What can be written as JSON at once: arrays of numbers stay, all else is made of Python's own types."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, pd.Series | pd.Index):
        value = value.to_numpy()
    if isinstance(value, np.ndarray):
        return value if value.dtype.kind in "iufM" else value.tolist()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list | tuple) and value and isinstance(value[0], Mapping | datetime):
        return [_plain(each) for each in value]
    return value
