"""Scaling statistics, from the training part alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from thalweg.storage.attributes import require_attributes
from thalweg.storage.errors import InputError
from thalweg.storage.periods import check_period
from thalweg.storage.sites import site_rows
from thalweg.storage.splits import Part
from thalweg.storage.suggestions import refuse_unknown


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of variables, in the variables' units.

    Attributes
    ----------
    mean, deviation : mapping
        By name of forcing or attribute. A deviation is never zero.
    """

    mean: Mapping[str, float]
    deviation: Mapping[str, float]

    @property
    def hash(self) -> str:
        """SHA-256 of names and values, as 64 hexadecimal digits."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """Return all values as JSON text; :meth:`from_json` gives exactly the same back."""
        return json.dumps(
            {"mean": dict(self.mean), "deviation": dict(self.deviation)}, sort_keys=True, indent=1
        )

    @classmethod
    def from_json(cls, text: str) -> Statistics:
        """Return the statistics that :meth:`to_json` wrote."""
        try:
            content = json.loads(text)
            return cls(
                {str(name): float(value) for name, value in content["mean"].items()},
                {str(name): float(value) for name, value in content["deviation"].items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            raise InputError(f"statistics: not the JSON of means and deviations: {problem}") from problem

    def scale(self, values: NDArray[np.floating], names: Sequence[str]) -> NDArray[np.float32]:
        """Standardize values: subtract the mean and divide by the deviation.

        Parameters
        ----------
        values : array, shape (..., len(names)) (each in its variable's units)
        names : list of str
            What the last axis holds.

        Returns
        -------
        array, same shape (1)
        """
        refuse_unknown(names, self.mean, "variable in statistics")
        mean = np.array([self.mean[name] for name in names])
        deviation = np.array([self.deviation[name] for name in names])
        scaled: NDArray[np.float32] = ((values - mean) / deviation).astype(np.float32)
        return scaled


def fit_statistics(
    dataset: xr.Dataset, part: Part, variables: Iterable[str], attributes: Iterable[str]
) -> Statistics:
    """Fit means and standard deviations to the training part.

    Forcings count the part's sites and days, attributes the part's sites. Nothing else of the dataset
    is read, so that held-out sites and days cannot change a value or the hash.

    Parameters
    ----------
    dataset : xarray.Dataset
        A store, dims ``(site, time)``.
    part : Part
        The training part.
    variables : list of str
        Forcings.
    attributes : list of str
        Numeric static attributes.

    Returns
    -------
    Statistics
        In float64; the deviation is that of the population (ddof = 0), or 1 where it is zero.

    Raises
    ------
    InputError
        If a name or site is unknown, or there is no value.
    """
    variables, attributes = list(variables), list(attributes)
    known = [str(name) for name, values in dataset.data_vars.items() if values.ndim == 2]
    refuse_unknown(variables, known, "variable")
    require_attributes(dataset, attributes)
    check_period(dataset, part.start, part.end, "training period")
    # Sorted: sums of floating-point numbers depend on their order, and the hash must not.
    rows = site_rows(dataset, sorted(part.sites))
    period = slice(str(part.start), str(part.end))
    mean, deviation = {}, {}
    for name in [*variables, *attributes]:
        values = dataset[name]
        if "time" in values.dims:
            values = values.sel(time=period).transpose("site", "time")
        # The time slice is read as a whole: picking rows out of a sharded array is slower.
        mean[name], deviation[name] = _moments(values.values[rows], name)
    return Statistics(mean, deviation)


def _moments(values: NDArray[np.floating], name: str) -> tuple[float, float]:
    known = values[np.isfinite(values)].astype(np.float64)
    if known.size == 0:
        raise InputError(
            f"variable {name!r}: no value at the training sites and days; no statistics can be fitted"
        )
    mean, deviation = float(known.mean()), float(known.std())
    # Rounding leaves a tiny deviation where all values are equal.
    tiny = deviation <= 1e-7 * max(abs(mean), 1e-30)
    return mean, 1.0 if tiny else deviation
