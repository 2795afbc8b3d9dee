"""What the runs were made from: the versions of each store, and what the checks found in them."""

from collections import Counter
from collections.abc import Hashable
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from thalweg.dashboard import choices, parts
from thalweg.dashboard.look import Look, count, text
from thalweg.dashboard.reading import cards, stores
from thalweg.dashboard.sections import data_contents
from thalweg.dashboard.sharing.share import Numbers, dataset_of, share
from thalweg.storage.errors import InputError, UnavailableError

SEVERITIES = ("error", "warning", "info")
_VIEWS = {"contents": "What is in it", "quality": "What the checks found", "versions": "Versions"}
ALL = "all"
_SHORT = 12  # characters of a snapshot that are shown
_TOLD = 5  # sites in quarantine that are told one by one
_MOST = 460  # height of a table (px)


@parts.page
def page(look: Look) -> None:
    """Draws the page."""
    known = stores.stores(cards.read())
    if not known:
        parts.empty(
            "No data yet",
            f"No run in {cards.root().resolve()} names a store. Start an experiment, then come back.",
            "thalweg run examples/sample.yaml",
        )
        return
    left, right, button = st.columns([4, 5, 1], gap="medium", vertical_alignment="bottom")
    with left:
        store = choices.select("store", "Store", list(known), show=stores.shown)
    try:
        log = stores.log(store)
    except (InputError, UnavailableError, OSError) as error:
        parts.empty(
            "This store cannot be opened",
            f"{error}. Its {count(len(known[store]), 'run')} can still be read on the other pages.",
        )
        return
    if log.empty:
        parts.empty("No version yet", "No ingest into this store was ever finished.", "thalweg ingest SPEC")
        return
    present = str(log["id"][log["current"]].iloc[0])
    log["names"] = [
        ["main", *tags] if name == present else tags
        for name, tags in zip(log["id"], log["tags"], strict=True)
    ]
    names = {str(row["id"]): _name(row) for row in log.to_dict("records")}
    with right:
        picked = choices.select("version", "Version", list(names), present, show=names.__getitem__)
    version = log[log["id"] == picked].iloc[0]
    runs = [run for run in known[store] if run.snapshot == version["snapshot"]]
    report = stores.report(store, picked)
    parts.title(stores.shown(store), _facts(version, report, len(runs)))
    view = choices.segments("view", "Look at", list(_VIEWS), show=_VIEWS.__getitem__)
    numbers: Numbers = {}
    if view == "contents":
        numbers = data_contents.draw(store, picked, look)
    elif view == "quality":
        kept_out(stores.kept_out(store, picked))
        findings(report, f"{store}/{picked}", look)
        numbers = {"What the checks found": partial(dataset_of, report)} if len(report) else {}
    else:
        version_list(log, Counter(run.snapshot for run in known[store]), picked)
        data_contents.differences(store, log, names, picked)
    with button:
        share(lambda: numbers)


def kept_out(sites: pd.DataFrame) -> None:
    """The sites that are not in the dataset, each with the reason."""
    lines = [
        f'<div class="t-fail"><b>{text(row["site"])}</b> is kept out: {text(row["reason"])}</div>'
        for row in sites.to_dict("records")
    ]
    parts.html("".join(lines[:_TOLD]))
    if len(lines) > _TOLD:
        with st.expander(f"{count(len(lines) - _TOLD, 'more site')} kept out"):
            parts.html("".join(lines[_TOLD:]))


def findings(report: pd.DataFrame, key: str, look: Look) -> None:
    """What the checks found, gravest first, as a table that can be narrowed down."""
    if report.empty:
        parts.note("The checks found nothing to remark on.")
        return
    row = st.columns([3, 3, 3, 3], gap="medium")
    with row[0]:
        there = [name for name in SEVERITIES if name in set(report["severity"])]
        severities = choices.several("severity", "Severity", there, there)
    chosen = report[report["severity"].isin(severities)] if severities else report
    for place, name in zip(row[1:], ("check", "variable", "site"), strict=True):
        with place:
            options = [ALL, *sorted(set(report[name]) - {""})]
            wanted = choices.select(f"of-{name}", name.capitalize(), options)
        chosen = chosen if wanted == ALL else chosen[chosen[name] == wanted]
    colors = {"error": look.states["failed"], "warning": look.states["stopped"], "info": look.muted}
    column = st.column_config
    days = chosen["first_day"].dt.strftime("%Y-%m-%d").fillna("")
    parts.rows(
        chosen.assign(first_day=days).style.map(
            lambda name: f"color: {colors.get(name, look.muted)}", subset=["severity"]
        ),
        key=f"findings-{key}",
        most=_MOST,
        column_config={
            "severity": column.TextColumn("severity", width=75),
            "check": column.TextColumn("check", width=115),
            "site": column.TextColumn("site", width=130),
            "variable": column.TextColumn("variable", width=185),
            "first_day": column.TextColumn("first day", width=90),
            "count": column.NumberColumn(
                "count", format="%d", width=70, help="Days, or runs of days, found so"
            ),
            "message": column.TextColumn("message", width="large"),
        },
    )
    if len(chosen) < len(report):
        parts.note(f"{count(len(chosen), 'finding')} of {len(report):,}")


def version_list(log: pd.DataFrame, runs: Counter[str], picked: str) -> None:
    """All versions of a store, the newest first."""
    table = pd.DataFrame(
        {
            "": ["●" if name == picked else "" for name in log["id"]],
            "snapshot": log["snapshot"].str[:_SHORT],
            "written": log["written"],
            "names": log["names"],
            "last day": log["last"],
            "sites": log["sites"],
            "kept out": log["quarantined"],
            "changed": log["changed"],
            "runs": [runs[snapshot] for snapshot in log["snapshot"]],
            "read": [
                message if current else f"{message} (rolled back)"
                for message, current in zip(log["message"], log["current"], strict=True)
            ],
        }
    )
    column = st.column_config
    number = {
        name: column.NumberColumn(name, format="%d", width=80, help=told)
        for name, told in (
            ("sites", "Sites of the source"),
            ("kept out", "Sites in quarantine"),
            ("changed", "Sites of which any value differs from the version before"),
            ("runs", "Runs made from this version"),
        )
    }
    parts.rows(
        table,
        most=_MOST,
        column_config={
            "": column.TextColumn("●", width=30, help="The version above"),
            "snapshot": column.TextColumn("snapshot", width=125),
            "written": column.DatetimeColumn(
                "written (UTC)", format="YYYY-MM-DD HH:mm", timezone="UTC", width=140
            ),
            "names": column.ListColumn(
                "names", width=170, help="The present version is `main`; others are tags"
            ),
            "last day": column.TextColumn("last day", width=95),
            **number,
            "read": column.TextColumn("read", width="medium", help="Sites for each reason to read them"),
        },
    )


def _name(version: dict[Hashable, Any]) -> str:
    """A version for the list to choose from."""
    written = f"{version['written']:%-d %b %Y %H:%M}"
    return " · ".join([version["snapshot"][:_SHORT], written, *version["names"]])


def _facts(version: pd.Series, report: pd.DataFrame, runs: int) -> str:
    facts = []
    if pd.notna(version["sites"]):
        facts = [count(int(version["sites"]), "site"), f"{version['first']} to {version['last']}"]
        facts.append(f"{int(version['quarantined'])} kept out" if version["quarantined"] else "none kept out")
    found = report["severity"].value_counts()
    facts += [count(int(found[name]), name) for name in SEVERITIES[:2] if name in found]
    return " · ".join([*facts, f"read by {count(runs, 'run')}" if runs else "read by no run"])


if __name__ == "__main__":
    page()
