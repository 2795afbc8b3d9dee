"""Pieces of page: style sheet, headings, notices, and the designed empty and error states."""

import logging
import re
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec
from urllib.parse import quote

import pandas as pd
import streamlit as st
from pandas.io.formats.style import Styler

from thalweg.dashboard import choices
from thalweg.dashboard.figures import sitemap
from thalweg.dashboard.figures.frame import CONFIG
from thalweg.dashboard.look import DARK, LIGHT, Look, Stroke, text
from thalweg.dashboard.seats import Seats
from thalweg.dashboard.sharing.share import figure_format
from thalweg.storage.errors import InputError

log = logging.getLogger(__name__)
P = ParamSpec("P")
TABLE_ROW = 35
"""Height of a table's row (px)."""

_RIVER = "data:image/svg+xml," + quote(
    '<svg xmlns="http://www.w3.org/2000/svg" width="72" height="40" fill="none" stroke="#7d8892">'
    '<path d="M2 6 C18 6 16 22 32 22 S46 34 70 34" stroke-width="2.5"/>'
    '<path d="M20 2 C22 10 26 14 29 21 M58 8 C52 14 47 18 44 29" stroke-width="1.6" opacity=".6"/></svg>'
)


def look() -> Look:
    """Colours of the theme that the viewer's browser shows."""
    return DARK if st.context.theme.type == "dark" else LIGHT


def style(look: Look) -> None:
    """The style sheet of the pages' own HTML, once a page."""
    st.html(f"""<style>
.block-container {{ max-width: 1480px; padding: 3.7rem 2.2rem 3rem; }}
.t-note {{ color: {look.muted}; font-size: .9rem; }}
.t-muted {{ color: {look.muted}; }}
.t-title {{ display: flex; align-items: baseline; gap: .9rem; flex-wrap: wrap; }}
.t-title h2 {{ font-size: 1.55rem; font-weight: 650; margin: 0; padding: 0; letter-spacing: -.01em; }}
.t-title span {{ color: {look.muted}; font-size: .95rem; }}
a:focus-visible, button:focus-visible, [tabindex="0"]:focus-visible {{
  outline: 2px solid {look.states["running"]} !important; outline-offset: 2px; }}
h2.t-section {{ font-size: 1.1rem; font-weight: 600; margin: 0; padding: .35rem 0 .2rem; }}
button[data-variant="segmented_control"] {{ min-height: 2.375rem; }}
button[kind^="primary"]:not(:disabled) p, span[data-tag-index] span {{ color: {look.ground}; }}
table.t {{ border-collapse: collapse; width: 100%; font-size: .95rem; font-variant-numeric: tabular-nums; }}
table.t th {{ font-weight: 500; color: {look.muted}; text-align: right; padding: .2rem .55rem .35rem;
  border-bottom: 1px solid {look.border}; white-space: nowrap; vertical-align: bottom; font-size: .87rem; }}
table.t td {{ text-align: right; padding: .34rem .55rem; white-space: nowrap;
  border-bottom: 1px solid {look.faint}; }}
table.t tr:last-child td {{ border-bottom: none; }}
table.t th.l, table.t td.l {{ text-align: left; }}
table.t th:first-child, table.t td:first-child {{ padding-left: .2rem; }}
table.t-matrix {{ width: auto; min-width: min(100%, 38rem); }}
table.t-matrix th, table.t-matrix td {{ padding-right: 2.5rem; }}
table.t tr.floor td {{ color: {look.muted}; }}
table.t .best {{ font-weight: 700; }}
table.t .name {{ display: inline-block; max-width: 17rem; overflow: hidden; text-overflow: ellipsis;
  vertical-align: bottom; }}
.t-whole {{ white-space: nowrap; }}
table.t small {{ color: {look.muted}; font-size: .82rem; }}
table.t td.flag {{ color: {look.states["failed"]}; }}
.t-swatch {{ display: inline-block; vertical-align: middle; border-width: 3px 0 0; }}
.t-range {{ position: relative; display: inline-block; width: 100%; min-width: 8rem; height: 14px;
  vertical-align: middle; }}
.t-range span {{ position: absolute; border-radius: 3px; }}
.t-number {{ display: inline-block; width: 3.2rem; }}
.t-scroll {{ overflow-x: auto; }}
.t-cells {{ display: inline-flex; flex-wrap: wrap; gap: 3px; vertical-align: middle; max-width: 21rem; }}
.t-cells i, .t-legend i {{ width: 13px; height: 13px; border-radius: 3px; box-sizing: border-box;
  display: inline-block; font: 700 10px/12px sans-serif; text-align: center; color: {look.ground}; }}
.t-legend {{ display: flex; gap: 1.1rem; color: {look.muted}; font-size: .87rem; align-items: center; }}
.t-legend span {{ display: inline-flex; gap: .4rem; align-items: center; }}
.t-fail {{ border-left: 3px solid {look.states["failed"]}; padding: .15rem 0 .15rem .7rem;
  margin: .5rem 0 .1rem; font-size: .93rem; overflow-wrap: anywhere; }}
.t-fail.warn {{ border-color: {look.states["stopped"]}; }}
.t-head {{ font-size: 1rem; font-weight: 650; margin: 0; padding: 0; }}
.t-fail b {{ font-weight: 600; }}
.t-verdict {{ font-size: 1.08rem; margin-bottom: .5rem; }}
table.t-facts th {{ border-bottom: none; padding-right: 1.2rem; font-size: .93rem; vertical-align: top;
  padding-top: .34rem; }}
table.t td.wrap {{ white-space: normal; }}
table.t-facts td {{ border-bottom: none; }}
pre.t-log {{ font-size: .82rem; line-height: 1.5; white-space: pre-wrap; overflow-wrap: anywhere; margin: 0;
  padding: 0; background: none; color: {look.ink}; }}
.t-empty {{ text-align: center; padding: 4.5rem 1rem 1.2rem; }}
.t-empty h2 {{ font-size: 1.3rem; font-weight: 600; padding: .9rem 0 .3rem; margin: 0; }}
.t-empty p {{ color: {look.muted}; max-width: 36rem; margin: 0 auto; text-wrap: balance; }}
</style>""")


def title(heading: str, note: str = "") -> None:
    """A page's heading with a quiet line beside it."""
    st.html(f'<div class="t-title"><h2>{text(heading)}</h2><span>{text(note)}</span></div>')


def name_page(name: str) -> None:
    """The page's name, for those who have it read to them; others see it in the menu."""
    unseen = "position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);margin:0"
    st.html(f'<h1 style="{unseen}">{text(name)}</h1>')


def section(heading: str) -> None:
    """The heading of a part of a page."""
    st.html(f'<h2 class="t-section">{text(heading)}</h2>')


def plot(figure: object, key: str, **more: object) -> object:
    """A figure with the settings that all of them share."""
    saved = {"toImageButtonOptions": {"format": figure_format(), "filename": key, "scale": 2}}
    return st.plotly_chart(figure, key=key, theme=None, config=CONFIG | saved, **more)  # type: ignore[call-overload]


def click(figure: object, key: str) -> str | None:
    """A figure whose points are sites; gives the one that was clicked, once, until it is clicked anew."""
    event = plot(figure, key, on_select="rerun", selection_mode="points")
    site, last = sitemap.clicked(event), f"last:{key}"
    anew = site != st.session_state.get(last)  # another site may have been chosen from a list since
    st.session_state[last] = site
    return site if anew else None


def rows(table: pd.DataFrame | Styler, *, most: int, **more: Any) -> Any:
    """A table to look through and sort, no higher than `most` pixels; a missing value is an empty cell."""
    height = min(TABLE_ROW * (len(table.index) + 1) + 3, most)
    return st.dataframe(table, hide_index=True, height=height, row_height=TABLE_ROW, placeholder="", **more)


def pick(table: pd.DataFrame | Styler, names: Sequence[str], key: str, **more: Any) -> str | None:
    """A table whose rows have names; gives that of the row which was picked, once, until another is picked.

    Only then: the list may have moved under an old pick.
    """
    picked = rows(table, key=key, on_select="rerun", selection_mode="single-row", **more).selection.rows
    last = f"last:{key}"
    anew = picked != st.session_state.get(last)
    st.session_state[last] = picked
    return names[picked[0]] if anew and picked and picked[0] < len(names) else None


def notices(problems: Sequence[str], label: str = "could not be read") -> None:
    """What is missing, folded away: the page stands without it."""
    if problems:
        many = f"{len(problems)} things {label}" if len(problems) > 1 else f"One thing {label}"
        with st.expander(many, icon=":material/warning:"):
            st.html("".join(f'<div class="t-fail warn">{text(line)}</div>' for line in problems[:200]))


def swatch(stroke: Stroke, width: int = 18) -> str:
    """A short piece of a model's line."""
    line = {"solid": "solid", "dot": "dotted"}.get(stroke.dash, "dashed")
    style = f"width:{width}px;border-color:{stroke.color};border-style:{line}"
    return f'<span class="t-swatch" style="{style}"></span>'


def named(model: str) -> str:
    """A model's name in a table: a very long one is cut short, and told in full where the pointer rests."""
    return f'<span class="name" title="{text(model)}">{text(model)}</span>'


def html(body: str) -> None:
    """HTML made by :mod:`tables`; nothing for nothing."""
    if body:
        st.html(body)


def note(line: str) -> None:
    """A quiet line of plain text: names in it are not taken for Markdown."""
    st.html(f'<div class="t-note">{text(line)}</div>')


def empty(heading: str, note: str, command: str | None = None) -> None:
    """A page with nothing to show yet, and what to do about it."""
    told = re.sub(r"(?<!\S)--[\w-]+", r'<span class="t-whole">\g<0></span>', text(note))
    st.html(f'<div class="t-empty"><img alt="" src="{_RIVER}"><h2>{text(heading)}</h2><p>{told}</p></div>')
    if command:
        _, middle, _ = st.columns([1, 2, 1])
        middle.code(command, language="bash")


_seats = Seats(2, patience=30.0)


def page(render: Callable[[Look], None]) -> Callable[[], None]:
    """A page in the one look, guarded as :func:`guarded` does; a few at a time, for the sake of memory."""

    @wraps(render)
    def drawn() -> None:
        colors = look()
        style(colors)
        with _seats.taken():
            guarded(render)(colors)

    return drawn


def guarded(render: Callable[P, None]) -> Callable[P, None]:
    """A part of a page whose unforeseen errors end in one readable line, with the traceback in the log."""

    @wraps(render)
    def safe(*given: P.args, **named: P.kwargs) -> None:
        try:
            render(*given, **named)
        except InputError as error:
            st.error(choices.plain(str(error)), icon=":material/error:")
        except Exception as error:
            log.exception("%s of %s failed", render.__qualname__, render.__code__.co_filename)
            reason = " ".join(str(error).split())[:300]
            st.error(
                f"This page could not be drawn ({type(error).__name__}: {choices.plain(reason)}). "
                "The other pages still work; the server's log has the details.",
                icon=":material/error:",
            )

    return safe
