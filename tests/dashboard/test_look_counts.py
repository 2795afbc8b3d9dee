"""The pages count that they show scores of a test, and say how often that was done."""

import json
from pathlib import Path
from types import ModuleType

import pytest
import streamlit as st

from thalweg.dashboard import data
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
    cards = data.cards()
    assert data.test_looks(cards).endswith("shown 0 times")
    for _ in range(3):
        assert len(data.metrics(cards)[0]) == 4
    assert data.test_looks(cards) == "1 model in 2 runs of 1 experiment scored on it, shown 1 time"
    sources = tuple(card.source for card in data.cards())
    for name in ("history.csv", "status.json"):  # as a run that goes on writes them
        (folder / name).touch()
        data.metrics(data.cards())
        data.model_medians(sources, ("nse",))
    assert looks.count(tmp_path, [TEST]).shown == 1
    (folder / "metrics.parquet").touch()  # its scores may be others
    data.metrics(data.cards())
    assert looks.count(tmp_path, [TEST]).shown == 2
