"""The dashboard in a real browser: every page opens, and nothing is asked of the internet."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from urllib.parse import parse_qs, urlsplit

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
PATIENCE = 90_000  # ms, on a machine that does other things as well


@pytest.fixture(scope="module")
def address(served: ModuleType, made_runs: Path) -> Iterator[str]:
    with served.serve(made_runs) as found:
        yield found


def test_two_clicks_from_the_first_page_to_a_sites_hydrograph(
    address: str, browser: "playwright.Browser", served: ModuleType
) -> None:
    context = browser.new_context(viewport={"width": served.WIDTH, "height": served.HEIGHT})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    asked: list[str] = []
    trouble: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    page.on("pageerror", lambda error: trouble.append(str(error)))

    # the server's first visitor comes by a link to an inner page
    page.goto(f"{address}/skill")
    page.get_by_role("link", name="Site", exact=True).wait_for()

    page.goto(address)
    served.settle(page, 300)
    page.get_by_role("heading", name="Runs", exact=True).wait_for()
    assert page.get_by_test_id("stAlert").count() == page.get_by_test_id("stException").count() == 0

    page.get_by_role("link", name="Skill", exact=True).click()
    page.wait_for_url("**/skill*")
    served.settle(page, 300)
    points = page.locator(".js-plotly-plot .scatterlayer .point")
    points.first.wait_for()
    assert points.count() >= 8
    assert page.get_by_test_id("stAlert").count() == page.get_by_test_id("stException").count() == 0

    box = points.nth(2).bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_url("**/site?*")
    served.settle(page, 300)
    site = parse_qs(urlsplit(page.url).query)["site"][0]
    assert page.get_by_role("heading", name=site).is_visible()
    assert page.locator(".js-plotly-plot .legendtext", has_text="observed").is_visible()
    assert page.get_by_test_id("stAlert").count() == page.get_by_test_id("stException").count() == 0

    link = page.url
    again = context.new_page()
    again.emulate_media(color_scheme="dark")
    again.goto(link)
    served.settle(again, 300)
    assert again.url == link
    assert again.get_by_role("heading", name=site).is_visible()

    hosts = {urlsplit(url).hostname for url in asked if not url.startswith(("data:", "blob:"))}
    assert hosts == {"127.0.0.1"}
    assert trouble == []


def test_interpretation_opens_with_every_question(
    made_evaluated: Path, browser: "playwright.Browser", served: ModuleType
) -> None:
    questions = {
        "Does the physics hold?": "Variables that nobody trained on",
        "Parameters": "Do seeds find the same parameters again?",
        "Water balance": "At one site",
    }
    with served.serve(made_evaluated) as address:
        page = browser.new_page(viewport={"width": served.WIDTH, "height": served.HEIGHT})
        page.set_default_timeout(PATIENCE)
        page.goto(f"{address}/interpretation?model=hybrid")
        for question, heading in questions.items():
            page.get_by_role("radio", name=question).or_(
                page.get_by_role("button", name=question)
            ).first.click()
            page.get_by_role("heading", name=heading).wait_for()
            served.settle(page, 300)
            assert page.get_by_test_id("stAlert").count() == page.get_by_test_id("stException").count() == 0
            assert page.locator(".js-plotly-plot .main-svg").count() >= 3
        page.goto(f"{address}/interpretation?model=lstm&ask=network")
        page.get_by_text("do not believe these lines").wait_for()

        # the differences come after the page, by themselves; a point leads to its site
        page.goto(f"{address}/skill")
        page.get_by_text("differences are clear. Median over sites").wait_for()
        served.settle(page, 500)
        chart = page.locator(".js-plotly-plot", has_text="site by site")
        points = chart.locator(".scatterlayer .point")
        points.first.wait_for()
        points.nth(2).scroll_into_view_if_needed()
        box = points.nth(2).bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.wait_for_url("**/site?*")
        served.settle(page, 300)
        assert page.locator(".js-plotly-plot .legendtext", has_text="conformal interval").is_visible()
        page.close()


def test_back_leads_to_the_page_before_and_what_is_taken_along_opens(
    address: str, browser: "playwright.Browser", served: ModuleType, tmp_path: Path
) -> None:
    page = browser.new_page(viewport={"width": served.WIDTH, "height": served.HEIGHT})
    page.set_default_timeout(PATIENCE)
    page.goto(f"{address}/skill")
    served.settle(page, 300)
    for name in ("Site", "Compare"):
        page.get_by_role("link", name=name, exact=True).click()
        page.wait_for_url(f"**/{name.lower()}?*")
        served.settle(page, 300)
    page.get_by_role("button", name="Share").click()
    page.locator("[data-testid=stPopoverBody] label", has_text="SVG").click()
    page.wait_for_url("**figures=svg*")
    for kind, begins in (("CSV", b"run,site,nse (1)"), ("NetCDF", b"\x89HDF")):
        served.settle(page, 300)  # a click while the page is made anew gets no file, and may close the box
        if not page.get_by_test_id("stPopoverBody").is_visible():
            page.get_by_role("button", name="Share").click()
        with page.expect_download() as taken:
            page.get_by_test_id("stPopoverBody").get_by_role("button", name=kind).first.click()
        taken.value.save_as(tmp_path / kind)
        assert (tmp_path / kind).read_bytes().startswith(begins)
    page.keyboard.press("Escape")
    chart = page.locator(".js-plotly-plot").first
    chart.hover()
    with page.expect_download() as taken:
        chart.locator(".modebar-btn").first.click()
    assert taken.value.suggested_filename.endswith(".svg")
    taken.value.save_as(tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").read_text(encoding="utf-8").startswith("<svg")

    steps = 0
    while "/site" not in page.url:
        page.go_back()
        served.settle(page, 300)
        steps += 1
        assert steps <= 2, "a choice and the page are two steps, whatever the page fills in itself"
    page.close()
