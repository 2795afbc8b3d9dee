"""The page Submit: read-only unless allowed, checks, starts what was checked, and follows it."""

import json
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from types import ModuleType

import pytest
import streamlit as st
import yaml
from small_experiment import RIVERS
from streamlit.testing.v1 import AppTest
from waiting import until

from thalweg.dashboard.entry import access
from thalweg.dashboard.reading import estimates
from thalweg.dashboard.starting import jobs, typed, typed_paths
from thalweg.flows.dashboard_server import SUBMIT, TOKEN
from thalweg.flows.experiment import Experiment
from thalweg.storage import store
from thalweg.storage.errors import UnavailableError
from thalweg.storage.results import Run

Open = Callable[..., AppTest]
FAKE = [sys.executable, str(Path(__file__).with_name("fake_thalweg.py"))]


@pytest.fixture
def place(rivers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A workspace with a good and a bad experiment, a store, and nothing run so far."""
    st.cache_data.clear()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("THALWEG_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv(typed_paths.FOLDERS, str(rivers))
    monkeypatch.delenv(TOKEN, raising=False)
    monkeypatch.delenv(SUBMIT, raising=False)
    monkeypatch.setattr(jobs, "THALWEG", FAKE)
    (tmp_path / "data").symlink_to(rivers)
    (tmp_path / "bad.yaml").write_text(RIVERS.replace("hidden", "hiden"))
    (tmp_path / "good.yaml").write_text(RIVERS)
    (tmp_path / "slow.yaml").write_text(RIVERS + "# fake: wait\n")
    yield tmp_path
    for job in jobs.jobs():
        for process in jobs._processes(job.folder):
            process.send(signal.SIGKILL)


@pytest.fixture
def allowed(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(SUBMIT, "1")
    return place


def said(page: AppTest) -> str:
    return re.sub(
        r"<style>.*?</style>|<[^>]+>", " ", " ".join(part.proto.body for part in page.html), flags=re.S
    )


def stands(page: AppTest) -> AppTest:
    assert not page.exception
    assert [error.value for error in page.error] == []
    return page


def button(page: AppTest, key: str) -> object:
    return next(each for each in page.button if each.key == key)


def test_without_leave_it_is_read_only(place: Path, open_page: Open) -> None:
    page = stands(open_page("submit", **{"from": "file:good.yaml"}))
    assert "started without --submit" in " ".join(said(page).split())
    assert page.code[0].value == "thalweg dashboard --submit"
    assert [each.key for each in page.button] == []
    assert "Nothing was started from this page yet" in said(page)


def test_with_a_token_it_asks_for_it(allowed: Path, open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, "0123456789abcdef")
    page = stands(open_page("submit", **{"from": "file:good.yaml"}))
    assert "Log in to start experiments" in said(page)
    page.text_input[0].set_value("0123456789abcdef")
    page.button[0].click().run()
    assert "rivers can be run" in " ".join(said(stands(page)).split())


def test_it_says_what_would_be_run(allowed: Path, open_page: Open) -> None:
    page = stands(open_page("submit", **{"from": "file:good.yaml"}))
    text = " ".join(said(page).split())
    for words in (
        "rivers can be run",
        "temporal 1 9 sites 2000-01-01 to 2000-12-31 9 sites",
        "lstm, climatology",
        "2 = 1 fold × models and their seeds",
        "unknown: no earlier run",
    ):
        assert words in text
    assert not button(page, "start").disabled


def test_mistakes_stand_with_their_line_and_nothing_can_be_started(allowed: Path, open_page: Open) -> None:
    page = stands(open_page("submit", **{"from": "file:bad.yaml"}))
    text = " ".join(unescape(said(page)).split())
    assert "1 mistake line 6 models.lstm.hiden: unknown key; did you mean 'hidden'?" in text
    assert button(page, "start").disabled


def test_it_starts_follows_and_cancels(allowed: Path, open_page: Open) -> None:
    page = open_page("submit", **{"from": "file:slow.yaml"})
    button(page, "start").click().run()
    stands(page)
    (job,) = jobs.jobs()
    assert page.query_params["job"] == job.id
    assert job.alive
    assert "fake: wait" in (job.folder / "experiment.yaml").read_text()
    deadline = time.monotonic() + 20
    while "fake run" not in said(page.run()):
        assert time.monotonic() < deadline
    assert page.dataframe[0].value["state"].tolist() == ["running"]
    button(page, "cancel").click().run()
    while jobs.jobs()[0].alive:
        assert time.monotonic() < deadline
    assert stands(page.run()).dataframe[0].value["state"].tolist() == ["stopped"]
    assert "tidied up" in said(page)
    assert [each.key for each in page.button] == ["start"]


def test_leave_is_asked_for_again_when_it_starts(
    allowed: Path, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page("submit", **{"from": "file:good.yaml"})
    whole = access.access()
    ended = access.Access(True, False, "no longer", False, "x")
    monkeypatch.setattr(
        access, "access", lambda: ended if sys._getframe(1).f_code.co_name == "_started" else whole
    )
    button(page, "start").click().run()
    assert page.error[0].value == "no longer"
    assert jobs.jobs() == []


def test_a_cron_line_that_is_none_is_told(allowed: Path, open_page: Open) -> None:
    page = open_page("submit", where="schedule", **{"from": "file:good.yaml"})
    page.text_input[0].set_value("often; touch planted").run()
    button(page, "start").click().run()
    assert "write five fields" in page.error[0].value
    assert jobs.jobs() == []
    page.text_input[0].set_value("0 3 * * *").run()
    button(page, "start").click().run()
    stands(page)
    assert jobs.jobs()[0].what == "thalweg schedule, 0 3 * * * UTC"


def test_a_schedule_is_shown_and_removed(
    allowed: Path, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page("submit", where="schedule", **{"from": "file:good.yaml"})
    button(page, "start").click().run()
    until(lambda: not jobs.jobs()[0].alive)
    (job,) = jobs.jobs()
    stands(page.run())
    assert page.dataframe[0].value["state"].tolist() == ["scheduled"]
    assert "scheduled at 0 3 * * * UTC" in said(page)
    whole = access.access()
    ended = access.Access(True, False, "no longer", False, "x")
    with monkeypatch.context() as patch:
        patch.setattr(
            access,
            "access",
            lambda: ended if sys._getframe(1).f_code.co_name == "_remove_schedule" else whole,
        )
        button(page, "remove-schedule").click().run()
    assert page.error[0].value == "Log in to remove schedules."
    assert len(jobs.jobs()) == 1
    monkeypatch.delenv(SUBMIT)
    assert [each.key for each in page.run().button] == []
    monkeypatch.setenv(SUBMIT, "1")
    button(page.run(), "remove-schedule").click().run()
    stands(page)
    removal = jobs.jobs()[0]
    assert page.query_params["job"] == removal.id
    until(lambda: jobs.find(removal.id).state == "done")
    assert jobs.find(job.id).state == "done"
    stands(page.run())
    assert [each.key for each in page.button] == ["start"]


def test_a_store_that_is_away_is_no_mistake(
    allowed: Path, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(path: str) -> bool:
        raise UnavailableError(f"{path}: the object store does not answer")

    monkeypatch.setattr(store, "has_store", away)
    page = stands(open_page("submit", **{"from": "file:good.yaml"}))
    text = " ".join(said(page).split())
    assert "not checked against its store: data/rivers.zarr: the object store does not answer" in text
    assert "mistake" not in text
    assert button(page, "start").disabled
    for where in ("schedule", "ray"):
        page = stands(open_page("submit", where=where, **{"from": "file:good.yaml"}))
        text = " ".join(said(page).split())
        assert "rivers can be run not checked against its store: data/rivers.zarr: the object" in text
        assert not button(page, "start").disabled
    (allowed / "worse.yaml").write_text(RIVERS.replace("hidden: 4", "hidden: 4, process: no_such"))
    page = stands(open_page("submit", **{"from": "file:worse.yaml"}))
    assert "1 mistake" in said(page)
    assert button(page, "start").disabled


def test_what_is_away_where_it_is_to_run_is_not_started(
    allowed: Path, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page("submit", **{"from": "file:good.yaml"})
    known = typed.check_typed
    away = typed.Typed(unreachable="not checked against its store: away")
    monkeypatch.setattr(
        typed,
        "check_typed",
        lambda *given: away if sys._getframe(1).f_code.co_name == "_started" else known(*given),
    )
    button(page, "start").click().run()
    assert page.error[0].value == r"not checked against its store\: away"
    assert jobs.jobs() == []


def test_it_can_begin_with_what_was_run_before(allowed: Path, open_page: Open, synthetic: ModuleType) -> None:
    world = synthetic.make_world(2, "2000-10-01", "2001-09-30")
    folder = synthetic.write_run(allowed / "runs", "before", world, "lstm", "temporal", "0", 1)
    manifest = Run(folder).manifest
    config = Experiment.model_validate(yaml.safe_load(RIVERS)).model_dump(mode="json")
    (folder / "manifest.json").write_text(
        json.dumps({**manifest, "config": config, "store": "data/rivers.zarr"})
    )
    page = stands(open_page("submit", **{"from": "run:before"}))
    text = " ".join(said(page).split())
    assert "rivers can be run" in text
    # 154 s for 30 epochs before, and 2 epochs now
    assert "about 10 s in all, judged by 1 earlier run; nothing is known of climatology" in text


def test_an_estimate_without_anything_to_judge_by() -> None:
    assert estimates.estimate([], "x", {"lstm": "lstm"}, {"lstm": 3}, {"lstm": 4}).seconds is None
