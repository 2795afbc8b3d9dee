"""Every example of docs/splits.md makes folds."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml

from thalweg.flows.experiment import Experiment
from thalweg.storage.conform import conform
from thalweg.storage.splits import KINDS, make_folds
from thalweg.storage.store import write_store

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "splits.md").read_text(encoding="utf-8")
EXAMPLES = [
    split for text in re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL) for split in yaml.safe_load(text)
]


def rivers(prefix, latitude):
    """Twenty-four sites over a continent with twenty-three years of plain weather."""
    random = np.random.default_rng(0)
    time = pd.date_range("1987-10-01", "2009-12-31")
    rain = random.gamma(0.5, 8.0, (24, len(time)))
    units = {"precipitation": "mm/day", "temperature": "degC", "discharge": "mm/day"}
    values = {
        "precipitation": rain,
        "temperature": 10 + random.standard_normal(rain.shape),
        "discharge": rain / 3,
    }
    series = {
        name: (
            ("site", "time"),
            values[name],
            {"units": unit, "role": "target" if name == "discharge" else "forcing"},
        )
        for name, unit in units.items()
    }
    static = {
        "area": ("site", np.linspace(50, 900, 24), {"units": "km2"}),
        "aridity": ("site", np.linspace(0.3, 3, 24)),
    }
    places = {
        "site": [f"{prefix}{number:02d}" for number in range(24)],
        "time": time,
        "latitude": ("site", latitude + random.uniform(0, 10, 24)),
        "longitude": ("site", random.uniform(-120, -75, 24)),
        "region": ("site", [f"{number % 4 + 1:02d}" for number in range(24)]),
    }
    return conform(xr.Dataset({**series, **static}, places))


@pytest.fixture(scope="module")
def dataset():
    return rivers("s", 35)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.get("name") or example["kind"])
def test_every_example_of_the_docs_makes_folds(dataset, example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if example["kind"] == "another_store":
        write_store(tmp_path / example["store"], rivers("far", -35), {"kind": "made"})
    content = {"name": "e", "data": {"store": "s"}, "splits": [example], "models": {"l": {"kind": "lstm"}}}
    (split,) = Experiment.model_validate(content).splits
    folds = make_folds(dataset, split.spec(), 0, "discharge")
    assert {fold.split for fold in folds} == set(split.labels)


def test_every_kind_is_told_of_and_has_an_example():
    assert {example["kind"] for example in EXAMPLES} == set(KINDS)
    for kind in KINDS:
        assert f"\n## {kind}\n" in DOCS
        assert f"| `{kind}` |" in DOCS
