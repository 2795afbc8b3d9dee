"""Jobs that were started from the page: how they are, what they say, and stopping or unscheduling them."""

import pandas as pd
import streamlit as st

from thalweg.dashboard import choices, parts
from thalweg.dashboard.entry import access
from thalweg.dashboard.entry.access import Access
from thalweg.dashboard.look import Look, duration, text
from thalweg.dashboard.starting import jobs
from thalweg.storage.errors import InputError

_STATES = {"lost": "unknown", "scheduled": "running"}
_SHOWN = 50


def draw(look: Look, allowed: Access) -> None:
    """The jobs, again every few seconds while one runs."""
    alive = any(job.alive for job in jobs.jobs())
    st.fragment(_listed, run_every="2s" if alive else None)(look, allowed, alive)


@parts.guarded
def _list(look: Look, allowed: Access) -> None:
    known = jobs.jobs()[:_SHOWN]
    parts.section("Jobs")
    if not known:
        parts.note(
            "Nothing was started from this page yet. What is started here goes on when the page is closed."
        )
        return
    table = pd.DataFrame(
        {
            "state": [job.state for job in known],
            "experiment": [job.experiment for job in known],
            "what": [job.what for job in known],
            "by": [job.by for job in known],
            "started": pd.Series([job.created for job in known], dtype="datetime64[s, UTC]"),
            "took": [duration(job.seconds) for job in known],
        }
    )
    column = st.column_config
    picked = parts.pick(
        table.style.map(lambda state: f"color: {_color(str(state), look)}", subset=["state"]),
        [job.id for job in known],
        "jobs",
        most=250,
        column_config={
            "state": column.TextColumn("state", width=80),
            "experiment": column.TextColumn("experiment", width=170),
            "what": column.TextColumn("what", width=300),
            "by": column.TextColumn("by", width=150),
            "started": column.DatetimeColumn("started", format="distance", width=130),
            "took": column.TextColumn("took", width=100),
        },
    )
    if picked is not None:
        choices.keep("job", picked)
    wanted = choices.recall("job")
    _told(next((job for job in known if job.id == wanted), known[0]), look, allowed)


def _listed(look: Look, allowed: Access, alive: bool) -> None:
    """The list; the whole page again when the first job starts or the last one ends."""
    _list(look, allowed)
    if alive != any(job.alive for job in jobs.jobs()):
        st.rerun()


def _told(job: jobs.Job, look: Look, allowed: Access) -> None:
    """One job: its state, what it says, and a way to stop it or to remove its schedule."""
    color = _color(job.state, look)
    clock = f" at {job.clock}" if job.state == "scheduled" else ""
    ended = "" if job.code in (None, 0) or job.state == "stopped" else f", exit code {job.code}"
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.html(
            f'<div class="t-title"><b>{text(job.experiment)}</b> <span style="color:{color}">'
            f"{text(job.state + clock)}{ended}</span><span>{text(job.id)}</span></div>",
            width="content",
        )
        with st.container(horizontal=True, width="content"):
            st.page_link(
                "views/overview.py",
                label="Overview →",
                query_params={"experiment": job.experiment},
                width="content",
            )
            if job.alive and allowed.may_submit and st.button("Cancel", key="cancel", icon=":material/stop:"):
                _cancel(job)
            if (
                job.state == "scheduled"
                and allowed.may_submit
                and st.button("Remove the schedule", key="remove-schedule", icon=":material/event_busy:")
            ):
                _remove_schedule(job)
    if job.state == "lost":
        parts.note(
            "Its process went away without a word, as when a machine goes down. Start it again: it goes on."
        )
    with st.container(height=330, autoscroll=True, border=True, key="job-log"):
        said = text(job.log() or "It has said nothing yet.")
        st.html(f'<pre class="t-log" tabindex="0" aria-label="Log">{said}</pre>')


def _cancel(job: jobs.Job) -> None:
    """Stop a job, after asking once more whether this visitor may."""
    if not access.access().may_submit:
        st.error("Log in to cancel jobs.")
    elif job.cancel():
        st.toast("It stops; what is done is kept, and the same experiment goes on from there.")
    else:
        st.toast("It had ended before.")


def _remove_schedule(job: jobs.Job) -> None:
    """Start the job that removes a schedule, after asking once more whether this visitor may."""
    now = access.access()
    if not now.may_submit:
        st.error("Log in to remove schedules.")
        return
    try:
        removal = jobs.start_removal(job, now.who)
    except InputError as error:
        st.error(choices.plain(str(error)), icon=":material/error:")
        return
    choices.keep("job", removal.id)
    st.toast("Nothing more is planned; a run under way ends first.")


def _color(state: str, look: Look) -> str:
    return look.states.get(_STATES.get(state, state), look.muted)
