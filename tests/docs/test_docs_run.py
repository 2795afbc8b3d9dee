"""Pages are run in their order: what they write, what they command, and the code between.

A page has a folder with what it speaks of; its placeholders are replaced by names that are there, and numbers
that cost much by small ones. `doc_ways.py` says which commands other tests run.
"""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from doc_blocks import ROOT, blocks_of, named
from doc_runs import EXPERIMENT, perform, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A folder with runs of a small experiment, `sample`, that are evaluated."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "examples").symlink_to(ROOT / "examples")
    (folder / "experiment.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    run("thalweg run experiment.yaml", folder)
    return folder


def test_the_guide(tmp_path, monkeypatch):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    done = perform("guide.md", tmp_path, monkeypatch)
    said = dict(done)
    assert len(done) >= 14
    assert "hybrid" in said["thalweg compare first"]
    assert (tmp_path / "runs/first/report.html").exists()
    # the mistake that it shows
    (tmp_path / "first.yaml").write_text((tmp_path / "first.yaml").read_text().replace("epochs", "epoch"))
    program = Path(sys.executable).with_name("thalweg")
    wrong = subprocess.run([program, "check", "first.yaml"], capture_output=True, text=True, check=False)
    (shown,) = [block.text for block in blocks_of(ROOT / "docs/guide.md") if block.kind == "output"]
    assert wrong.stderr.strip() == shown.strip()
    assert wrong.returncode == 2


@pytest.mark.parametrize("page", ["evaluation.md", "extrapolation.md", "report.md"])
def test_pages_on_results(page, lab, monkeypatch):
    names = {"EXPERIMENT/RUN": "sample/lstm", "EXPERIMENT": "sample", "NAME": "sample"}
    assert perform(page, lab, monkeypatch, {**names, "my-experiment": "sample"})


def test_interpretation(lab, monkeypatch):
    import pandas as pd

    from thalweg.evaluation.interpretation.identifiability import identifiability
    from thalweg.storage.evaluations import read_table
    from thalweg.storage.results import find_runs

    runs = [
        run
        for run in find_runs(lab / "runs", "sample")
        if run.path.name in ("hybrid--temporal--0--s1", "hybrid--temporal--0--s2")
    ]
    given = {"pd": pd, "identifiability": identifiability, "read_table": read_table, "runs": runs}
    assert perform("interpretation.md", lab, monkeypatch, {"RUN...": "sample"}, given)


def test_search(lab, monkeypatch):
    perform("search.md", lab, monkeypatch, {'"search.trials": 60': '"search.trials": 2'})
    assert any((lab / "runs").rglob("trials*"))


def test_the_readme_s_results(lab, monkeypatch):
    monkeypatch.chdir(lab)
    (block,) = [
        each for each in blocks_of(ROOT / "README.md") if each.kind == "python" and "runs/" in each.text
    ]
    exec(compile(block.text, named(block), "exec"), {})


def test_storage(tmp_path, monkeypatch):
    import numpy as np
    import pandas as pd

    (tmp_path / "stations").mkdir()
    days = pd.date_range("2000-01-01", "2002-12-31")
    generator = np.random.default_rng(1)
    for name in ("a", "b"):
        rain = generator.gamma(0.5, 6, len(days))
        warmth = 8 + generator.normal(0, 3, len(days))
        table = {"date": days, "rain": rain, "temp": warmth, "q": 900 + 500 * rain}
        pd.DataFrame(table).to_csv(tmp_path / "stations" / f"{name}.csv", index=False)
    stations = "site,latitude,longitude,area\na,46.5,8.5,120\nb,46.9,8.1,90\n"
    (tmp_path / "stations.csv").write_text(stations)
    (spec,) = [each for each in blocks_of(ROOT / "docs/storage.md") if each.kind == "yaml"]
    (tmp_path / "rivers.yaml").write_text(spec.text)
    assert len(perform("storage.md", tmp_path, monkeypatch)) >= 8
    assert "paper" in run("thalweg data log rivers.yaml", tmp_path)
