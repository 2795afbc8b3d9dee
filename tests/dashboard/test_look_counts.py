"""The pages count that they show scores of a test, and say how often that was done."""

import json
from pathlib import Path
from types import ModuleType

import pytest
import streamlit as st

from thalweg.dashboard.reading import cards, skill
from thalweg.storage import looks

TEST = "a" * 16


def test_reading_metrics_is_one_look_until_the_runs_change(
    synthetic: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    st.cache_data.clear()
    monkeypatch.setenv("THALWEG_RUNS", str(tmp_path))
    world = synthetic.make_world(2, "2000-10-01", "2001-01-31")
    for seed in (1, 2):
        folder = synthetic.write_run(tmp_path, "small", world, "hybrid", "temporal", "0", seed)
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["test"]["id"] = TEST
        (folder / "manifest.json").write_text(json.dumps(manifest))
        looks.scored(tmp_path, TEST, f"small/{folder.name}", "hybrid", floor=False)
    runs = cards.read()
    assert skill.test_looks(runs).endswith("shown 0 times")
    for _ in range(3):
        assert len(skill.metrics(runs)[0]) == 4
    assert skill.test_looks(runs) == "1 model in 2 runs of 1 experiment scored on it, shown 1 time"
    sources = tuple(card.source for card in cards.read())
    for name in ("history.csv", "status.json"):  # as a run that goes on writes them
        (folder / name).touch()
        skill.metrics(cards.read())
        skill.model_medians(sources, ("nse",))
    assert looks.count(tmp_path, [TEST]).shown == 1
    (folder / "metrics.parquet").touch()  # its scores may be others
    skill.metrics(cards.read())
    assert looks.count(tmp_path, [TEST]).shown == 2
