"""The dashboard with hundreds of runs at thousands of sites, as one person and as twenty at once.

    python benchmarks/dashboard.py [--runs 500] [--sites 2000] [--years 10] [--sessions 20] [--chromium PATH]

Makes evaluated runs and their store without training, starts `thalweg dashboard` on them and prints

- in headless Chromium: seconds from the address to the first page, from a click on a name to its page,
  and from picking a site to its hydrograph: until nothing on the screen changes any more, and until
  nothing runs and all figures are drawn, those below the screen too;
- over Streamlit's socket, without a browser: the same for the server alone, and for many sessions at once;
- the memory of the server, the largest and at the end, and the errors that any session saw.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import websockets
from dashboard_runs import make_runs
from machine import describe_machine
from playwright.sync_api import Page, sync_playwright
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

PAGES = ("Overview", "Skill", "Extrapolation", "Interpretation", "Site", "Compare", "Data", "Submit")
QUESTIONS = ("physics", "parameters", "water", "network")  # of the page Interpretation
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
)
LIMIT = 60.0  # s
OBSERVED = """() => {
    const plot = document.querySelector('.js-plotly-plot');
    const line = plot && plot._fullData && plot._fullData.find(trace => trace.name === 'observed');
    return line ? line.y[10] + line.y[100] : null;
}"""  # two days of the observed flow that is drawn
CHANGES = """() => {
    const last = new WeakMap();
    const note = records => {
        const now = performance.timeOrigin + performance.now();
        for (const {target} of records) {
            const part = (target.closest ? target : target.parentElement)?.closest(
                '[data-testid=stElementContainer]');
            if (part) last.set(part, now);
        }
    };
    new MutationObserver(note).observe(document, {subtree: true, childList: true, characterData: true});
    window.lastChangeOnScreen = () => Math.max(...[
        ...document.querySelectorAll('[data-testid=stMain] [data-testid=stElementContainer]')
    ].filter(part => {
        const place = part.getBoundingClientRect();
        return place.top < innerHeight && place.bottom > 0;
    }).map(part => last.get(part) ?? 0)) / 1000;
}"""  # when what is on the screen now last changed (s since 1970)
PICKS = 12  # sites looked at one after the other


@contextmanager
def served(runs: Path) -> Iterator[tuple[int, int]]:
    """Give the port and the server's process id of a dashboard on these runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "thalweg.flows.cli", "dashboard", "--runs", str(runs)]
    started = subprocess.Popen(
        [*command, "--port", str(port), "--no-browser"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + LIMIT
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2).close()
                break
            except OSError:
                if started.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("the dashboard did not start") from None
                time.sleep(0.1)
        yield port, int(Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()[0])
    finally:
        started.terminate()
        started.wait(20)


def settled(page: Page, since: float) -> float:
    """Give the seconds until the page stands: nothing runs, nothing is a placeholder, figures are drawn."""
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=LIMIT * 1000)
    page.wait_for_function(
        "() => !document.querySelector('[data-testid=stSkeleton],[data-stale=true]') && "
        "[...document.querySelectorAll('.js-plotly-plot')].every(plot => plot.querySelector('.main-svg'))",
        timeout=LIMIT * 1000,
    )
    return time.perf_counter() - since


def in_a_browser(port: int, chromium: str, names: list[str]) -> None:
    """Time what a person sees."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.add_init_script(f"({CHANGES})()")
        begun = time.perf_counter()
        page.goto(f"http://127.0.0.1:{port}/")
        page.get_by_text("basins-").first.wait_for(timeout=LIMIT * 1000)
        row("first page to be read, server just started", time.perf_counter() - begun)
        row("first page, all drawn", settled(page, begun))
        for turn in ("first visit", "second visit"):
            for name in PAGES[1:] + PAGES[:1]:
                link = page.get_by_role("link", name=name, exact=True)
                clicked, begun = time.time(), time.perf_counter()
                link.click()
                page.wait_for_url(f"**/{'' if name == 'Overview' else name.lower()}*")
                page.wait_for_timeout(30)  # until the click has reached the server
                whole = settled(page, begun)
                row(f"page {name}, {turn}, on the screen", page.evaluate("lastChangeOnScreen()") - clicked)
                row(f"page {name}, {turn}, all of it", whole)
        page.goto(f"http://127.0.0.1:{port}/site?experiment={names[0]}")
        settled(page, 0.0)
        times = [pick_site(page, number) for number in range(7)]
        row("another site's hydrograph, median", statistics.median(drawn for drawn, _ in times))
        row("another site, the whole page, median", statistics.median(whole for _, whole in times))
        browser.close()


def pick_site(page: Page, number: int) -> tuple[float, float]:
    """Give the seconds from picking a site in the list to its hydrograph, and to the whole page."""
    site = f"basin_{137 * (number + 1):05d}"
    box = page.get_by_role("combobox", name="Site")
    box.click()
    box.fill(site)
    option = page.get_by_role("option", name=site)
    option.wait_for()
    before = page.evaluate(OBSERVED)
    begun = time.perf_counter()
    option.click()
    page.wait_for_function(f"before => ({OBSERVED})() !== before", arg=before, timeout=LIMIT * 1000)
    drawn = time.perf_counter() - begun
    page.get_by_role("heading", name=site).wait_for(timeout=LIMIT * 1000)
    return drawn, settled(page, begun)


class Session:
    """A browser's side of Streamlit's socket, without the browser."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.errors: list[str] = []

    async def __aenter__(self) -> Session:
        address = f"127.0.0.1:{self.port}"
        self.socket = await websockets.connect(
            f"ws://{address}/_stcore/stream",
            subprotocols=[websockets.Subprotocol("streamlit")],
            max_size=None,
            origin=websockets.Origin(f"http://{address}"),
        )
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.socket.close()

    async def open(self, page: str, query: str) -> tuple[float, float]:
        """Give the seconds from asking for a page until its first figure was sent, and all of it."""
        asked = BackMsg()
        asked.rerun_script.query_string = query
        asked.rerun_script.page_name = "" if page == "Overview" else page.lower()
        begun, first = time.perf_counter(), None
        await self.socket.send(asked.SerializeToString())
        while True:
            told = ForwardMsg()
            told.ParseFromString(await asyncio.wait_for(self.socket.recv(), LIMIT))
            kind = told.WhichOneof("type")
            if kind == "delta" and told.delta.HasField("new_element"):
                element = told.delta.new_element
                if element.HasField("plotly_chart") and first is None:
                    first = time.perf_counter() - begun
                if element.HasField("exception"):
                    self.errors.append(f"{page}: {element.exception.message}")
                elif element.HasField("alert") and element.alert.format == element.alert.ERROR:
                    self.errors.append(f"{page}: {element.alert.body}")
            if kind == "script_finished":
                whole = time.perf_counter() - begun
                return first or whole, whole


async def alone(port: int, names: list[str], sites: int) -> list[str]:
    """Time the server for one session."""
    async with Session(port) as session:
        for page in PAGES:
            for turn, experiment in (("not seen before", names[-1]), ("seen before", names[-1])):
                row(f"server: page {page}, {turn}", (await session.open(page, f"experiment={experiment}"))[1])
        for question in QUESTIONS[1:]:  # the page has the first of itself
            query = f"experiment={names[-1]}&ask={question}"
            for turn in ("not seen before", "seen before"):
                whole = (await session.open("Interpretation", query))[1]
                row(f"server: Interpretation, {question}, {turn}", whole)
        generator = random.Random(0)
        picks = [generator.randrange(sites) for _ in range(PICKS)]
        times = [
            await session.open("Site", f"experiment={names[-1]}&site=basin_{pick:05d}") for pick in picks
        ]
        row("server: another site's hydrograph, median", statistics.median(first for first, _ in times))
        row("server: another site, the whole page, median", statistics.median(whole for _, whole in times))
        return session.errors


async def together(port: int, sessions: int, names: list[str]) -> list[str]:
    """Time many sessions, each of which opens every page of an experiment without a pause."""

    async def walk(number: int) -> tuple[list[float], list[str]]:
        async with Session(port) as session:
            query = f"experiment={names[number % len(names)]}"
            asked = f"{query}&ask={QUESTIONS[number % len(QUESTIONS)]}"
            return [(await session.open(page, asked))[1] for page in PAGES], session.errors

    begun = time.perf_counter()
    walked = await asyncio.gather(*(walk(number) for number in range(sessions)))
    times = sorted(seconds for own, _ in walked for seconds in own)
    row(f"{sessions} sessions, all pages: whole", time.perf_counter() - begun)
    row("a page among them, median", statistics.median(times))
    row("a page among them, slowest", times[-1])
    return [error for _, errors in walked for error in errors]


def memory(process: int) -> tuple[float, float]:
    """Give the memory (GB) of a process: the largest so far, and now."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    told = dict(line.split(":", 1) for line in lines)
    largest, now = (int(told[name].split()[0]) * 1024 / 1e9 for name in ("VmHWM", "VmRSS"))
    return largest, now


def row(what: str, seconds: float) -> None:
    """Print a line of the table."""
    print(f"{what:<56} {seconds:8.2f} s", flush=True)


def main() -> None:
    """Make the runs and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (("runs", 500), ("sites", 2000), ("years", 10), ("sessions", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--chromium", default=shutil.which("chromium") or "/usr/bin/chromium")
    wanted = parser.parse_args()
    print(describe_machine())
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory(prefix="thalweg-dashboard-") as folder:
        names = make_runs(Path(folder), wanted.runs, wanted.sites, wanted.years)
        print(
            f"{wanted.runs} runs of {len(names)} experiments at {wanted.sites} sites x {wanted.years} years"
        )
        with served(Path(folder) / "runs") as (port, server):
            in_a_browser(port, wanted.chromium, names)
            errors = asyncio.run(alone(port, names, wanted.sites))
            errors += asyncio.run(together(port, wanted.sessions, names))
            largest, now = memory(server)
        print(f"{'memory of the server, the largest':<56} {largest:8.2f} GB")
        print(f"{'memory of the server at the end':<56} {now:8.2f} GB")
        print(f"{'errors that a session saw':<56} {len(errors):8d}")
        for error in dict.fromkeys(errors):
            print(f"  {error}")


if __name__ == "__main__":
    main()
