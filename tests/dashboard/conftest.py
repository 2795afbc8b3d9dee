"""A folder of runs with everything that a page may meet, and a way to open the pages on it."""

import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pytest
import streamlit as st
from streamlit import config
from streamlit.testing.v1 import AppTest

from thalweg.dashboard.figures import sketch
from thalweg.storage.results import Run, run_name, write_metrics, write_status

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]
MODELS = ("hybrid", "lstm", "physics", "climatology")


def load(path: Path) -> ModuleType:
    """A Python file as a module: with `--import-mode=importlib` test modules cannot import each other."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def own_main() -> Iterator[None]:
    """Puts back the main module, which AppTest replaces by the app: a process spawned later would run it."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(autouse=True)
def checked_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets Plotly check every word of our figures, for which the pages do not wait."""
    monkeypatch.setattr(sketch, "CHECKED", True)


@pytest.fixture(scope="session")
def beside() -> Callable[[str], ModuleType]:
    """Loads a module of this folder."""
    return lambda name: load(Path(__file__).with_name(f"{name}.py"))


@pytest.fixture(scope="session")
def synthetic(beside: Callable[[str], ModuleType]) -> ModuleType:
    """The maker of run folders."""
    return beside("synthetic_runs")


@pytest.fixture(scope="session")
def served() -> ModuleType:
    """The script that serves and photographs the dashboard: the browser test uses its server."""
    return load(ROOT / "docs" / "make_screenshots.py")


@pytest.fixture(scope="session")
def made_runs(synthetic: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six experiments: `sample` is whole, `nightly` unfinished, the others odd in one way each."""
    root = tmp_path_factory.mktemp("dashboard") / "runs"
    world = synthetic.make_world(8, "2000-10-01", "2002-09-30")
    synthetic.write_experiments(root, world, MODELS, (1, 2), 2)

    alone = synthetic.make_world(1, "2000-10-01", "2001-09-30")
    synthetic.write_run(root, "one_site", alone, "hybrid", "temporal", "0", 1)

    for model in ("hybrid", "lstm"):
        folder = synthetic.write_run(root, "undefined", world, model, "temporal", "0", 1)
        table = Run(folder).metrics()
        names = table.select_dtypes("number").columns.difference(["latitude", "longitude"])
        write_metrics(folder, table.assign(**dict.fromkeys(names, np.nan)))

    whole = synthetic.write_run(root, "damaged", world, "hybrid", "temporal", "0", 1)
    shutil.rmtree(whole / "predictions.zarr")
    cut = synthetic.write_run(root, "damaged", world, "lstm", "temporal", "0", 1)
    (cut / "metrics.parquet").write_bytes((cut / "metrics.parquet").read_bytes()[:200])
    nowhere = synthetic.write_run(root, "damaged", world, "physics", "temporal", "0", 1)
    write_metrics(nowhere, Run(nowhere).metrics().drop(columns=["latitude", "longitude", "region"]))

    folder = root / "started" / run_name("hybrid", "temporal", "0", 1)
    synthetic.start_run(folder, "started", world, "hybrid", "temporal", "0", 1)
    write_status(folder, {"state": "running", "epoch": 3, "epochs": 30})
    return root


@pytest.fixture(scope="session")
def made_evaluated(
    beside: Callable[[str], ModuleType], synthetic: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """One experiment with all that `thalweg evaluate` adds, and its store `weather.zarr` beside the runs."""
    root = tmp_path_factory.mktemp("evaluated") / "runs"
    beside("synthetic_evaluation").write_evaluated(root, synthetic)
    return root


@pytest.fixture(scope="session")
def rivers(beside: Callable[[str], ModuleType], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `data` with the store `rivers.zarr`; who may change it takes a copy."""
    folder = tmp_path_factory.mktemp("rivers") / "data"
    beside("synthetic_store").write_store(folder / "rivers.zarr")
    return folder


@pytest.fixture
def evaluated_runs(made_evaluated: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, with the dashboard pointed at it and its caches empty."""
    st.cache_data.clear()
    monkeypatch.setenv("THALWEG_RUNS", str(made_evaluated))
    return made_evaluated


@pytest.fixture(autouse=True)
def on_loopback() -> None:
    """As the file of settings beside the pages says, which the test harness does not read."""
    config.set_option("server.address", "127.0.0.1")


@pytest.fixture(scope="module")
def browser(served: ModuleType) -> Iterator["Browser"]:
    """A headless Chromium, for tests of what only a browser does; they skip without it."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    chromium = shutil.which("chromium") or "/usr/bin/chromium"
    if not Path(chromium).exists():
        pytest.skip("no Chromium installed (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as play:
        started = play.chromium.launch(executable_path=chromium, args=list(served.FLAGS))
        yield started
        started.close()


@pytest.fixture
def runs(made_runs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of runs, with the dashboard pointed at it and its caches empty."""
    st.cache_data.clear()
    monkeypatch.setenv("THALWEG_RUNS", str(made_runs))
    return made_runs


@pytest.fixture
def open_page() -> Callable[..., AppTest]:
    """Opens a page as a browser with this address would: `open_page("skill", experiment="sample")`."""

    def opened(name: str, **query: str) -> AppTest:
        app = AppTest.from_file(ROOT / "dashboard" / "app.py", default_timeout=30)
        app.query_params.update(query)
        return app.switch_page(f"views/{name}.py").run()

    return opened
