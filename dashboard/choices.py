"""Pickers whose value lives in the address, so that a page can be sent to someone else as it is.

A value is taken from the address, else from what was last picked on any page, else the default; and it is
always written back in full, because a default may differ tomorrow.
"""

import re
from collections.abc import Callable, Sequence
from typing import NoReturn

import streamlit as st

_KEPT = "kept:"
_WRITTEN = "written:"
_DEFAULT = "default:"


def recall(name: str) -> str | None:
    """Value of a choice: the address first, then the last pick on any page."""
    return st.query_params.get(name) or st.session_state.get(_KEPT + name)


def keep(name: str, value: str | None) -> None:
    """Puts a choice in the address and remembers it for the other pages."""
    if value is None:
        st.query_params.pop(name, None)
    elif st.query_params.get(name) != value:
        st.query_params[name] = value
    st.session_state[_KEPT + name] = value
    st.session_state[_WRITTEN + name] = value


def plain(label: str) -> str:
    """A name as Markdown that shows it letter by letter: buttons and messages would format it."""
    return re.sub(r"([\\`*_{}\[\]()#+!:$<>~|&])", r"\\\1", label)


def tell(name: str, value: str) -> NoReturn:
    """Changes a choice from elsewhere on the page, and draws the page again."""
    st.query_params[name] = value
    st.rerun()


def select(
    name: str,
    label: str,
    options: Sequence[str],
    default: str | None = None,
    show: Callable[[str], str] = str,
    help: str | None = None,  # noqa: A002
) -> str:
    """A drop-down list of at least one option."""
    key = _ready(name, options, default or options[0])
    value = st.selectbox(label, options, key=key, format_func=show, help=help)
    keep(name, value)
    return str(value)


def segments(
    name: str,
    label: str,
    options: Sequence[str],
    default: str | None = None,
    show: Callable[[str], str] = str,
    most: int = 6,
) -> str:
    """A row of buttons of which one is pressed; a drop-down list where there are more than `most`."""
    if len(options) > most:
        return select(name, label, options, default, show)
    key = _ready(name, options, default or options[0])
    value = st.segmented_control(
        label, options, key=key, format_func=lambda option: plain(show(option)), required=True
    )
    value = value or default or options[0]
    keep(name, value)
    return str(value)


def several(name: str, label: str, options: Sequence[str], default: Sequence[str]) -> list[str]:
    """A row of buttons of which any number is pressed; in the address they are joined by commas."""
    key = _key(name)
    told = recall(name)
    if key not in st.session_state or _told_anew(name):
        wanted = default if told is None else [part for part in told.split(",") if part in options]
        st.session_state[key] = list(wanted or default)
    else:
        st.session_state[key] = [part for part in st.session_state[key] if part in options]
    picked = st.pills(label, options, selection_mode="multi", key=key, format_func=plain)
    in_order = [option for option in options if option in picked]
    keep(name, ",".join(in_order) if in_order else None)
    return in_order


def among(
    name: str,
    label: str,
    options: Sequence[str],
    default: Sequence[str],
    show: Callable[[str], str] = str,
    most: int | None = None,
) -> list[str]:
    """Some of many options, found by typing, in the order in which they were picked; commas as above."""
    key = _key(name)
    told, there = recall(name), set(options)
    if key not in st.session_state or _told_anew(name):
        wanted = default if told is None else [part for part in told.split(",") if part in there]
        st.session_state[key] = list(wanted or default)[:most]
    else:
        st.session_state[key] = [part for part in st.session_state[key] if part in there]
    picked = st.multiselect(label, options, key=key, format_func=show, max_selections=most)
    keep(name, ",".join(picked) if picked else None)
    return list(picked)


def switch(name: str, label: str, default: bool = False, help: str | None = None) -> bool:  # noqa: A002
    """An on/off switch, `1` or `0` in the address."""
    key = _key(name)
    if key not in st.session_state or _told_anew(name):
        told = recall(name)
        st.session_state[key] = default if told is None else told == "1"
    value = st.toggle(label, key=key, help=help)
    keep(name, "1" if value else "0")
    return bool(value)


def _ready(name: str, options: Sequence[str], default: str) -> str:
    """Sets the widget's value before it is drawn, where it is new, no longer offered or told otherwise.

    Who never left the default follows it when it changes, as it does from site to site.
    """
    key = _key(name)
    default = default if default in options else options[0]
    earlier = st.session_state.get(_DEFAULT + name)
    st.session_state[_DEFAULT + name] = default
    told = st.query_params.get(name)
    if told in options and (key not in st.session_state or _told_anew(name)):
        st.session_state[key] = told
        return key
    value = st.session_state.get(key, st.session_state.get(_KEPT + name))
    st.session_state[key] = value if value in options and value != earlier else default
    return key


def _told_anew(name: str) -> bool:
    """Whether the address changed other than by us: a link inside the page, or the browser's back button."""
    told = st.query_params.get(name)
    return told is not None and told != st.session_state.get(_WRITTEN + name)


def _key(name: str) -> str:
    return f"choice:{name}"
