"""In a real browser: typing is checked at once, jobs outlive the dashboard, and only who logs in gets in."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from small_experiment import RIVERS

from thalweg.dashboard.starting import jobs
from thalweg.flows.dashboard_server import PUBLIC, SUBMIT, TOKEN

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
SECRET = "the-token-of-the-lab-0123"
TINY = RIVERS.replace("name: rivers", "name: tiny").replace("epochs: 2", "epochs: 400, steps_per_epoch: 20")


def opened(browser: "playwright.Browser") -> "playwright.Page":
    """A page that is patient: the machine may be busy."""
    page = browser.new_page()
    page.set_default_timeout(90_000)
    return page


def make_workspace(folder: Path, rivers: Path, patch: pytest.MonkeyPatch) -> Path:
    """Make a workspace with a small experiment, and be in it."""
    patch.chdir(folder)
    for name in (TOKEN, SUBMIT, PUBLIC):
        patch.delenv(name, raising=False)
    patch.setenv("OMP_NUM_THREADS", "1")
    shutil.copytree(rivers, folder / "data")
    (folder / "tiny.yaml").write_text(TINY)
    (folder / "runs").mkdir()
    return folder


@pytest.fixture
def place(rivers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return make_workspace(tmp_path, rivers, monkeypatch)


@pytest.fixture(scope="module")
def address(rivers: Path, served: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A dashboard that may start experiments, and asks nobody who comes from here."""
    with contextlib.ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            place = make_workspace(tmp_path_factory.mktemp("control"), rivers, patch)
            patch.setenv(SUBMIT, "1")
            found = stack.enter_context(served.serve(place / "runs"))
        yield found


def test_typing_is_checked_at_once_and_never_leaves_the_workspace(
    address: str, browser: "playwright.Browser", served: ModuleType
) -> None:
    page = opened(browser)
    page.goto(f"{address}/submit?from=file:tiny.yaml")
    page.get_by_text("can be run").wait_for()
    area = page.get_by_label("Experiment, as YAML")
    playwright.expect(area).to_have_value(TINY, timeout=60_000)
    start = page.get_by_role("button", name="Start")
    area.fill(TINY.replace("hidden", "hiden"))
    page.get_by_text("did you mean 'hidden'?").wait_for()
    served.settle(page, 200)
    playwright.expect(start).to_be_disabled(timeout=60_000)
    assert page.locator(".gutter .wrong").all_inner_texts() == ["6"]
    for wrong, told in (
        (TINY.replace("data/rivers.zarr", "../../etc"), "leaves the workspace"),
        (f"# {'x' * 300_000}", "is too large"),
        ("<script>document.title='planted'</script>", "holds only"),
    ):
        area.fill(wrong)
        page.get_by_text(told).first.wait_for()
        served.settle(page, 100)
        playwright.expect(start).to_be_disabled(timeout=60_000)
    assert page.title() != "planted"
    area.fill(TINY)
    page.get_by_text("can be run").wait_for()
    page.close()


@pytest.mark.slow
def test_a_job_outlives_the_dashboard_and_is_cancelled_by_the_next(
    place: Path, browser: "playwright.Browser", served: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SUBMIT, "1")
    monkeypatch.setenv("THALWEG_RUNS", str(place / "runs"))
    with served.serve(place / "runs") as address:
        page = opened(browser)
        page.goto(f"{address}/submit?from=file:tiny.yaml")
        page.get_by_role("button", name="Start").click()
        page.get_by_text("cells to run").wait_for(timeout=90_000)
        page.close()
    (job,) = jobs.jobs()
    assert job.alive
    with served.serve(place / "runs") as address:
        page = opened(browser)
        page.goto(f"{address}/submit")
        page.get_by_role("button", name="Cancel").click()
        page.locator(".t-title", has_text="stopped").wait_for(timeout=90_000)
        page.close()
    found = jobs.find(job.id)
    assert found is not None
    assert found.state == "stopped"
    states = [json.loads(path.read_text())["state"] for path in place.glob("runs/tiny/*/status.json")]
    assert "running" not in states


def test_who_comes_from_elsewhere_sees_nothing_before_the_token(
    place: Path, browser: "playwright.Browser", served: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN, SECRET)
    with served.serve(place / "runs") as address:
        context = browser.new_context(extra_http_headers={"X-Forwarded-For": "203.0.113.9"})
        page = context.new_page()
        page.goto(f"{address}/submit?from=file:tiny.yaml")
        page.get_by_text("Log in to read").wait_for()
        assert page.get_by_role("link", name="Skill").count() == 0
        page.get_by_label("Token").fill("a wrong one")
        page.get_by_role("button", name="Log in").click()
        page.get_by_text("This is not the token.").wait_for()
        page.get_by_label("Token").fill(SECRET)
        page.get_by_role("button", name="Log in").click()
        page.get_by_text("can be run").wait_for()
        # a link opens in another tab without the token, for as long as the cookie lasts
        served.settle(page, 500)
        (cookie,) = (each for each in context.cookies() if each["name"] == "thalweg_login")
        assert SECRET not in cookie["value"]
        assert cookie["sameSite"] == "Strict"
        again = context.new_page()
        again.goto(f"{address}/submit?from=file:tiny.yaml")
        again.get_by_text("can be run").wait_for()
        again.get_by_role("button", name="Log out").click()
        again.get_by_text("Log in to read").wait_for()
        served.settle(again, 500)
        assert not any(each["name"] == "thalweg_login" and each["value"] for each in context.cookies())
        context.close()


def test_pages_of_other_origins_do_not_reach_it(address: str) -> None:
    host = address.removeprefix("http://")
    answers = {}
    for origin in (address, "http://evil.example"):
        with socket.create_connection((host.split(":")[0], int(host.split(":")[1])), timeout=10) as line:
            line.sendall(
                f"GET /_stcore/stream HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\n"
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
            )
            answers[origin] = int(line.recv(4096).split()[1])
    assert answers == {address: 101, "http://evil.example": 403}


def test_beyond_this_machine_it_wants_a_login(place: Path) -> None:
    command = [sys.executable, "-m", "thalweg.flows.cli", "dashboard", "--no-browser", "--host", "0.0.0.0"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False, cwd=place, timeout=60)
    assert refused.returncode == 2
    assert re.fullmatch(
        r"--host 0\.0\.0\.0: others could read all results: set THALWEG_DASHBOARD_TOKEN, or \[auth\] in "
        r"\.streamlit/secrets\.toml, so that they log in; or allow it with --public\n",
        refused.stderr,
    )


def test_beyond_this_machine_with_a_token(
    place: Path, browser: "playwright.Browser", served: ModuleType
) -> None:
    command = [sys.executable, "-m", "thalweg.flows.cli", "dashboard", "--no-browser", "--host", "0.0.0.0"]
    server = subprocess.Popen(
        command, cwd=place, env={**os.environ, TOKEN: SECRET}, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert address is not None
        assert SECRET not in line
        page = opened(browser)
        page.goto(address[0])  # also from here: who listens beyond asks everybody
        page.get_by_text("Log in to read").wait_for()
        page.close()
    finally:
        server.terminate()
        server.wait(20)
        server.stdout.close()


@pytest.mark.slow
def test_wrong_tokens_are_slowed_down_for_all_sessions(
    place: Path, browser: "playwright.Browser", served: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN, SECRET)
    with served.serve(place / "runs") as address:
        page = opened(browser)
        page.goto(f"{address}/submit")
        for number in range(5):
            page.get_by_label("Token").fill(f"guess {number}")
            page.get_by_role("button", name="Log in").click()
            page.get_by_text("This is not the token.").wait_for()
            page.wait_for_timeout(1000)  # until this guess, too, was judged
            served.settle(page, 0)
        page.close()
        page = opened(browser)  # a session of its own
        page.goto(f"{address}/submit")
        page.get_by_label("Token").fill(SECRET)
        page.get_by_role("button", name="Log in").click()
        page.get_by_text("Too many wrong tokens").wait_for()
        page.close()
