"""Skill and training time on CAMELS-US (examples/camels_us.yaml): other years, sites and regions.

    python benchmarks/camels_us.py FOLDER [--runs runs-camels] [--workers 2]

FOLDER is CAMELS-US in its official layout (`basin_mean_forcing`, `usgs_streamflow`, ...), with the Maurer
forcing; it is not shipped. 65 cells: about an hour and a half on two cores. The same command again goes on
where it stopped, and the report is written at the end. Published medians on 531 basins, other years: LSTM
0.731 (Kratzert et al. 2019).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pandas as pd
from machine import describe_machine

from thalweg.storage.results import Run, find_runs

NAME = "camels-us"
EXPERIMENT = Path(__file__).parent.parent / "examples" / "camels_us.yaml"
THALWEG = Path(sys.executable).parent / "thalweg"


def main() -> None:
    """Run the experiment, print one line a split and model, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("runs-camels"))
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    if not (options.folder / "usgs_streamflow").is_dir():
        sys.exit(f"{options.folder} is not CAMELS-US (no usgs_streamflow in it): nothing measured")
    print(describe_machine())
    changes = {
        "data.source.path": str(options.folder),
        "data.store": str(options.runs / "camels_us.zarr"),
        "resources.workers": options.workers,
    }
    words = [word for key, value in changes.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    subprocess.run([THALWEG, "run", EXPERIMENT, "--runs", options.runs, *words], check=True)
    show(options.runs)
    subprocess.run([THALWEG, "report", NAME, "--runs", options.runs], check=True)


def show(root: Path) -> None:
    """Print medians over the sites of all folds, and seconds a cell."""
    runs = sorted(find_runs(root, NAME), key=lambda run: (run.split, run.model))
    for (split, model), group in groupby(runs, key=lambda run: (run.split, run.model)):
        done = [run for run in group if run.state == "done"]
        if done:
            print(f"{split}, {model}: {line(done)}")


def line(runs: list[Run]) -> str:
    """Give the medians of some runs' sites and their seconds, as a line."""
    median = pd.concat([run.metrics() for run in runs]).median(numeric_only=True)
    sites = sum(len(run.metrics()) for run in runs)
    names = {"NSE": "nse", "KGE": "kge_2012", "log-NSE": "log_nse"}
    skill = ", ".join(f"{label} {median[name]:.3f}" for label, name in names.items())
    seconds = [run.status["seconds"] for run in runs]
    train, test = (sum(each.get(name, 0.0) for each in seconds) / len(runs) for name in ("train", "evaluate"))
    return (
        f"{sites} basins in {len(runs)} folds, medians {skill}, bias {median['bias']:.1f} %, "
        f"FHV {median['fhv']:.1f} %; a cell trains {train:.0f} s and is tested in {test:.1f} s"
    )


if __name__ == "__main__":
    main()
