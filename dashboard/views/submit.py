"""Start an experiment: pick or write it, see what it would run and cost, and follow it."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from thalweg.dashboard import choices, parts
from thalweg.dashboard.entry import access, login
from thalweg.dashboard.entry.access import Access
from thalweg.dashboard.look import Look, count, duration, text
from thalweg.dashboard.reading import cards
from thalweg.dashboard.reading.estimates import Estimate, estimate
from thalweg.dashboard.sections import job_list
from thalweg.dashboard.starting import drafts, jobs
from thalweg.dashboard.starting.editor import editor, typed
from thalweg.dashboard.starting.typed import Typed, Where, check_typed
from thalweg.dashboard.starting.typed_paths import workspace
from thalweg.storage.errors import InputError

_WHERE = {"local": "This machine", "ray": "Ray cluster", "schedule": "By the clock"}
_PROBLEMS = 12  # that are told at once


@parts.page
def page(look: Look) -> None:
    """Draws the page."""
    allowed = access.access()
    parts.title("Submit", f"experiments of the folder {workspace().name}")
    if allowed.may_submit:
        compose(look, allowed)
    else:
        refused(allowed)
    job_list.draw(look, allowed)


def refused(allowed: Access) -> None:
    """Why nothing can be started, and what to do about it."""
    if allowed.can_login:
        parts.empty(allowed.why_not, "Jobs that run, and those that ended, are listed below.")
        login.form("submit")
    else:
        parts.empty(
            "Read-only",
            f"{allowed.why_not} Whoever started it can allow more.",
            "thalweg dashboard --submit",
        )


def compose(look: Look, allowed: Access) -> None:
    """The editor, and beside it what the experiment would run, where, and the button that starts it."""
    left, right = st.columns([6, 5], gap="large")
    origins = drafts.origins()
    with left:
        origin = choices.select(
            "from",
            "Begin with",
            list(origins),
            show=lambda name: origins[name],
            default=drafts.first(origins),
        )
        original = drafts.text_of(origin)
        content = typed(original, origin)
        where = _where(choices.recall("where"))
        with st.spinner("Checking …", show_time=False):
            found = check_typed(content, where)
        colors = (look.states["failed"], look.panel)
        editor(original, origin, found.problems, read_only=False, colors=colors)
        parts.note(
            "It is checked while you type. Paths are relative to the folder "
            f"{workspace().name} and stay in it."
        )
    with right:
        verdict(found, look)
        if found.name and not found.problems:
            planned(found)
        start(found, content, allowed)


def verdict(found: Typed, look: Look) -> None:
    """Whether it can be run, else every mistake with its line."""
    problems = found.problems
    notes = (found.unreachable, *found.warnings)
    told = "".join(f'<div class="t-note">{text(note)}</div>' for note in notes if note)
    if not problems:
        color, sign, words = (
            (look.states["done"], "✓", f"<b>{text(found.name)}</b> can be run")
            if found.name
            else (look.states["stopped"], "!", "it cannot be told whether it can be run here")
        )
        st.html(
            f'<div role="status" class="t-verdict"><b style="color:{color}">{sign}</b> {words}</div>{told}'
        )
        return
    many = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
    lines = "".join(
        f'<div class="t-fail"><b>{f"line {line}" if line else "experiment"}</b>&ensp;{text(what)}</div>'
        for line, what in problems[:_PROBLEMS]
    )
    more = (
        f'<div class="t-note">and {len(problems) - _PROBLEMS} more</div>' if len(problems) > _PROBLEMS else ""
    )
    st.html(
        f'<div role="status" class="t-verdict"><b style="color:{look.states["failed"]}">×</b> {many}</div>'
        f"{lines}{more}{told}"
    )


def planned(found: Typed) -> None:
    """What would be run, on which sites and days, and what that costs."""
    plan = found.plan
    folds, seeds = plan["folds"], plan["seeds"]
    if folds:
        head = "".join(f'<th class="l">{each}</th>' for each in ("split", "folds", "trained on", "tested on"))
        rows = "".join(_split_row(folds, split) for split in dict.fromkeys(fold["split"] for fold in folds))
        parts.html(f'<table class="t"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>')
    elif found.unreachable:
        parts.note("Its splits are checked when it starts.")
    else:
        parts.note(f"{plan['store']} will be made from its source first; its splits are checked then.")
    cells = {model: len(folds) * len(own) for model, own in seeds.items()}
    named = ", ".join(
        f"{text(m)}{f' × {len(own)} seeds' if len(own) > 1 else ''}" for m, own in seeds.items()
    )
    facts = [("models", named)]
    if folds:
        facts.append(("cells", f"{plan['cells']:,} = {count(len(folds), 'fold')} × models and their seeds"))
        took = estimate(cards.read(), str(plan["store"]), found.kinds, found.epochs, cells)
        facts.append(("work", text(_work(took))))
    if found.search:
        facts.append(("search", text(found.search)))
    facts += [(text(each["name"]), f"tests {text(each['proves'])}") for each in plan["splits"]]
    rows = "".join(f'<tr><th class="l">{k}</th><td class="l wrap">{v}</td></tr>' for k, v in facts)
    parts.html(f'<table class="t t-facts"><tbody>{rows}</tbody></table>')


def start(found: Typed, content: str, allowed: Access) -> None:
    """Where it is to run, and the button that starts it."""
    where = choices.segments("where", "Run it on", list(_WHERE), "local", show=_WHERE.__getitem__)
    address = cron = zone = ""
    command = "run"
    if where != "schedule" and found.search:
        command = choices.segments(
            "command",
            "What",
            ["run", "search"],
            show={"run": "Train and test", "search": "Search"}.__getitem__,
        )
    if where == "ray":
        address = st.text_input(
            "Address of the cluster", "http://127.0.0.1:8265", help="Of Ray's dashboard", max_chars=300
        )
    elif where == "schedule":
        one, two = st.columns([3, 2])
        cron = one.text_input(
            "Cron line",
            "0 3 * * *",
            help="Minute, hour, day of the month, month, day of the week",
            max_chars=100,
        )
        zone = two.text_input("Time zone", "UTC", max_chars=60)
        parts.note(
            "Where a Prefect server is known (as of `thalweg up`) it becomes a deployment there, in place of "
            "an earlier one of the same name; else this job keeps the clock until it is cancelled."
        )
    ready = not found.problems and found.name != ""
    if st.button("Start", type="primary", disabled=not ready, icon=":material/play_arrow:", key="start"):
        try:
            job = _started(found, content, allowed.who, where, command, address, cron, zone)
        except InputError as error:
            st.error(choices.plain(str(error)), icon=":material/error:")
            return
        choices.keep("job", job.id)
        st.toast(f"{choices.plain(found.name)} was started", icon=":material/check:")
        st.rerun()
    if found.problems:
        parts.note("It can be started once nothing is wrong with it.")
    elif not ready:
        parts.note("It can be started here once its store is reached; on a cluster or by the clock now.")


def _started(
    found: Typed, content: str, who: str, where: str, command: str, address: str, cron: str, zone: str
) -> jobs.Job:
    """Start what was checked, after asking once more whether this visitor may."""
    now = access.access()
    if not now.may_submit:
        raise InputError(now.why_not)
    again = check_typed(content, _where(where))
    if again.problems or not again.name or again.name != found.name:
        told = "; ".join(what for _, what in again.problems) or again.unreachable
        raise InputError(told or "it has changed meanwhile")
    what: jobs.Command = "search" if command == "search" else "run"
    if where == "ray":
        return jobs.start_on_cluster(content, found.name, who, address, what)
    if where == "schedule":
        return jobs.start_scheduled(content, found.name, who, cron, zone.strip() or "UTC")
    return jobs.start_local(content, found.name, who, what)


def _where(told: str | None) -> Where:
    """Where it is to run, as an address may tell."""
    return "ray" if told == "ray" else "schedule" if told == "schedule" else "local"


def _split_row(folds: Sequence[Mapping[str, Any]], split: str) -> str:
    """One split: how many folds it has, and the sites and days of each."""
    own = [fold for fold in folds if fold["split"] == split]
    cells = [text(split), str(len(own)), *(_part([fold[key] for fold in own]) for key in ("train", "test"))]
    return "<tr>" + "".join(f'<td class="l wrap">{cell}</td>' for cell in cells) + "</tr>"


def _part(given: Sequence[Mapping[str, Any] | None]) -> str:
    """Sites and days of the same part of several folds: `344 to 345 sites`, and the days below."""
    found = [part for part in given if part]
    if not found:
        return "–"
    sizes = sorted({part["sites"] for part in found})
    sites = count(sizes[0], "site") if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,} sites"
    first, last = min(str(part["start"]) for part in found), max(str(part["end"]) for part in found)
    return f"{sites}<br><small>{text(first)} to {text(last)}</small>"


def _work(took: Estimate) -> str:
    if took.seconds is None:
        return "unknown: no earlier run of these kinds of model to judge by"
    judged = f"judged by {count(took.judged_by, 'earlier run')}" + (
        "" if took.same_store else " on other stores"
    )
    left = f"; nothing is known of {', '.join(took.unknown)}" if took.unknown else ""
    return f"about {duration(took.seconds)} in all, {judged}{left}"


if __name__ == "__main__":
    page()
