"""Figures that are put together without Plotly's checks say what checked ones say."""

import json

import numpy as np
import pandas as pd
import pytest

from thalweg.dashboard.figures import sketch
from thalweg.dashboard.figures.sketch import Sketch, figure, on, over_time, panels
from thalweg.dashboard.look import LIGHT

DAYS = pd.date_range("2001-01-01", periods=4)


def test_even_days_are_told_by_their_first_and_the_step() -> None:
    told = over_time(pd.Series([1.0, np.nan, 3.0, 4.0], DAYS))
    assert (told["x0"], told["dx"]) == (DAYS[0], 86_400_000)
    assert "x" not in told
    np.testing.assert_array_equal(told["y"], np.float32([1, np.nan, 3, 4]))


@pytest.mark.parametrize("index", [DAYS[[0, 1, 3]], DAYS[:1], DAYS[:0], pd.Index([1.0, 2.0])])
def test_other_days_are_told_one_by_one(index: pd.Index) -> None:
    told = over_time(pd.Series(1.0, index))
    assert "x0" not in told
    assert list(told["x"]) == list(index)


def test_panels_share_their_days_and_fill_the_height() -> None:
    layout = panels(LIGHT, 300, (2.0, 1.0, 1.0), 0.05).layout
    shares = [np.ptp(layout[f"yaxis{name}"]["domain"]) for name in ("", "2", "3")]
    np.testing.assert_allclose(shares, [0.45, 0.225, 0.225])
    assert layout["yaxis"]["domain"][1] == 1
    assert layout["yaxis3"]["domain"][0] == pytest.approx(0)
    assert [layout[name].get("matches") for name in ("xaxis", "xaxis2", "xaxis3")] == ["x3", "x3", None]
    assert on(1) == {"xaxis": "x", "yaxis": "y"}
    assert on(3) == {"xaxis": "x3", "yaxis": "y3"}


def drawn() -> Sketch:
    fig = figure(LIGHT, 200, "Flow")
    values = pd.Series([1.0, np.nan, 3.0, 4.0], DAYS)
    fig.add_scatter(**over_time(values), mode="lines", marker={"color": values})
    fig.add_points(9, x=DAYS, y=values, customdata=pd.DataFrame({"a": list("wxyz"), "b": values}).to_numpy())
    fig.add_bar(x=["a", "b"], y=np.array([1, 2]))
    fig.add_heatmap(z=np.eye(2), x=["a", "b"], y=["c", "d"])
    fig.add_hline(0, line={"color": "#000000"})
    fig.add_hrect(-1, 1, fillcolor="#eeeeee")
    fig.add_shape(type="rect", x0=DAYS[0], x1=DAYS[1], y0=0, y1=1)
    fig.add_annotation(text="here", x=DAYS[2], y=1)
    fig.update_xaxes(title_text="day", range=[DAYS[0], DAYS[3]])
    fig.update_layout(legend={"x": 0.5}, showlegend=False)
    return fig


def test_the_same_is_said_with_and_without_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    said = []
    for checked in (True, False):
        monkeypatch.setattr(sketch, "CHECKED", checked)
        said.append(json.loads(drawn().done().to_json(validate=False)))
    assert said[0]["layout"] == said[1]["layout"]
    assert said[0]["data"] == said[1]["data"]
    assert said[0]["layout"]["xaxis"]["title"]["text"] == "day"
    assert said[0]["layout"]["xaxis"]["title"]["font"]["color"] == LIGHT.muted  # what was there stays
    assert figure(LIGHT, 100).layout["xaxis"]["title"].get("text") is None


def test_a_wrong_word_is_found_in_tests() -> None:
    fig = figure(LIGHT, 200)
    fig.add_scatter(x=[1], y=[2], colour="red")
    with pytest.raises(ValueError, match="colour"):
        fig.done()
