"""The ledger of physics and network: shares with a known answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from thalweg.evaluation.interpretation.beside import beside
from thalweg.evaluation.interpretation.network_share import network_share
from thalweg.flows.twin import ATTRIBUTES, twin
from thalweg.models.calibrated import Calibrated
from thalweg.models.hybrids import Hybrid
from thalweg.models.inputs import Inputs
from thalweg.models.model import Model, Prediction
from thalweg.models.networks import Lstm
from thalweg.models.processes import find_process

SITES, DAYS = 40, 400


def weather(seed: int = 0) -> Inputs:
    generator = torch.Generator().manual_seed(seed)
    forcing = torch.rand(DAYS, SITES, generator=generator) * 10
    return Inputs(
        {"precipitation": forcing, "temperature": forcing, "potential_evapotranspiration": forcing / 3},
        torch.randn(DAYS, SITES, 2, generator=generator),
        torch.randn(SITES, 3, generator=generator),
        torch.arange(SITES),
    )


class Known(Model):
    """A flux that is a sum of weather, of what the network says of the site, and of the day."""

    def __init__(self, site: float, day: float) -> None:
        super().__init__()
        self.site, self.day = site, day

    def forward(self, inputs: Inputs, warmup: int, details: bool = False) -> Prediction:
        rain = inputs.forcing["precipitation"]
        rain = (rain - 5) / np.sqrt(100 / 12)
        told = self.site * inputs.attributes[:, 0] + self.day * inputs.sequence[:, :, 0]
        return Prediction((rain + told)[warmup:], fluxes={"rain": rain[warmup:]})


@pytest.mark.parametrize(("site", "day"), [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (2.0, 1.0)])
def test_the_share_of_a_sum_is_the_share_of_its_variance(site: float, day: float) -> None:
    found = network_share(Known(site, day), weather(), 30, torch.Generator().manual_seed(0), repeats=20)
    found = found.set_index(["told", "flux"])
    whole = 1 + site**2 + day**2
    assert found.loc[("elsewhere", "target"), "share"] == pytest.approx((site**2 + day**2) / whole, abs=0.12)
    assert found.loc[("elsewhere", "rain"), "share"] == 0.0
    if day:
        assert found.loc[("another time", "target"), "share"] == pytest.approx(day**2 / whole, abs=0.03)
    else:
        assert "another time" not in found.index.get_level_values("told")
    row = found.loc[("elsewhere", "target")]
    assert row["low"] <= row["share"] <= row["high"]


def test_a_network_alone_decides_everything() -> None:
    torch.manual_seed(0)
    model = Lstm(2, 3, 8, 0.0, 1.0)
    found = network_share(model, weather(), 60, torch.Generator().manual_seed(0))
    assert found.loc[found["told"] == "elsewhere", "share"].iloc[0] == pytest.approx(1.0, abs=0.25)


def test_of_hybrids_and_calibrated_physics(as_inputs) -> None:
    store = twin(sites=12, years=1.5, seed=2)
    inputs = as_inputs(store)
    torch.manual_seed(1)
    process = find_process("hbv")
    static = Hybrid(process, len(ATTRIBUTES), 3, components=2, hidden=(8,))
    moving = Hybrid(process, len(ATTRIBUTES), 3, components=2, hidden=(8,), varying=("recharge_exponent",))
    calibrated = Calibrated(process, inputs.attributes)
    with torch.no_grad():
        calibrated.raw.normal_(generator=torch.Generator().manual_seed(0))
    for model, times in ((static, 1), (moving, 2), (calibrated, 1)):
        found = network_share(model, inputs, 365, torch.Generator().manual_seed(0), repeats=2)
        assert found["told"].nunique() == times
        assert set(found["flux"]) >= {"target", "evapotranspiration", "snowpack"}
        shares = found.loc[found["flux"] == "target", "share"]
        assert ((shares > 0) & (shares < 1.5)).all()
    with torch.no_grad():
        calibrated.raw.zero_()
    same = network_share(calibrated, inputs, 365, torch.Generator().manual_seed(0), repeats=1)
    assert (same["share"].fillna(0) == 0).all(), "one set of parameters for all sites decides nothing"


def test_one_site_has_nobody_to_exchange_with() -> None:
    one = weather().select(slice(0, 1))
    with pytest.raises(ValueError, match="at least 2 sites"):
        network_share(Known(1, 0), one, 0, torch.Generator())


def test_two_sites_are_always_exchanged() -> None:
    two = weather().select(slice(0, 2))
    two = replace(two, attributes=torch.tensor([[1.0, 0, 0], [-1.0, 0, 0]]))
    found = network_share(Known(1000.0, 0.0), two, 0, torch.Generator().manual_seed(0))
    assert found["share"].iloc[0] == pytest.approx(2.0, rel=1e-3), (
        "all of the variance, with twice the distance"
    )


def metrics(kinds: dict[str, tuple[str, float]]) -> pd.DataFrame:
    rows = [
        {
            "experiment": "e",
            "split": "temporal",
            "model": model,
            "kind": kind,
            "site": f"s{site}",
            "nse": nse + site / 100,
        }
        for model, (kind, nse) in kinds.items()
        for site in range(20)
    ]
    return pd.DataFrame(rows)


def test_a_hybrid_beside_physics_and_network_alone() -> None:
    table = metrics({"h": ("hybrid", 0.7), "p": ("calibrated", 0.5), "n": ("lstm", 0.7), "c": ("floor", 0.1)})
    found = beside(table, samples=200).set_index("what")
    assert set(found.index) == {"physics alone", "network alone"}
    assert found.loc["physics alone", "difference"] == pytest.approx(0.2)
    assert found.loc["physics alone", "verdict"] == "a"
    assert found.loc["network alone", "verdict"] == "none"
    assert "no clear difference" in found.loc["network alone", "sentence"]
    assert beside(table[table["model"] == "c"]).empty
    assert beside(table.iloc[:0]).empty
