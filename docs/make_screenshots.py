"""Saves pictures of the dashboard's pages for README and docs, from real runs.

    python docs/make_screenshots.py runs                        # into docs/images
    python docs/make_screenshots.py runs --site camels_01022500 --chromium /usr/bin/chromium

Starts the dashboard on a free port of 127.0.0.1 in the folder where the script is run, whose experiments and
stores it shows, opens every page in headless Chromium in the light theme and some in the dark one, and stops
the server. Needs the extra `test` (Playwright) and an installed Chromium.
"""

import argparse
import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from thalweg.flows.dashboard_server import SUBMIT

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDTH, HEIGHT = 1440, 900
PAGES = {
    "overview": "",
    "skill": "skill",
    "extrapolation": "extrapolation",
    "interpretation": "interpretation",
    "site": "site",
    "compare": "compare",
    "data": "data",
    "submit": "submit",
}
DARK = ("overview", "skill", "site")


@contextlib.contextmanager
def serve(runs: Path) -> Iterator[str]:
    """The address of a dashboard on these runs; the server ends with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    found = importlib.util.find_spec("thalweg.dashboard.app")
    assert found is not None
    assert found.origin is not None
    server = subprocess.Popen(
        [sys.executable, "-m", "thalweg.dashboard.server", "run", found.origin, "--server.port", str(port)],
        env={**os.environ, "THALWEG_RUNS": str(runs.resolve())},
        stdout=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            if server.poll() is not None:
                raise SystemExit(f"the dashboard ended at once with code {server.returncode}")
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=2).close()
                break
            if time.monotonic() > deadline:
                raise SystemExit("the dashboard did not answer within 60 s")
            time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait(20)


def settle(page: Page, pause: float = 1500) -> None:
    """Waits until the page has stopped running, and `pause` (ms) for its figures to be drawn."""
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=60_000)
    page.wait_for_function("() => !document.querySelector('[data-testid=stSkeleton]')", timeout=60_000)
    page.wait_for_timeout(pause)


def main() -> None:
    """Takes the pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, help="folder of runs")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--experiment", help="experiment to show (default: the newest)")
    parser.add_argument("--split", help="split to show (default: the first)")
    parser.add_argument("--site", help="site to show (default: the median one)")
    parser.add_argument("--begin", help="experiment in the editor, such as file:examples/sample.yaml")
    parser.add_argument("--scale", type=float, default=1.25, help="pixels of the picture a pixel of the page")
    parser.add_argument("--whole", action="store_true", help="the whole page rather than one screen of it")
    parser.add_argument("--chromium", default=shutil.which("chromium") or "/usr/bin/chromium")
    wanted = parser.parse_args()
    wanted.out.mkdir(parents=True, exist_ok=True)
    os.environ[SUBMIT] = "1"
    asked = {name: getattr(wanted, name) for name in ("experiment", "split", "site")} | {"from": wanted.begin}
    query = "&".join(f"{name}={value}" for name, value in asked.items() if value)
    with serve(wanted.runs) as address, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=wanted.chromium, args=list(FLAGS))
        for theme in ("light", "dark"):
            context = browser.new_context(
                viewport={"width": WIDTH, "height": HEIGHT},
                color_scheme=theme,
                device_scale_factor=wanted.scale,
            )
            for name, path in PAGES.items():
                if theme == "dark" and name not in DARK:
                    continue
                page = context.new_page()
                page.goto(f"{address}/{path}?{query}")
                settle(page, 3000)
                if wanted.whole:
                    height = page.evaluate("document.querySelector('.block-container').scrollHeight")
                    page.set_viewport_size({"width": WIDTH, "height": int(height) + 60})
                    page.wait_for_timeout(1000)
                target = wanted.out / f"dashboard-{name}-{theme}.png"
                page.screenshot(path=target)
                with Image.open(target) as picture:  # a third of the size, and nobody sees it
                    small = picture.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE)
                small.save(target, optimize=True)
                sys.stdout.write(f"{target}\n")
                page.close()
        browser.close()


if __name__ == "__main__":
    main()
