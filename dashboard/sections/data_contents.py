"""Parts of the page Data: what a store holds on a map and by day, and what differs between versions."""

from collections.abc import Mapping

import pandas as pd
import streamlit as st

from thalweg.dashboard import choices, parts
from thalweg.dashboard.figures.contents import ROW, variables_by_day
from thalweg.dashboard.figures.parameters import parameter_map
from thalweg.dashboard.figures.water import words
from thalweg.dashboard.look import Look, count, text
from thalweg.dashboard.reading import contents
from thalweg.dashboard.reading.contents import Contents
from thalweg.dashboard.sharing import taken
from thalweg.dashboard.sharing.share import Numbers
from thalweg.storage.difference import Difference

_MAP = 430  # height (px)
_FEWEST = 8  # attributes that are shown without scrolling, whatever the series
_NAMED = 8  # sites that are named one by one
_KINDS = {"share": "days with a value", "mean": "mean"}


def draw(store: str, version: str, look: Look) -> Numbers:
    """The sites on a map, and every variable at one of them; gives what can be had of them as files."""
    held = contents.contents(store, version)
    left, right = st.columns([5, 6], gap="large")
    with left:
        variable = _map(store, version, held, look)
    with right:
        site = choices.select("site", "Site", list(held.places.index))
        table = contents.series(store, version, site)
        if table.empty or not len(table.columns):
            parts.note("This version has no variable over time.")
        else:
            parts.plot(variables_by_day(table, held.series, look), f"series-{site}")
    with left:
        _facts(contents.attributes_at(store, version, site), site, len(table.columns))
    return taken.of_contents(store, version, variable, site)


def _facts(known: pd.DataFrame, site: str, variables: int) -> None:
    """The attributes of the site that is shown, as far down as its series go."""
    if known.empty:
        return
    parts.section(f"Attributes of {site}")
    column = st.column_config
    most = max(_FEWEST * parts.TABLE_ROW, ROW * variables - _MAP - 140)
    parts.rows(
        known,
        most=most,
        column_config={
            "attribute": column.TextColumn("attribute", width=285),
            "value": column.TextColumn("value", width=105),
            "units": column.TextColumn("units", width=75),
            "below": column.NumberColumn(
                "% below", format="%.0f", width=75, help="Sites of the store with a smaller value"
            ),
        },
    )


def _map(store: str, version: str, held: Contents, look: Look) -> str | None:
    """Sites coloured by how complete a variable is, its mean, or an attribute; gives which.

    A click chooses the site.
    """
    counted = contents.completeness(store, version)
    options = [name for name in held.series if name in set(counted["variable"])]
    first, second = st.columns([3, 2])
    with first:
        names = [*options, *held.attributes]
        if not names:
            parts.note("There is nothing to colour the sites by.")
            return None
        start = "discharge" if "discharge" in names else names[0]
        variable = choices.select(
            "variable",
            "On the map",
            names,
            start,
            show=lambda name: held.known[name].title if name in held.attributes else words(name),
        )
    if variable in options:
        with second:
            kind = choices.segments("as", "As", list(_KINDS), show=_KINDS.__getitem__)
        values = contents.by_site(counted, held, variable)[kind]
        told, units = ("complete", "%") if kind == "share" else (words(variable), held.series[variable])
    else:
        values, units = contents.attribute(store, version, variable), held.attributes[variable]
        told = held.known[variable].bare
    fig = parameter_map(held.places.assign(value=values), told, units, look, _MAP)
    picked = parts.click(fig, f"contents-{variable}")
    _summary(values, units, held)
    if picked is not None:
        choices.tell("site", picked)
    return variable


def _summary(values: pd.Series, units: str, held: Contents) -> None:
    unit = "" if units in ("", "1") else f" {units}"
    low, middle, high = values.quantile([0.05, 0.5, 0.95])
    absent = int(held.places["latitude"].isna().sum())
    unplaced = f"; {count(absent, 'site')} without a place" if absent else ""
    parts.note(
        f"Median {middle:.3g}{unit}; 90 % of sites between {low:.3g} and {high:.3g}{unit}; "
        f"{held.first} to {held.last}{unplaced}"
    )


def differences(store: str, log: pd.DataFrame, names: Mapping[str, str], picked: str) -> None:
    """What differs between the version that is looked at and another one."""
    others = [name for name in names if name != picked]
    if not others:
        parts.note("There is no other version to compare with.")
        return
    order = list(log["id"])
    before = order[order.index(picked) + 1] if picked != order[-1] else others[0]
    parts.section("What changed")
    other = choices.select("before", "Since", others, before, show=names.__getitem__)
    found = contents.differs(store, other, picked)
    if found.empty:
        parts.note("Both versions hold the same.")
        return
    rows = "".join(
        f'<tr><th class="l">{what}</th><td class="l wrap">{text(told)}</td></tr>'
        for what, told in _changes(found)
    )
    parts.html(f'<table class="t t-facts"><tbody>{rows}</tbody></table>')
    table = contents.revised(found)
    if len(table):
        column = st.column_config
        parts.rows(
            table,
            most=320,
            column_config={
                "site": column.TextColumn("site", width=170),
                "years": column.TextColumn("years in which values differ", width="large"),
                "number": column.NumberColumn("number of years", width=120),
            },
        )


def _changes(found: Difference) -> list[tuple[str, str]]:
    """What was added, removed and revised, in words."""
    changes = []
    if found.period_before != found.period_after:
        days = (" to ".join(found.period_before), " to ".join(found.period_after))
        changes.append(("days", f"{days[0]} became {days[1]}"))
    for what, names in (
        ("sites added", found.sites_added),
        ("sites removed", found.sites_removed),
        ("put in quarantine", found.quarantined),
        ("out of quarantine", found.released),
        ("variables added", found.variables_added),
        ("variables removed", found.variables_removed),
    ):
        if names:
            changes.append((what, _named(names)))
    changes += [(f"attribute {text(name)}", _named(sites)) for name, sites in found.attributes.items()]
    changes.append(("values differ", f"at {count(len(found.revised), 'site')} that both versions have"))
    return changes


def _named(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{len(names)}: {', '.join(names[:_NAMED])}{more}"
