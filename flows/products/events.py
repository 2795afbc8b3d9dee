"""What `thalweg evaluate` tells of floods as events: whether and how surely they were said to come."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import xarray as xr

from thalweg.evaluation.events import event_skill, exceedance
from thalweg.evaluation.uncertainty.calibration import VennAbers, adaptive_calibration_error
from thalweg.evaluation.uncertainty.event_probability import (
    ForecastCounts,
    probability_skill,
    reliability_curve,
)
from thalweg.evaluation.uncertainty.probabilistic import exceedance_probability
from thalweg.flows.products.run_data import RunData
from thalweg.flows.products.scores import Tables
from thalweg.storage.results import Run

HIGH = 0.95  # quantile of a site's observed flow, above which a day is an event
FEWEST_EVENTS = 30  # of the validation part, from which probabilities are calibrated


def events(run: Run, data: RunData) -> Tables:
    """Give the scores of floods: days with more than the 95 % quantile of the site's observed flow.

    Returns
    -------
    ``events``: a row a site: ``threshold`` (mm/day, of the tested days: it says what a flood is there, and is
    told to no model), the scores of ``EVENT_METRICS`` of the simulation and, of a model with a distribution,
    those of ``PROBABILITY_METRICS``.
    ``event_reliability``, of a model with a distribution: how often floods came by their forecast
    probability, the ``model``'s own and ``calibrated`` on the validation part (column ``whose``), with the
    ``calibration_error`` of either.
    """
    if data.experiment.data.target != "discharge":
        return {}
    observed = data.predictions["observed"]
    limit = threshold(observed)
    event = exceedance(observed, limit)
    scores = event_skill(exceedance(data.predictions["simulated"], limit), event)
    scores["threshold"] = limit
    if data.forecast is None:
        return {"events": _by_site(scores)}
    forecasts = {"model": exceedance_probability(data.forecast, limit)}
    scores = scores.assign(probability_skill(forecasts["model"], event).drop_vars("n_days").data_vars)
    calibration = _calibration(data, limit)
    if calibration is not None:
        forecasts["calibrated"] = calibration(forecasts["model"])
        scores["brier_calibrated"] = probability_skill(forecasts["calibrated"], event)["brier"]
    tables = [_reliability(forecast, event).assign(whose=whose) for whose, forecast in forecasts.items()]
    return {"events": _by_site(scores), "event_reliability": pd.concat(tables, ignore_index=True)}


def threshold(observed: xr.DataArray) -> xr.DataArray:
    """Give the flow above which a day is an event, ``(site,)`` (mm/day); NaN where nothing was observed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="All-NaN")
        values = np.nanquantile(observed.transpose("site", "time").values, HIGH, axis=1)
    return xr.DataArray(values, {"site": observed["site"].values}, ("site",), attrs={"units": "mm/day"})


def _calibration(data: RunData, limit: xr.DataArray) -> VennAbers | None:
    """Learn from the validation part how often floods came; None without one, or with too few floods."""
    if data.validated is None or data.validated_forecast is None:
        return None
    observed = data.validated["observed"]
    # at a site that is tested too a flood is the same flow, at others it is as rare
    own = threshold(observed)
    own = limit.reindex(site=own["site"]).fillna(own)
    event = exceedance(observed, own)
    if not FEWEST_EVENTS <= float(event.sum()) < float(event.count()):
        return None
    forecast = exceedance_probability(data.validated_forecast, own)
    return VennAbers.fit(forecast.transpose("site", "time").values, event.transpose("site", "time").values)


def _reliability(forecast: xr.DataArray, event: xr.DataArray) -> pd.DataFrame:
    p, y = (array.transpose("site", "time").values for array in (forecast, event))
    curve = reliability_curve(ForecastCounts.of(p, y))
    return curve.assign(calibration_error=adaptive_calibration_error(p, y))


def _by_site(scores: xr.Dataset) -> pd.DataFrame:
    plain = scores.drop_vars([name for name in scores.coords if name != "site"])
    table: pd.DataFrame = plain.to_dataframe().reset_index()
    return table
