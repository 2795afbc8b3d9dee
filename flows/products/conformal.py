"""Conformal intervals of a run: calibrated on its validation part, put around its test predictions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from thalweg.evaluation.uncertainty.conformal import (
    errors_around,
    errors_beyond,
    interval_around,
    interval_beyond,
    margin,
)
from thalweg.evaluation.uncertainty.coverage import coverage
from thalweg.evaluation.uncertainty.probabilistic import central_interval, forecast_deviation
from thalweg.flows.head_spec import Conformal
from thalweg.flows.products.run_data import RunData
from thalweg.flows.products.scores import Tables
from thalweg.storage.errors import InputError
from thalweg.storage.results import Run

SMALLEST_SCALE = 1e-6  # mm/day: members may all be the same


def conformal(run: Run, data: RunData) -> Tables:
    """Give the intervals of the test part, and the share of days that they hold, for groups of sites.

    The groups are all sites, told by whether they were trained on, and each region. Beside the conformal
    interval stands the model's own, where it has one.
    """
    if data.floor:
        return {}
    settings: Conformal = data.spec.conformal  # type: ignore[union-attr]
    if data.validated is None:
        if settings == Conformal():
            return {}
        raise InputError(f"{run.id}: has no validation part that its conformal intervals could learn from")
    pooling = settings.pooling or _exchangeable(data)
    if pooling == "each_site" and set(data.validated["site"].values) != set(data.predictions["site"].values):
        raise InputError(
            f"{run.id}: conformal.pooling each_site needs the tested sites in the validation part, which has "
            "others: choose days or new_site"
        )
    own = None if data.forecast is None else central_interval(data.forecast, settings.level)
    method = settings.method or ("split" if own is None else "cqr")
    interval, reach = _interval(data, settings.level, method, pooling, own)
    observed = data.predictions["observed"]
    tables = [_coverage(data, interval, settings.level, "conformal")]
    if own is not None:
        tables.append(_coverage(data, own, settings.level, "model"))
    table = pd.concat(tables, ignore_index=True).assign(
        method=method,
        pooling=pooling,
        calibration_sites=int(data.validated["observed"].notnull().any("time").sum()),
        calibration_days=int(data.validated["observed"].notnull().sum()),
        margin=float(np.median(reach)),
    )
    interval = interval.assign_coords({n: c for n, c in observed.coords.items() if c.dims == ("site",)})
    settled = {"level": settings.level, "method": method, "pooling": pooling}
    return {"conformal": table, "intervals": interval.assign_attrs(settled)}


def _exchangeable(data: RunData) -> str:
    """Give what the calibration part is a sample of: new sites where it holds none that was trained on."""
    validated = data.cell.fold.validate
    trained = set(data.cell.fold.train.sites)
    unknown = validated is not None and not set(validated.sites) & trained
    return "new_site" if unknown and not data.gauged else "days"


def _interval(
    data: RunData, level: float, method: str, pooling: str, own: xr.Dataset | None
) -> tuple[xr.Dataset, xr.DataArray]:
    """Give the interval of the test part and the margin that it was given."""
    assert data.validated is not None
    floor = 0.0 if data.experiment.data.target == "discharge" else None
    observed, predicted = data.validated["observed"], data.validated["simulated"]
    simulated = data.predictions["simulated"]
    if method == "cqr":
        before = None
        if data.validated_forecast is not None:
            before = central_interval(data.validated_forecast, level)
        if own is None or before is None:
            raise InputError(
                f"{data.run.id}: conformal.method cqr needs an interval of {level:.0%}, which its members or "
                "quantiles do not reach: choose split or scaled, or a lower level"
            )
        reach = _margin(errors_beyond(observed, before["lower"], before["upper"], floor), level, pooling)
        return interval_beyond(own["lower"], own["upper"], reach, floor), reach
    if method == "split":
        reach = _margin(errors_around(observed, predicted), level, pooling)
        return interval_around(simulated, reach, floor=floor), reach
    scales = [
        None if forecast is None else forecast_deviation(forecast)
        for forecast in (data.validated_forecast, data.forecast)
    ]
    if scales[0] is None or scales[1] is None:
        raise InputError(f"{data.run.id}: conformal.method scaled needs a spread, which it has not")
    calibrated, tested = (scale.clip(min=SMALLEST_SCALE) for scale in scales if scale is not None)
    reach = _margin(errors_around(observed, predicted, calibrated), level, pooling)
    return interval_around(simulated, reach, tested, floor), reach


def _margin(errors: xr.DataArray, level: float, pooling: str) -> xr.DataArray:
    return margin(errors, level, pooling)  # type: ignore[arg-type]


def _coverage(data: RunData, interval: xr.Dataset, level: float, whose: str) -> pd.DataFrame:
    """Give the coverage of all sites, gauged or ungauged as they are, and of each region."""
    observed = data.predictions["observed"]
    gauge = "gauged" if data.gauged else "ungauged"
    together = xr.DataArray(np.full(observed.sizes["site"], gauge, dtype=object), dims="site")
    tables = [coverage(observed, interval, together, level=level).assign(by="gauge")]
    if "region" in observed.coords:
        tables.append(coverage(observed, interval, observed["region"], level=level).assign(by="region"))
    return pd.concat(tables, ignore_index=True).assign(interval=whose)
