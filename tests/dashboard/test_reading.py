"""Reading runs: fresh when files change, one site at a time, and never stopped by a broken run."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from thalweg.dashboard.reading import cards, predictions, skill
from thalweg.storage.results import Run, write_status


@pytest.mark.usefixtures("runs")
def test_cards_tell_state_progress_and_reason() -> None:
    found = {card.id: card for card in cards.read()}
    failed = found["nightly/lstm--ungauged_sites--1--s1"]
    assert failed.state == "failed"
    assert "NaN at epoch 7" in failed.message
    running = found["nightly/lstm--ungauged_sites--2--s1"]
    assert running.progress == pytest.approx(0.4)
    half = found["nightly/hybrid--ungauged_sites--1--s1"]
    assert (half.model, half.split, half.fold, half.seed) == ("hybrid", "ungauged_sites", "1", 1)
    assert any("manifest.json" in problem for problem in half.problems)
    assert {card.model for card in found.values() if card.floor} == {"climatology"}


def test_a_changed_status_is_seen_at_once(
    synthetic: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THALWEG_RUNS", str(tmp_path))
    assert cards.read() == []
    world = synthetic.make_world(2, "2000-10-01", "2001-01-31")
    folder = tmp_path / "live" / "hybrid--temporal--0--s1"
    synthetic.start_run(folder, "live", world, "hybrid", "temporal", "0", 1)
    write_status(folder, {"state": "running", "epoch": 1, "epochs": 4})
    assert cards.read()[0].progress == 0.25
    write_status(folder, {"state": "running", "epoch": 2, "epochs": 4})
    assert cards.read()[0].progress == 0.5


@pytest.mark.usefixtures("runs")
def test_models_of_a_later_experiment_come_last() -> None:
    one = cards.read()[0]

    def run(experiment: str, model: str, created: str, floor: bool = False) -> cards.Card:
        return replace(one, experiment=experiment, model=model, created=created, floor=floor)

    old = [
        run("b", "physics", "2026-11-01T10:05:00+00:00"),
        run("b", "hybrid", "2026-11-01T10:09:00+00:00"),
        run("b", "persistence", "2026-11-01T10:01:00+00:00", floor=True),
    ]
    assert cards.model_names(old) == (["hybrid", "persistence", "physics"], ["persistence"])
    pooled = run("b", "hybrid+ensemble", "2026-11-01T11:00:00+00:00")
    assert cards.model_names([*old, pooled])[0] == ["hybrid", "persistence", "physics", "hybrid+ensemble"]
    waiting = run("a", "attention", "")
    assert cards.model_names([waiting, *old])[0][-1] == "attention"
    new = [waiting, run("a", "hybrid", "2026-11-02T08:00:00+00:00")]
    assert cards.model_names([*new, *old])[0] == ["hybrid", "persistence", "physics", "attention"]


@pytest.mark.usefixtures("runs")
def test_what_cannot_be_read_is_said() -> None:
    damaged = [card for card in cards.read() if card.experiment == "damaged"]
    table, problems = skill.metrics(damaged)
    assert set(table["model"]) == {"hybrid", "physics"}
    assert len(problems) == 1
    assert problems[0].startswith("damaged/lstm--temporal--0--s1: metrics.parquet: cannot be read")
    gone = next(card for card in damaged if card.model == "hybrid")
    flow, why = predictions.series(gone.path, gone.stamp, str(table["site"].iloc[0]))
    assert flow is None
    assert "predictions.zarr" in why[0]
    whole = next(card for card in damaged if card.model == "physics")
    flow, why = predictions.series(whole.path, whole.stamp, "no_such_site")
    assert flow is None
    assert "no_such_site" in why[0]


@pytest.mark.usefixtures("runs")
def test_all_medians_at_once_are_those_of_the_summary() -> None:
    sources = tuple(card.source for card in cards.read() if card.experiment == "sample")
    at_once = skill.model_medians(sources).set_index(["model", "split"])
    for metric in ("nse", "bias"):
        one = skill.summary(sources, metric).set_index(["model", "split"])["median"]
        np.testing.assert_allclose(at_once[metric].reindex(one.index), one)


class Counted(BackendArray):
    """An array on no disk that counts what is asked of it."""

    def __init__(self, sites: int, days: int) -> None:
        self.shape = (sites, days)
        self.dtype = np.dtype("float32")
        self.read = 0

    def __getitem__(self, key: Any) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._values
        )

    def _values(self, key: Any) -> Any:
        values = np.zeros(self.shape, self.dtype)[key]
        self.read += values.size
        return values


def test_one_hydrograph_reads_one_site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sites, days = 2000, 300
    arrays = {name: Counted(sites, days) for name in ("simulated", "observed")}
    store = xr.Dataset(
        {n: (("site", "time"), indexing.LazilyIndexedArray(array)) for n, array in arrays.items()},
        coords={"site": [f"site_{i}" for i in range(sites)], "time": np.arange(days)},
    )
    monkeypatch.setattr(Run, "predictions", lambda _: store)
    table, problems = predictions.series(str(tmp_path), (), "site_1234")
    assert problems == []
    assert table is not None
    assert len(table) == days
    assert [array.read for array in arrays.values()] == [days, days]
