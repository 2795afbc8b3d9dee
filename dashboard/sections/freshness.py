"""How new the data are that runs were made from."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from thalweg.dashboard import parts
from thalweg.dashboard.look import count, text
from thalweg.dashboard.reading import stores
from thalweg.dashboard.reading.cards import Card
from thalweg.storage.errors import InputError, UnavailableError

_STORES = 4  # that are told of; the page Data has all


def known(runs: Sequence[Card]) -> bool:
    """Whether any run names its store."""
    return any(run.store for run in runs)


def draw(runs: Sequence[Card]) -> None:
    """The last day of each store, when it was ingested, and whether runs read what is there now."""
    found = stores.stores(runs)
    if not found:
        return
    st.html('<div class="t-muted">Data</div>')
    for store, own in list(found.items())[:_STORES]:
        with st.container(horizontal=True, horizontal_alignment="distribute", gap="small"):
            st.html(
                f"<div><b>{text(stores.shown(store))}</b>"
                f'<div class="t-note">{"<br>".join(map(text, _told(store, own)))}</div></div>'
            )
            st.page_link("views/data.py", label="→", query_params={"store": store}, width="content")
    if len(found) > _STORES:
        parts.note(f"and {count(len(found) - _STORES, 'more store')}, on the page Data")


def _told(store: str, runs: Sequence[Card]) -> list[str]:
    """Lines about a store."""
    try:
        log = stores.log(store)
    except (InputError, UnavailableError, OSError):
        return [f"cannot be opened now; {count(len(runs), 'run')} read it"]
    if log.empty:
        return ["holds nothing yet"]
    now = log[log["current"]].iloc[0]
    lines = [f"until {now['last']}" if pd.notna(now["last"]) else "days unknown"]
    lines[0] += f", ingested {_ago(now['written'])}"
    older = sum(run.snapshot != now["snapshot"] for run in runs if run.snapshot)
    lines.append(
        f"{older} of {count(len(runs), 'run')} read an earlier version"
        if older
        else f"{count(len(runs), 'run')} read this version"
    )
    return lines


def _ago(when: pd.Timestamp) -> str:
    """How long ago, in words: `2 h ago`."""
    seconds = (pd.Timestamp.now("UTC") - pd.Timestamp(when)).total_seconds()
    for length, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= length:
            return f"{count(int(seconds // length), name)} ago"
    return "just now"
