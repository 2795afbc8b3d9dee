"""Skill and training time on CAMELS-US by the standard protocol (examples/camels_us.yaml).

    python benchmarks/camels_us.py FOLDER [--models hybrid physics] [--runs runs-camels]

FOLDER is CAMELS-US in its official layout (`basin_mean_forcing`, `usgs_streamflow`, ...), with the Maurer
forcing; it is not shipped. Published medians on 531 basins: LSTM 0.731 (Kratzert et al. 2019).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from machine import describe_machine

from thalweg.storage.results import find_runs

EXPERIMENT = Path(__file__).parent.parent / "examples" / "camels_us.yaml"
THALWEG = Path(sys.executable).parent / "thalweg"


def main() -> None:
    """Run the experiment and print one line a model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", nargs="+", default=["hybrid", "physics"])
    parser.add_argument("--runs", type=Path, default=Path("runs-camels"))
    options = parser.parse_args()
    if not (options.folder / "usgs_streamflow").is_dir():
        sys.exit(f"{options.folder} is not CAMELS-US (no usgs_streamflow in it): nothing measured")
    print(describe_machine())
    for model in options.models:
        changes = {
            "name": f"camels-us-{model}",
            "data.source.path": str(options.folder),
            "data.store": str(options.runs / "camels_us.zarr"),
            "models": {model: _models()[model]},
        }
        words = [word for key, value in changes.items() for word in ("--set", f"{key}={json.dumps(value)}")]
        subprocess.run([THALWEG, "run", EXPERIMENT, "--runs", options.runs, *words], check=True)
        for run in find_runs(options.runs, f"camels-us-{model}"):
            median = run.metrics().median(numeric_only=True)
            seconds = run.status["seconds"]
            skill = ", ".join(
                f"{label} {median[name]:.3f}"
                for label, name in (("NSE", "nse"), ("KGE", "kge_2009"), ("log-NSE", "log_nse"))
            )
            print(
                f"{model}: {len(run.metrics())} basins, medians {skill}, bias {median['bias']:.1f} %, "
                f"FHV {median['fhv']:.1f} %; "
                f"training {seconds['train']:.0f} s, test {seconds['evaluate']:.1f} s"
            )


def _models() -> dict[str, object]:
    import yaml

    content: dict[str, dict[str, object]] = yaml.safe_load(EXPERIMENT.read_text(encoding="utf-8"))
    return content["models"]


if __name__ == "__main__":
    main()
