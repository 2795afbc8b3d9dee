"""What a search costs beside a bare Ray Tune function doing the same: a trial, and 200 tiny ones."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

TRIALS = 200
ROUNDS = 3
RATE = "training.learning_rate"


def tiny(rate: float) -> float:
    """Give the score of a trial that takes no time."""
    return 1 - abs(rate - 0.01)


def train(cell: object, folder: Path, report: Callable[[dict[str, object]], bool]) -> dict[str, float]:
    """Train one epoch of nothing, as a trial of a search."""
    del folder
    score = tiny(cell.experiment.training_for(cell.model).learning_rate)  # type: ignore[attr-defined]
    report({"epoch": 1, "loss": 1 - score, "validation": score, "seconds": 0.0})
    return {"parameters": 1.0}


def bare_tune(trials: int, folder: Path) -> float:
    """Give the seconds that Ray Tune takes for a plain function, actors reused; its best settings here."""
    from ray import tune

    def function(config: dict[str, float]) -> None:
        tune.report({"score": tiny(config["rate"])})

    started = time.perf_counter()
    results = tune.Tuner(
        tune.with_resources(function, {"cpu": 1}),
        param_space={"rate": tune.loguniform(1e-4, 1.0)},
        tune_config=tune.TuneConfig(metric="score", mode="max", num_samples=trials, reuse_actors=True),
        run_config=tune.RunConfig(name="tune", storage_path=str(folder), verbose=0),
    ).fit()
    seconds = time.perf_counter() - started
    assert len(results) == trials
    return seconds


def thalweg(trials: int, folder: Path) -> float:
    """Give the seconds that a search of Thalweg takes for the same, with its journal and its folders."""
    from thalweg.flows.cell_spec import Cell
    from thalweg.flows.experiment import Experiment
    from thalweg.flows.search import run_search
    from thalweg.flows.search_claim import claim
    from thalweg.storage.splits import Fold, Part

    period = (date(2000, 1, 1), date(2000, 12, 31))
    experiment = Experiment.model_validate(
        {
            "name": "tiny",
            "data": {"store": "none"},
            "splits": [{"kind": "temporal", "train": period, "test": (date(2001, 1, 1), date(2001, 12, 31))}],
            "models": {"lstm": {"kind": "lstm"}},
            "training": {"epochs": 1},
            "search": {
                "algorithm": "random",
                "trials": trials,
                "model": "lstm",
                "space": {RATE: {"log_uniform": [1e-4, 1.0]}},
            },
        }
    )
    part = Part(("a",), *period)
    cell = Cell(experiment, "lstm", Fold("temporal", "0", part, part, part), 1, "none")
    started = time.perf_counter()
    claim(cell, folder)
    found = run_search(cell, folder, train="distributed_search:train")
    seconds = time.perf_counter() - started
    assert sum(trial.state == "done" for trial in found.found.values()) == trials
    return seconds


def main() -> None:
    """Measure both in turn, a few times, and print the ratio."""
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.chdir(Path(__file__).parent)  # workers import this file from their working directory
    from thalweg.flows.cluster import cluster

    times: dict[str, list[float]] = {"tune": [], "thalweg": []}
    with tempfile.TemporaryDirectory() as scratch, cluster():
        for kind in (bare_tune, thalweg):  # what is imported, and the first workers
            kind(2, Path(scratch) / f"first-{kind.__name__}")
        for number in range(ROUNDS):
            times["tune"].append(bare_tune(TRIALS, Path(scratch) / f"tune-{number}"))
            times["thalweg"].append(thalweg(TRIALS, Path(scratch) / f"thalweg-{number}"))
    middle = {name: statistics.median(seconds) for name, seconds in times.items()}
    print(f"{TRIALS} tiny trials, median of {ROUNDS}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for name, seconds in middle.items():
        print(f"  {name:8s} {seconds:6.2f} s, {1000 * seconds / TRIALS:6.1f} ms a trial")
    print(f"  ratio    {middle['thalweg'] / middle['tune']:.2f} (wanted: at most 1.3)")
    overhead = 1000 * (middle["thalweg"] - middle["tune"]) / TRIALS
    print(f"  overhead {overhead:.1f} ms a trial over bare Tune (wanted: below 150)")


if __name__ == "__main__":
    main()
