"""Is anything lost? Mass or energy that came in, less what went out and what is stored, over a record."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from thalweg.evaluation.moments import Array
from thalweg.models.process import ProcessModel
from thalweg.storage.errors import InputError

# Series are kept in single precision: each day's number is wrong by up to 6e-8 of itself, up or down.
ROUNDING = 1e-5


def residual(process: ProcessModel, fluxes: xr.Dataset, forcing: xr.Dataset) -> pd.DataFrame:
    """Give the residual of a process model's balance at every site, from the series that a run wrote.

    From the end of the first day to the end of the last one: inflow - outflow - change of what is stored.

    Parameters
    ----------
    fluxes : its fluxes and states ``(site, time)``.
    forcing : what it was given, of the same sites and days; what is no flux of it is looked up here.

    Returns
    -------
    Table by site: ``balance`` (``mass`` or ``energy``), ``inflow``, ``outflow``, ``change`` and ``residual``
    over the record, in ``units``; ``share`` of what was turned over (half of all that came, went and was
    stored or taken out); ``closed``: whether that is no more than rounding can make.

    Raises
    ------
    InputError
        When the process declares no balance, or a series of it is missing.
    """
    balance = process.balance
    if balance is None:
        raise InputError(f"{type(process).__name__} declares no balance")
    there = {**{str(name): forcing[name] for name in forcing}, **{str(name): fluxes[name] for name in fluxes}}
    missing = [n for n in (*balance.inflow, *balance.outflow, *balance.stored) if n not in there]
    if missing:
        raise InputError(f"the balance of {type(process).__name__} needs {', '.join(missing)}")

    def series(name: str) -> Array:
        values: Array = there[name].transpose("site", "time").values.astype(np.float64)
        return values

    sites = [str(site) for site in fluxes["site"].values]
    inflow, outflow, change, turned = (np.zeros(len(sites)) for _ in range(4))
    for names, total in ((balance.inflow, inflow), (balance.outflow, outflow)):
        for name in names:
            daily = series(name)[:, 1:]
            total += daily.sum(axis=1)
            turned += np.abs(daily).sum(axis=1) / 2.0
    for name in balance.stored:
        stored = series(name)
        change += stored[:, -1] - stored[:, 0]
        turned += np.abs(stored[:, -1] - stored[:, 0]) / 2.0
    left = inflow - outflow - change
    share = np.abs(left) / np.maximum(turned, 1e-12)
    units = {item.name: item.units for item in process.states}[balance.stored[0]]
    return pd.DataFrame(
        {
            "balance": "mass" if units == "mm" else "energy",
            "units": units,
            "inflow": inflow,
            "outflow": outflow,
            "change": change,
            "residual": left,
            "share": share,
            "closed": share <= ROUNDING,
        },
        index=pd.Index(sites, name="site"),
    )
