"""What the code on some pages takes for granted: names that its text speaks of.

A key is the page and the first line of the block.
"""

from types import SimpleNamespace
from typing import Any

NEEDS_RUNS = (
    "README.md",
    "evaluation.md",
    "guide.md",
    "search.md",
    "storage.md",
    "interpretation.md",
    "cluster.md",
)


def bucket() -> dict[str, Any]:
    """Give the names of a process model's declaration."""
    from thalweg.models.process import Parameter, ProcessModel, State, Variable

    return {"ProcessModel": ProcessModel, "Variable": Variable, "State": State, "Parameter": Parameter}


def head() -> dict[str, Any]:
    """Give two variables at three sites of 40 days, and a small network."""
    import torch

    from thalweg.models.heads import make_head
    from thalweg.models.networks.lstm import SequenceNetwork

    generator = torch.Generator().manual_seed(1)
    rain, area = torch.rand(40, 3, 2, generator=generator), torch.rand(3, 4, generator=generator)
    return {
        "make_head": make_head,
        "SequenceNetwork": SequenceNetwork,
        "generator": generator,
        "deviation": 2.0,
        **{"variables": 2, "attributes": 4, "hidden": 5, "dropout": 0.1, "warmup": 10},
        "inputs": SimpleNamespace(sequence=rain, attributes=area),
        "observed": torch.rand(30, 3, generator=generator),
        "raw": torch.rand(30, 3, make_head("cmal", components=3).outputs, generator=generator),
    }


def conformal() -> dict[str, Any]:
    """Give two years at eight sites: what was observed and what a wrong model predicted."""
    import numpy as np
    import pandas as pd
    import xarray as xr

    from thalweg.evaluation.uncertainty import conformal as module
    from thalweg.evaluation.uncertainty.coverage import coverage

    generator = np.random.default_rng(1)

    def series(start: str) -> tuple[xr.DataArray, xr.DataArray]:
        days = pd.date_range(start, periods=365)
        sites = [f"s{number}" for number in range(8)]
        observed = xr.DataArray(
            generator.gamma(1.0, 2.0, (8, 365)), {"site": sites, "time": days}, ("site", "time"), "discharge"
        )
        return observed, observed + generator.normal(0, 0.5, observed.shape)

    observed, predicted = series("2000-01-01")
    new_observed, new_prediction = series("2002-01-01")
    names = {name: getattr(module, name) for name in dir(module) if not name.startswith("_")}
    names["coverage"] = coverage
    region = xr.DataArray(["a"] * 4 + ["b"] * 4, {"site": observed["site"]}, ("site",), "region")
    given = {"observed": observed, "predicted": predicted, "region": region}
    return {**names, **given, "new_observed": new_observed, "new_prediction": new_prediction}


GIVENS = {
    ("engine.md", "class Bucket(ProcessModel):"): bucket,
    ("uncertainty.md", 'head = make_head("cmal", components=3, unit=deviation, floor=0.0)'): head,
    ("uncertainty.md", "errors = errors_around(observed, predicted)"): conformal,
}


def givens(page: str, text: str) -> dict[str, Any]:
    """Give the names that a block of a page takes for granted."""
    for (name, beginning), made in GIVENS.items():
        if name == page and text.startswith(beginning):
            return made()
    return {}
