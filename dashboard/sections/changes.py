"""Page Extrapolation: whether models reproduce how flow changed over the years, and the way to a site."""

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from thalweg.dashboard import choices, parts
from thalweg.dashboard.figures.lines import trend_scatter
from thalweg.dashboard.figures.sitemap import clicked
from thalweg.dashboard.look import Look, Stroke
from thalweg.dashboard.reading import evaluated
from thalweg.dashboard.reading.cards import Card
from thalweg.dashboard.sections.trends import FLOWS, NOTE, UNITS, by_site, trend_scores, trend_table

_HEIGHT = 420


def trends_view(runs: Sequence[Card], lines: Mapping[str, Stroke], look: Look) -> None:
    """Trends of yearly flow, simulated against observed."""
    sites = trends_of(runs)
    flows = [name for name in FLOWS if len(sites) and name in set(sites["flow"])]
    if not flows:
        return
    parts.section(f"Trends over the tested years ({UNITS})")
    first, second = st.columns(2, gap="medium")
    with first:
        flow = choices.segments("flow", "Of a year's", flows, show=FLOWS.__getitem__)
    known = set(sites.loc[sites["flow"] == flow, "split"])
    splits = list(dict.fromkeys(run.split for run in runs if run.split in known))
    with second:
        split = choices.segments("trends", "Site by site, on", splits)
    left, right = st.columns([5, 6], gap="medium")
    shown = sites[(sites["split"] == split) & (sites["flow"] == flow)]
    with right:
        parts.html(trend_table(_scores(sites, flow), lines, splits))
        parts.note(NOTE)
    with left:
        title = f"Trends of {FLOWS[flow]}"
        fig = trend_scatter(shown, lines, look, _HEIGHT, title, UNITS)
        event = parts.plot(fig, f"trends-{split}-{flow}", on_select="rerun", selection_mode="points")
        follow(event, runs[0].experiment, split)
        parts.note("Small and pale: the observed trend is not clear.")


def trends_of(runs: Sequence[Card]) -> pd.DataFrame:
    """Trends of yearly flow at every site (see :func:`thalweg.dashboard.sections.trends.by_site`)."""
    return by_site(evaluated.tables([run for run in runs if not run.floor], "trends"))


def follow(event: object, experiment: str, split: str) -> None:
    """Opens the site that was clicked."""
    site = clicked(event)
    if site is not None:
        told = {"experiment": experiment, "split": split, "site": site}
        st.switch_page("views/site.py", query_params=told)


@st.cache_data(max_entries=50, show_spinner=False)
def _scores(sites: pd.DataFrame, flow: str) -> pd.DataFrame:
    return trend_scores(sites, flow)
