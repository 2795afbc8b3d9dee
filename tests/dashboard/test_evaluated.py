"""Tables of `thalweg evaluate`: read once until they change, and no more of them kept than fit."""

import time
from pathlib import Path

import pandas as pd
import pytest

from thalweg.dashboard.reading import cards, evaluated
from thalweg.storage.evaluations import write_product
from thalweg.storage.results import run_name, write_status


@pytest.fixture(autouse=True)
def _fresh() -> None:
    evaluated._kept.clear()


def _runs(root: Path, monkeypatch: pytest.MonkeyPatch, seeds: int = 3, rows: int = 4) -> list[cards.Card]:
    monkeypatch.setenv("THALWEG_RUNS", str(root))
    for seed in range(seeds):
        folder = root / "small" / run_name("lstm", "temporal", "0", seed)
        write_status(folder, {"state": "done"})
        _write(folder, rows, float(seed))
    return [card for card in cards.read() if Path(card.path).is_relative_to(root)]


def _write(folder: Path, rows: int, value: float) -> None:
    table = pd.DataFrame({"site": [f"site {row}" for row in range(rows)], "value": value})
    write_product(folder, "events", {"events": table}, "x")


def test_tables_are_read_once_until_they_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = _runs(tmp_path, monkeypatch)
    reads = []
    read = evaluated.read_table
    monkeypatch.setattr(evaluated, "read_table", lambda *asked: reads.append(asked) or read(*asked))
    first = evaluated.tables(runs, "events")
    assert first.groupby("run", sort=False)["value"].first().tolist() == [0.0, 1.0, 2.0]
    assert first["seed"].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    evaluated.tables(runs, "events")
    assert len(reads) == 3
    time.sleep(0.02)  # until the clock of the file system has moved
    _write(Path(runs[1].path), 4, 9.0)
    again = evaluated.tables(runs, "events")
    assert again.groupby("run", sort=False)["value"].first().tolist() == [0.0, 9.0, 2.0]
    assert len(evaluated._kept) == 1  # what was there before is gone


def test_what_one_session_changes_others_do_not_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = _runs(tmp_path, monkeypatch)
    changed = evaluated.tables(runs, "events")
    changed.loc[0, "site"] = "other"
    changed["value"] = -1.0
    changed["more"] = 1
    kept = evaluated.tables(runs, "events")
    assert (kept["value"] >= 0).all()
    assert kept["site"].iloc[0] == "site 0"
    assert "more" not in kept


def test_tables_beyond_the_limit_are_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = _runs(tmp_path, monkeypatch, seeds=4, rows=100)
    one = int(evaluated.tables(runs[:1], "events").memory_usage(deep=True).sum())
    evaluated._kept.clear()
    monkeypatch.setattr(evaluated, "MOST", int(2.5 * one))
    for run in (runs[0], runs[1], runs[0], runs[2]):
        assert len(evaluated.tables([run], "events")) == 100
    assert [key[1][0][4] for key in evaluated._kept] == [0, 2]  # that of seed 1 was used longest ago
    assert len(evaluated.tables(runs, "events")) == 400  # more than fits is given, and not kept
    assert [key[1][0][4] for key in evaluated._kept] == [0, 2]


def test_runs_without_a_table_have_no_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = _runs(tmp_path, monkeypatch)
    assert evaluated.tables(runs, "trends").empty
    (Path(runs[0].path) / "evaluation" / "events.parquet").write_bytes(b"cut short")
    assert evaluated.tables(runs, "events")["seed"].unique().tolist() == [1, 2]
