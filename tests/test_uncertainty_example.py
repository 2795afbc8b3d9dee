"""The example of uncertainty from its file to its tables, with less training."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def thalweg(folder, *arguments):
    command = [sys.executable, "-m", "thalweg.flows.cli", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_example_of_uncertainty_runs_and_is_evaluated(tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    less = ("--set", "training.epochs=3", "--set", "training.steps_per_epoch=4")
    made = thalweg(tmp_path, "run", "examples/uncertainty.yaml", *less, "--json")
    assert {cell["state"] for cell in made["cells"]} == {"done"}
    products = ("deterministic", "probabilistic", "conformal")
    only = [option for product in products for option in ("--only", product)]
    found = thalweg(tmp_path, "evaluate", "uncertainty", *only, "--json")
    models = {(row["split"], row["model"]): row for row in found["models"]}
    assert len(models) == 2 * 4
    for (split, model), row in models.items():
        assert row["medians"]["crps"] > 0.0
        held = {each["interval"]: each for each in row["intervals"]}
        assert held["conformal"]["group"] == ("gauged" if split == "temporal" else "ungauged")
        assert held["conformal"]["pooling"] == ("days" if split == "temporal" else "new_site")
        assert 0.75 < held["conformal"]["coverage"] <= 1.0, (split, model)
