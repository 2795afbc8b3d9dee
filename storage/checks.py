"""The quality checks: each finds one thing that is suspicious, by site, variable and day.

A check takes a dataset over ``(site, time)`` with the whole record of its sites, and yields findings. It
changes nothing. Severities: ``error`` for what a person should look at before any result is believed,
``warning`` for what is probably wrong, ``info`` for what is worth knowing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from thalweg.storage.sources.problems import problems_of
from thalweg.storage.variables import VARIABLES

# Days of one value after which a sensor or an estimate is suspected. Frozen rivers and dry spells are
# real, hence the long limit for discharge, and none for zero rain or zero flow.
FLAT_DAYS = {"discharge": 30, "precipitation": 10}
FLAT_DAYS_OTHER = 10
NOT_FLAT = ("potential_evapotranspiration", "day_length")
# Mean discharge over mean precipitation: snow and deep groundwater explain a little above 1, nothing 3.
UNIT_RATIO = 3.0
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
PROBLEM_SEVERITY = {
    "unreadable": "error",
    "duplicates": "error",
    "unsorted": "warning",
    "unfinished": "warning",
}
Check = Callable[[xr.Dataset], Iterator[Finding]]


def _series(dataset: xr.Dataset) -> Iterator[tuple[str, NDArray[Any], str]]:
    """Yield name, values and role of the variables over time."""
    for name, variable in dataset.variables.items():
        if variable.dims == ("site", "time"):
            yield str(name), variable.values, str(variable.attrs.get("role", ""))


def _marked(
    marks: NDArray[np.bool_], dataset: xr.Dataset, severity: str, check: str, variable: str, message: str
) -> Iterator[Finding]:
    """Yield a finding for every site with a marked day; `marks` has shape (site, time).

    `message` may use ``{count}`` and ``{day}``.
    """
    for row in np.flatnonzero(marks.any(axis=1)):
        count = int(np.count_nonzero(marks[row]))
        first = dataset["time"].values[int(np.argmax(marks[row]))]
        text = message.format(count=count, day=str(first)[:10])
        yield Finding(severity, check, str(dataset["site"].values[row]), variable, first, count, text)


def _noted(dataset: xr.Dataset, check: str) -> Iterator[Finding]:
    """Yield what a source noted while it read."""
    for each in problems_of(dataset):
        if each.check == check:
            day = np.datetime64(each.first_day or "NaT", "ns")
            severity = PROBLEM_SEVERITY[check]
            yield Finding(severity, check, each.site, each.variable, day, each.count, each.message)


def unreadable(dataset: xr.Dataset) -> Iterator[Finding]:
    """Find sites whose file could not be read."""
    yield from _noted(dataset, "unreadable")


def duplicates(dataset: xr.Dataset) -> Iterator[Finding]:
    """Find days that a source gives twice."""
    yield from _noted(dataset, "duplicates")


def unsorted(dataset: xr.Dataset) -> Iterator[Finding]:
    """Find rows of a source that are not in order of time."""
    yield from _noted(dataset, "unsorted")


def unfinished(dataset: xr.Dataset) -> Iterator[Finding]:
    """Find tables whose last line has no end, as of a copy that was interrupted."""
    yield from _noted(dataset, "unfinished")


def missing(dataset: xr.Dataset) -> Iterator[Finding]:
    """Find days without a value (gaps): an error for forcings, worth knowing for targets."""
    for name, values, role in _series(dataset):
        marks = np.isnan(values)
        marks[marks.all(axis=1)] = False  # reported by no_target and no_forcing
        if role == "target":
            text = f"{name} is missing on {{count}} days, first {{day}}"
            yield from _marked(marks, dataset, "info", "missing", name, text)
        else:
            text = f"forcing {name} is missing on {{count}} days, first {{day}}; no simulation can pass them"
            yield from _marked(marks, dataset, "error", "missing", name, text)


def _never(dataset: xr.Dataset, target: bool) -> Iterator[tuple[str, str, int]]:
    for name, values, role in _series(dataset):
        if (role == "target") == target:
            for site in dataset["site"].values[np.isnan(values).all(axis=1)]:
                yield name, str(site), values.shape[1]


def no_target(dataset: xr.Dataset) -> Iterator[Finding]:
    """Find sites whose target was never observed."""
    for name, site, days in _never(dataset, target=True):
        text = f"{name} is missing on every day; the site can be simulated but neither train nor test"
        yield Finding("error", "no_target", site, name, NO_DAY, days, text)


def no_forcing(dataset: xr.Dataset) -> Iterator[Finding]:
    """Find sites that lack a forcing on every day."""
    for name, site, days in _never(dataset, target=False):
        text = f"forcing {name} is missing on every day; the site cannot be simulated"
        yield Finding("error", "no_forcing", site, name, NO_DAY, days, text)


def negative(dataset: xr.Dataset) -> Iterator[Finding]:
    """Find negative values of what cannot be negative."""
    for name, values, _ in _series(dataset):
        if name in VARIABLES and VARIABLES[name].minimum == 0.0:
            text = f"{name} is negative on {{count}} days, first {{day}}; kept as it is"
            yield from _marked(values < 0.0, dataset, "error", "negative", name, text)


def out_of_range(dataset: xr.Dataset) -> Iterator[Finding]:
    """Find values that no basin on Earth has."""
    for name, values, _ in _series(dataset):
        if name not in VARIABLES:
            marks = np.isinf(values)
            yield from _marked(
                marks, dataset, "error", "out_of_range", name, f"{name} is infinite on {{count}} days"
            )
            continue
        variable = VARIABLES[name]
        marks = values > variable.maximum
        marks |= (values < variable.minimum) if variable.minimum != 0.0 else (values == -np.inf)
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
    for name, values, _ in _series(dataset):
        limit = FLAT_DAYS.get(name, FLAT_DAYS_OTHER)
        if name in NOT_FLAT or name not in VARIABLES or values.shape[1] < limit:
            continue
        text = f"{name} keeps one value for {limit} days or more, {{count}} times, first from {{day}}"
        severity = "info" if name == "discharge" else "warning"
        begun = np.zeros(values.shape, dtype=bool)
        for row in np.flatnonzero(_may_be_flat(values, limit)):
            begun[row] = _runs(values[row], limit)
        yield from _marked(begun, dataset, severity, "flat", name, text)


def _may_be_flat(values: NDArray[Any], limit: int) -> NDArray[np.bool_]:
    """Whether rows can hold a run of `limit` days: three days in a row of every third of it are equal."""
    some = values[:, :: (limit - 1) // 3]
    same = (some[:, 1:] == some[:, :-1]) & (some[:, 1:] != 0.0)
    result: NDArray[np.bool_] = (same[:, 1:] & same[:, :-1]).any(axis=1)
    return result


def _runs(values: NDArray[Any], limit: int) -> NDArray[np.bool_]:
    """Mark the first days of runs of at least `limit` equal values, other than zero; shape (time,)."""
    same = np.concatenate([[False], (values[1:] == values[:-1]) & (values[1:] != 0.0), [False]])
    edges = np.flatnonzero(same[1:] != same[:-1])  # where runs of equal neighbours begin and end
    begins, ends = edges[::2], edges[1::2]
    marks = np.zeros(values.shape, dtype=bool)
    marks[begins[ends - begins + 1 >= limit]] = True
    return marks


def water_balance(dataset: xr.Dataset) -> Iterator[Finding]:
    """Find sites whose mean discharge is above mean precipitation: a wrong unit or area, or poor forcing."""
    if not {"precipitation", "discharge"} <= set(dataset.data_vars):
        return
    rain, flow = dataset["precipitation"].values, dataset["discharge"].values
    both = np.isfinite(rain) & np.isfinite(flow)
    days = np.count_nonzero(both, axis=1)
    mean_rain = np.sum(rain, axis=1, where=both, dtype=np.float64) / np.maximum(days, 1)
    mean_flow = np.sum(flow, axis=1, where=both, dtype=np.float64) / np.maximum(days, 1)
    for row in np.flatnonzero(mean_flow > mean_rain):
        far = mean_flow[row] > UNIT_RATIO * mean_rain[row]
        text = (
            f"mean discharge {mean_flow[row]:.2f} mm/day is above mean precipitation {mean_rain[row]:.2f}; "
            "look at units, area and forcing"
        )
        first = dataset["time"].values[int(np.argmax(both[row]))]
        site = str(dataset["site"].values[row])
        severity = "error" if far else "warning"
        yield Finding(severity, "water_balance", site, "discharge", first, int(days[row]), text)


def attribute_missing(dataset: xr.Dataset) -> Iterator[Finding]:
    """Find static attributes that a site lacks."""
    for name, variable in dataset.variables.items():
        if name in dataset.data_vars and variable.dims == ("site",) and variable.dtype.kind == "f":
            for site in dataset["site"].values[~np.isfinite(variable.values)]:
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
        unreadable,
        duplicates,
        unsorted,
        unfinished,
        missing,
        no_target,
        no_forcing,
        negative,
        out_of_range,
        extremes_swapped,
        flat,
        water_balance,
        attribute_missing,
        area_mismatch,
    )
}
