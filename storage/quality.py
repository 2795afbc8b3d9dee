"""Quality checks: what is suspicious in a dataset, by site and day. Nothing is ever changed.

Severities: ``error`` for what a person should look at before any result is believed, ``warning`` for what
is probably wrong, ``info`` for what is worth knowing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from thalweg.storage.variables import VARIABLES

SEVERITIES = ("error", "warning", "info")
COLUMNS = ("severity", "check", "site", "variable", "first_day", "count", "message")

# Days of one value after which a sensor or an estimate is suspected. Frozen rivers and dry spells are
# real, hence the long limit for discharge, and none for zero rain or zero flow.
FLAT_DAYS = {"discharge": 30, "precipitation": 10}
FLAT_DAYS_OTHER = 10
NOT_FLAT = ("potential_evapotranspiration", "day_length")
AREA_TOLERANCE = 0.10  # share; larger differences bias the water balance visibly
AREA_REFERENCES = ("area_gages2", "area_geospa_fabric")


class Finding(NamedTuple):
    """One site and variable that a check did not like."""

    severity: str
    check: str
    site: str
    variable: str
    first_day: np.datetime64
    days: int
    message: str


NO_DAY = np.datetime64("NaT", "ns")
Check = Callable[[xr.Dataset], Iterator[Finding]]


def check_quality(dataset: xr.Dataset) -> pd.DataFrame:
    """Run all checks.

    Parameters
    ----------
    dataset : xarray.Dataset
        Dims ``(site, time)``, as :func:`thalweg.storage.conform.conform` gives it.

    Returns
    -------
    pandas.DataFrame
        Columns ``severity, check, site, variable, first_day, count, message``; errors first. `count` is a
        number of days for variables over time, and 1 for static attributes.
    """
    findings = [finding for check in CHECKS.values() for finding in check(dataset)]
    order = {severity: rank for rank, severity in enumerate(SEVERITIES)}
    findings.sort(
        key=lambda finding: (order[finding.severity], finding.check, finding.variable, finding.site)
    )
    columns = list(zip(*findings, strict=True)) or [()] * len(COLUMNS)
    report = pd.DataFrame({name: list(column) for name, column in zip(COLUMNS, columns, strict=True)})
    text = ["severity", "check", "site", "variable", "message"]
    report[text] = report[text].astype(object)
    report["first_day"] = report["first_day"].astype("datetime64[ns]")
    report["count"] = report["count"].astype("int64")
    return report


def _series(dataset: xr.Dataset) -> Iterator[tuple[str, xr.DataArray]]:
    for name, values in dataset.data_vars.items():
        if values.dims == ("site", "time"):
            yield str(name), values


def _marked(
    marks: NDArray[np.bool_], dataset: xr.Dataset, severity: str, check: str, variable: str, message: str
) -> Iterator[Finding]:
    """Yield a finding for every site with a marked day; `marks` has shape (site, time).

    `message` may use ``{count}`` and ``{day}``.
    """
    counts = marks.sum(axis=1)
    days = dataset["time"].values
    for row in np.flatnonzero(counts):
        count, first = int(counts[row]), days[int(np.argmax(marks[row]))]
        text = message.format(count=count, day=str(first)[:10])
        yield Finding(severity, check, str(dataset["site"].values[row]), variable, first, count, text)


def missing(dataset: xr.Dataset) -> Iterator[Finding]:
    """Find days without a value: an error for forcings, worth knowing for targets."""
    for name, values in _series(dataset):
        marks = ~np.isfinite(values.values)
        if values.attrs.get("role") == "target":
            marks[marks.all(axis=1)] = False  # reported by no_target
            text = f"{name} is missing on {{count}} days, first {{day}}"
            yield from _marked(marks, dataset, "info", "missing", name, text)
        else:
            text = f"forcing {name} is missing on {{count}} days, first {{day}}; no simulation can pass them"
            yield from _marked(marks, dataset, "error", "missing", name, text)


def no_target(dataset: xr.Dataset) -> Iterator[Finding]:
    """Find sites whose target was never observed."""
    for name, values in _series(dataset):
        if values.attrs.get("role") == "target":
            never = ~np.isfinite(values.values).any(axis=1)
            for site in dataset["site"].values[never]:
                text = f"{name} is missing on every day; the site can be simulated but neither train nor test"
                yield Finding("error", "no_target", str(site), name, NO_DAY, values.sizes["time"], text)


def negative(dataset: xr.Dataset) -> Iterator[Finding]:
    """Find negative values of what cannot be negative."""
    for name, values in _series(dataset):
        if name in VARIABLES and VARIABLES[name].minimum == 0.0:
            text = f"{name} is negative on {{count}} days, first {{day}}; kept as it is"
            yield from _marked(values.values < 0.0, dataset, "error", "negative", name, text)


def out_of_range(dataset: xr.Dataset) -> Iterator[Finding]:
    """Find values that no basin on Earth has."""
    for name, values in _series(dataset):
        if name not in VARIABLES:
            continue
        variable, data = VARIABLES[name], values.values
        marks = (data > variable.maximum) | np.isinf(data)
        if variable.minimum != 0.0:
            marks |= data < variable.minimum
        text = (
            f"{name} is outside {variable.minimum:g}..{variable.maximum:g} {variable.units} on {{count}} "
            "days, first {day}; kept as it is"
        )
        yield from _marked(marks, dataset, "error", "out_of_range", name, text)


def extremes_swapped(dataset: xr.Dataset) -> Iterator[Finding]:
    """Find days whose minimum temperature is above the maximum."""
    if {"temperature_min", "temperature_max"} <= set(dataset.data_vars):
        marks = dataset["temperature_min"].values > dataset["temperature_max"].values
        text = "minimum temperature is above the maximum on {count} days, first {day}"
        yield from _marked(marks, dataset, "warning", "extremes_swapped", "temperature_min", text)


def flat(dataset: xr.Dataset) -> Iterator[Finding]:
    """Find long runs of one value, other than zero."""
    for name, values in _series(dataset):
        if name in NOT_FLAT or name not in VARIABLES:
            continue
        limit = FLAT_DAYS.get(name, FLAT_DAYS_OTHER)
        data = values.values
        if data.shape[1] < limit:
            continue
        same = np.zeros(data.shape, dtype=bool)
        same[:, 1:] = (data[:, 1:] == data[:, :-1]) & (data[:, 1:] != 0.0)
        position = np.arange(data.shape[1], dtype=np.int32)
        start = np.maximum.accumulate(np.where(same, np.int32(0), position), axis=1)
        # The limit's last day of a run marks it; shifted back to where the run began.
        reached = same & (position - start + 1 == limit)
        begun = np.zeros_like(reached)
        begun[:, : data.shape[1] - limit + 1] = reached[:, limit - 1 :]
        text = f"{name} keeps one value for {limit} days or more, {{count}} times, first from {{day}}"
        yield from _marked(begun, dataset, "info" if name == "discharge" else "warning", "flat", name, text)


def water_balance(dataset: xr.Dataset) -> Iterator[Finding]:
    """Find sites whose mean discharge is above mean precipitation: a wrong unit or area, or poor forcing."""
    if not {"precipitation", "discharge"} <= set(dataset.data_vars):
        return
    rain = dataset["precipitation"].values
    flow = dataset["discharge"].values
    both = np.isfinite(rain) & np.isfinite(flow)
    days = both.sum(axis=1)
    mean_rain = np.where(both, rain, 0.0).sum(axis=1, dtype=np.float64) / np.maximum(days, 1)
    mean_flow = np.where(both, flow, 0.0).sum(axis=1, dtype=np.float64) / np.maximum(days, 1)
    for row in np.flatnonzero(mean_flow > mean_rain):
        text = (
            f"mean discharge {mean_flow[row]:.2f} mm/day is above mean precipitation {mean_rain[row]:.2f}; "
            "look at units, area and forcing"
        )
        first = dataset["time"].values[int(np.argmax(both[row]))]
        site = str(dataset["site"].values[row])
        yield Finding("warning", "water_balance", site, "discharge", first, int(days[row]), text)


def attribute_missing(dataset: xr.Dataset) -> Iterator[Finding]:
    """Find static attributes that a site lacks."""
    for name, values in dataset.data_vars.items():
        if values.dims == ("site",) and values.dtype.kind == "f":
            for site in values["site"].values[~np.isfinite(values.values)]:
                text = f"attribute {name} is missing"
                yield Finding("warning", "attribute_missing", str(site), str(name), NO_DAY, 1, text)


def area_mismatch(dataset: xr.Dataset) -> Iterator[Finding]:
    """Find sites whose area differs between sources by more than a tenth."""
    if "area" not in dataset:
        return
    area = dataset["area"].values.astype(np.float64)
    for reference in AREA_REFERENCES:
        if reference in dataset:
            other = dataset[reference].values.astype(np.float64)
            with np.errstate(divide="ignore", invalid="ignore"):
                difference = area / other - 1.0
            for row in np.flatnonzero(np.abs(difference) > AREA_TOLERANCE):
                text = (
                    f"area {area[row]:.1f} km2 differs by {difference[row]:+.0%} from {reference}, "
                    f"{other[row]:.1f} km2"
                )
                site = str(dataset["site"].values[row])
                yield Finding("warning", "area_mismatch", site, "area", NO_DAY, 1, text)


CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (
        missing,
        no_target,
        negative,
        out_of_range,
        extremes_swapped,
        flat,
        water_balance,
        attribute_missing,
        area_mismatch,
    )
}
