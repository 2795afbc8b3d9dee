"""Shared by the tests of evaluation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import xarray as xr

from thalweg.flows.twin import ATTRIBUTES
from thalweg.models.inputs import Inputs
from thalweg.models.process import names
from thalweg.models.processes import find_process


@pytest.fixture(scope="session")
def as_inputs() -> Callable[[xr.Dataset], Inputs]:
    """What turns a twin's store into what models are given, scaled with all of it."""

    def make(store: xr.Dataset) -> Inputs:
        forcing = {
            name: torch.from_numpy(store[name].values.T.copy())
            for name in names(find_process("hbv").forcings)
        }
        sequence = torch.stack(list(forcing.values()), -1)
        sequence = (sequence - sequence.mean((0, 1))) / sequence.std((0, 1))
        values = torch.from_numpy(np.stack([store[name].values for name in ATTRIBUTES], 1))
        values = (values - values.mean(0)) / values.std(0)
        return Inputs(forcing, sequence, values, torch.arange(store.sizes["site"]))

    return make
