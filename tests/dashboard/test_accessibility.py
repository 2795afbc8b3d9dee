"""Every page in light and dark under axe-core: contrast, labels, headings, names of what can be pressed."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

from thalweg.flows.dashboard_server import SUBMIT, TOKEN

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
AXE = find_spec("axe_playwright_python")
pytestmark = [
    pytest.mark.skipif(AXE is None, reason="axe-playwright-python is not installed"),
    pytest.mark.slow,
]
PAGES = {
    "overview": "",
    "skill": "skill",
    "extrapolation": "extrapolation?experiment=sample",
    "interpretation": "interpretation?experiment=evaluated",
    "evaluated in parts": "skill?experiment=evaluated",
    "site": "site",
    "site with weather and intervals": "site?experiment=evaluated",
    "compare": "compare",
    "contents": "data",
    "quality": "data?view=quality",
    "versions": "data?view=versions",
    "submit": "submit?from=file:bad.yaml",
}
BAD = "name: bad\ndata: {store: stations.zarr}\nmodles: {}\n"
RUN = "async (options) => (await axe.run(document, options)).violations"
OPTIONS = {"resultTypes": ["violations"]}


@pytest.fixture(scope="module")
def workspace(
    synthetic: ModuleType, beside: Callable[[str], ModuleType], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Runs of all states, their store, and an experiment with mistakes."""
    folder = tmp_path_factory.mktemp("axe")
    world = synthetic.make_world(8, "2000-10-01", "2002-09-30")
    synthetic.write_experiments(folder / "runs", world, ("hybrid", "lstm", "climatology"), (1,), 2)
    helpers = beside("synthetic_store")
    helpers.give(folder / "runs" / "sample", "stations.zarr", helpers.write_store(folder / "stations.zarr"))
    beside("synthetic_evaluation").write_evaluated(folder / "runs", synthetic)
    (folder / "bad.yaml").write_text(BAD + "splits: []\nmodels: {}\n")
    return folder


@pytest.fixture(scope="module")
def address(workspace: Path, served: ModuleType) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workspace)
        patch.setenv(SUBMIT, "1")
        patch.delenv(TOKEN, raising=False)
        with served.serve(workspace / "runs") as found:
            yield found


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page(theme: str, address: str, browser: "playwright.Browser", served: ModuleType) -> None:
    assert AXE is not None
    assert AXE.origin is not None
    source = Path(AXE.origin).with_name("axe.min.js").read_text(encoding="utf-8")

    def wrong() -> list[str]:
        page.evaluate(source)
        return [
            f"{each['id']}: {each['help']}: {[node['target'] for node in each['nodes'][:3]]}"
            for each in page.evaluate(RUN, OPTIONS)
        ]

    page = browser.new_page(viewport={"width": served.WIDTH, "height": served.HEIGHT}, color_scheme=theme)
    found = {}
    for name, path in PAGES.items():
        page.goto(f"{address}/{path}")
        served.settle(page, 800)
        if told := wrong():
            found[name] = told
        share = page.get_by_role("button", name="Share")
        if share.count():
            share.click()
            page.get_by_test_id("stPopoverBody").get_by_text("The address of this page").wait_for()
            if told := wrong():
                found[f"{name}, sharing"] = told
        assert page.locator("h1").count() == 1, name
        assert page.get_by_test_id("stException").count() == page.get_by_test_id("stAlert").count() == 0, name
    page.close()
    assert found == {}


def test_the_keyboard_gets_everywhere(
    address: str, browser: "playwright.Browser", served: ModuleType
) -> None:
    page = browser.new_page()
    page.goto(f"{address}/submit?from=file:bad.yaml")
    served.settle(page, 300)
    met = []
    for _ in range(30):
        page.keyboard.press("Tab")
        met.append(
            page.evaluate(
                """() => {
                  let at = document.activeElement;
                  while (at && at.shadowRoot && at.shadowRoot.activeElement) at = at.shadowRoot.activeElement;
                  const seen = getComputedStyle(at).outlineStyle !== 'none' ||
                    getComputedStyle(at).boxShadow !== 'none' ||
                    (at.closest('.editor, [data-baseweb]') !== null);
                  return [at.tagName, at.getAttribute('aria-label') || at.innerText || '', seen];
                }"""
            )
        )
    page.close()
    names = [name for _, name, _ in met]
    assert "Experiment, as YAML" in names  # and Tab leaves it again
    assert any("This machine" in name for name in names[names.index("Experiment, as YAML") :])
    assert [name for tag, name, seen in met if tag in ("A", "BUTTON") and not seen] == []
