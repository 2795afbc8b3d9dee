"""Twin experiments: hybrid against LSTM in regions never seen, each tuned with the same budget.

    python benchmarks/twin.py [--trials 8] [--seeds 3] [--folder runs-twin]

Tunes both models by the same random search on the first fold, then trains the best of each on all folds
with several seeds, in the well specified twin, in the misspecified one, and in the well specified one with
8 training sites. Prints the median NSE over all sites, its interval and the correlation over sites of
the baseflow index with the truth.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from machine import describe_machine

EXAMPLES = Path(__file__).parent.parent / "examples"
THALWEG = Path(sys.executable).parent / "thalweg"
SPACES = {
    "hybrid": {
        "models.hybrid.training.learning_rate": {"log_uniform": [0.002, 0.03]},
        "models.hybrid.network.dropout": {"uniform": [0.0, 0.4]},
    },
    "lstm": {
        "models.lstm.training.learning_rate": {"log_uniform": [0.002, 0.03]},
        "models.lstm.dropout": {"uniform": [0.0, 0.4]},
    },
}
CASES = (
    ("well specified", "twin.yaml", {}),
    ("misspecified", "twin-misspecified.yaml", {}),
    ("well specified, 8 sites", "twin.yaml", {"name": "twin-8-sites", "splits.0.train_sites": 8}),
)


def thalweg(command: str, file: str, folder: Path, values: dict[str, object]) -> object:
    """Run a command of the command line and give its JSON."""
    changes = [word for key, value in values.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    words = [str(THALWEG), command, str(EXAMPLES / file), "--runs", str(folder), "--json", *changes]
    result = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(result.stdout)


def tune(file: str, folder: Path, values: dict[str, object], trials: int) -> dict[str, object]:
    """Give the best values of both models, found with the same number of trials each."""
    best: dict[str, object] = {}
    for model, space in SPACES.items():
        search = {"search.model": model, "search.trials": trials, "search.space": space}
        found = thalweg("search", file, folder / f"search-{model}", {**values, **search})
        best |= found["best"]["values"]
    return best


def main() -> None:
    """Run all cases and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("runs-twin"))
    options = parser.parse_args()
    print(describe_machine())
    for label, file, values in CASES:
        started = time.perf_counter()
        best = tune(file, options.folder, values, options.trials)
        seeds = {"training.seeds": list(range(1, options.seeds + 1))}
        report = thalweg("run", file, options.folder, {**values, **best, **seeds})
        seconds = time.perf_counter() - started
        print(f"\n{label} ({seconds:.0f} s, {options.trials} trials and {options.seeds} seeds)")
        print(f"  tuned: {best}")
        for row in report["skill"]:
            r = row["baseflow_correlation"]
            audit = "" if r is None else f"  baseflow index r {r:5.2f}"
            skill = f"NSE {row['median']:6.3f} [{row['low']:.3f}, {row['high']:.3f}]"
            print(f"  {row['model']:12s} {skill}{audit}")


if __name__ == "__main__":
    main()
