"""Scores of fields on a grid: area-weighted errors, anomaly correlation, and maps of bias.

Cells of a regular grid grow smaller towards the poles, so that every mean over space is weighted with area.
Sums are kept to twice the precision, as those of :mod:`thalweg.evaluation.moments`: tiles of the globe, or
parts of the record, may be added in any order.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from thalweg.evaluation.efficiency import ratio
from thalweg.evaluation.moments import Array, add_exactly, exact_sum
from thalweg.storage.errors import InputError

SPACE = ("latitude", "longitude")
# A spread below this share of the mean square is rounding: there is no anomaly to correlate.
SMALLEST_SPREAD = 1e-12
_CELLS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class GridSums:
    """What pairs of simulated and observed cells add up to; ``+`` joins parts of the dimensions summed over.

    Attributes
    ----------
    dims, coords : dimensions that are kept, and their coordinates.
    units : of the fields.
    high, low : sums of w, w e, w e², w |e|, w s, w o, w s², w o² and w s o, with the weight w, the error e
        = s - o, and anomalies s and o; ``(9, *dims)``: rounded, and what rounding left over.
    """

    dims: tuple[Hashable, ...]
    coords: dict[Hashable, xr.DataArray]
    units: str
    high: Array
    low: Array

    @classmethod
    def of(
        cls,
        simulated: xr.DataArray,
        observed: xr.DataArray,
        over: Iterable[str] = SPACE,
        *,
        climatology: xr.DataArray | None = None,
        weights: xr.DataArray | None = None,
    ) -> GridSums:
        """Add up cells.

        Parameters
        ----------
        simulated, observed : fields of the same dimensions and coordinates, such as ``(time, latitude,
            longitude)``. A cell that is NaN in ``observed`` is left out; NaN in ``simulated`` elsewhere
            makes the sum NaN.
        over : dimensions to add up: space for a score of each day, ``("time",)`` for a map, all for one
            number.
        climatology : field that anomalies are taken from, on the dimensions of the observations or fewer;
            absent, they are the values themselves.
        weights : of cells; absent, :func:`cell_areas` where latitude is added up, else equal ones.

        Raises
        ------
        InputError
            When fields differ in dimensions or coordinates, or a dimension is not there.
        """
        over = tuple(over)
        _check(simulated, observed, over)
        kept = tuple(dim for dim in observed.dims if dim not in over)
        if weights is None:
            weights = cell_areas(observed["latitude"]) if "latitude" in over else xr.DataArray(1.0)
        usual = xr.DataArray(0.0) if climatology is None else climatology
        for what, field in (("climatology", usual), ("weights", weights)):
            if not set(field.dims) <= set(observed.dims):
                raise InputError(
                    f"{what} has dimensions {field.dims}, beyond {observed.dims} of the observations"
                )
        shape = tuple(observed.sizes[dim] for dim in kept)
        high, low = np.zeros((2, 9, *shape))
        # one slice of the first kept dimension after the other, to bound memory
        rows = max(1, _CELLS_AT_ONCE * (shape[0] if kept else 1) // max(observed.size, 1))
        for first in range(0, shape[0] if kept else 1, rows):
            some = {kept[0]: slice(first, first + rows)} if kept else {}
            place = (slice(None), slice(first, first + rows)) if kept else (slice(None),)
            fields = [_cut(field, some) for field in (simulated, observed, usual, weights)]
            high[place], low[place] = _sums(fields, kept, over)
        coords = {name: c for name, c in observed.coords.items() if set(c.dims) <= set(kept)}
        return cls(kept, coords, str(observed.attrs.get("units", "")), high, low)

    def __add__(self, other: GridSums) -> GridSums:
        if self.dims != other.dims or self.high.shape != other.high.shape:
            raise InputError(
                f"sums over {self.high.shape[1:]} and {other.high.shape[1:]} cells do not add up"
            )
        high, low = add_exactly(self.high, self.low, other.high, other.low)
        return GridSums(self.dims, self.coords, self.units, high, low)

    def bias(self) -> xr.DataArray:
        """Give the mean error, simulated less observed, in the fields' units."""
        return self._named(self._mean(1), "bias", "mean error", self.units)

    def rmse(self) -> xr.DataArray:
        """Give the root mean squared error, in the fields' units."""
        return self._named(np.sqrt(self._mean(2)), "rmse", "root mean squared error", self.units)

    def mae(self) -> xr.DataArray:
        """Give the mean absolute error, in the fields' units."""
        return self._named(self._mean(3), "mae", "mean absolute error", self.units)

    def acc(self, *, centred: bool = False) -> xr.DataArray:
        """Give the anomaly correlation coefficient, in [-1, 1]; NaN where a field has no anomaly.

        ``Σ w s o / √(Σ w s² Σ w o²)`` of anomalies from the climatology; ``centred`` also takes their own
        means off, which makes it Pearson's correlation.

        Wilks (2019), section 9.5.4, eq. 9.98 and 9.97 (4th ed.); as in Rasp et al. (2024),
        10.1029/2023MS004019, where not centred.
        """
        s, o, squares = self._mean(4), self._mean(5), (self._mean(6), self._mean(7))
        product, variances = self._mean(8), list(squares)
        if centred:
            product, variances = product - s * o, [squares[0] - s * s, squares[1] - o * o]
        small = [v <= SMALLEST_SPREAD * np.abs(square) for v, square in zip(variances, squares, strict=True)]
        spread = np.sqrt(np.maximum(variances[0], 0.0)) * np.sqrt(np.maximum(variances[1], 0.0))
        values = np.clip(ratio(product, np.where(small[0] | small[1], 0.0, spread)), -1.0, 1.0)
        return self._named(values, "acc", "anomaly correlation coefficient", "1")

    def scores(self) -> xr.Dataset:
        """Give bias, RMSE, MAE and ACC together."""
        return xr.merge([self.bias(), self.rmse(), self.mae(), self.acc()], compat="override")

    def _mean(self, row: int) -> Array:
        return ratio(self.high[row], self.high[0])

    def _named(self, values: Array, name: str, long_name: str, units: str) -> xr.DataArray:
        attrs = {"long_name": long_name, "units": units}
        return xr.DataArray(values, self.coords, self.dims, name=name, attrs=attrs)


def bias_map(simulated: xr.DataArray, observed: xr.DataArray) -> xr.DataArray:
    """Give the mean error over time of each cell, ``(latitude, longitude)``, in the fields' units."""
    return GridSums.of(simulated, observed, ("time",)).bias()


def gridded_skill(
    simulated: xr.DataArray, observed: xr.DataArray, climatology: xr.DataArray | None = None
) -> xr.Dataset:
    """Score fields: over space at each time, over time in each cell, and over both.

    Parameters
    ----------
    simulated, observed, climatology : see :meth:`GridSums.of`, over ``(time, latitude, longitude)``.

    Returns
    -------
    Dataset with bias, RMSE, MAE and ACC of each time (``rmse_time`` and so on, area-weighted, ``(time,)``),
    of each cell (``rmse_map``, ``(latitude, longitude)``) and of all (``rmse``, no dimension).
    """
    result = xr.Dataset()
    for suffix, over in (("_time", SPACE), ("_map", ("time",)), ("", ("time", *SPACE))):
        scores = GridSums.of(simulated, observed, over, climatology=climatology).scores()
        result = result.assign({f"{name}{suffix}": values for name, values in scores.data_vars.items()})
    return result


def cell_areas(latitude: xr.DataArray) -> xr.DataArray:
    """Give the relative area of the cells of a regular grid, mean 1, on the latitudes' dimension.

    ``sin φ_upper - sin φ_lower``, with bounds midway between the centres and at most at the poles: cos φ,
    but that a cell at a pole has its share.

    Parameters
    ----------
    latitude : centres of cells (degrees north), rising or falling.
    """
    centres = latitude.values.astype(np.float64)
    steps = np.diff(centres)
    if centres.ndim != 1 or (np.abs(centres) > 90.0).any() or not ((steps > 0).all() or (steps < 0).all()):
        raise InputError(
            "latitude: centres of a regular grid between -90 and 90 degrees are needed, in order"
        )
    if centres.size == 1:
        return latitude.copy(data=np.ones(1)).rename("area")
    between = centres[:-1] + steps / 2.0
    ends = [centres[0] - steps[0] / 2.0, centres[-1] + steps[-1] / 2.0]
    bounds = np.clip(np.concatenate([ends[:1], between, ends[1:]]), -90.0, 90.0)
    area = np.abs(np.diff(np.sin(np.deg2rad(bounds))))
    return latitude.copy(data=area / area.mean()).rename("area")


def _check(simulated: xr.DataArray, observed: xr.DataArray, over: tuple[str, ...]) -> None:
    absent = [dim for dim in over if dim not in observed.dims]
    if absent or not over:
        raise InputError(f"over {list(over)}: the observations have dimensions {observed.dims}")
    if set(simulated.dims) != set(observed.dims):
        raise InputError(f"simulated has dimensions {simulated.dims} and observed {observed.dims}")
    try:
        xr.align(simulated, observed, join="exact")
    except ValueError as error:
        differ = [
            str(dim)
            for dim in observed.dims
            if simulated.sizes[dim] != observed.sizes[dim]
            or not simulated.get_index(dim).equals(observed.get_index(dim))
        ]
        raise InputError(
            f"simulated and observed differ along {', '.join(differ)}; align them first"
        ) from error


def _cut(field: xr.DataArray, some: dict[Hashable, slice]) -> xr.DataArray:
    return field.isel({dim: rows for dim, rows in some.items() if dim in field.dims})


def _sums(
    fields: list[xr.DataArray], kept: tuple[Hashable, ...], over: tuple[str, ...]
) -> tuple[Array, Array]:
    """Give the nine sums of a slice: high and low, ``(9, *kept)``."""
    observed = fields[1]
    sizes = [observed.sizes[dim] for dim in kept]
    s, o, usual, w = (
        field.broadcast_like(observed).transpose(*kept, *over).values.astype(np.float64).reshape(*sizes, -1)
        for field in fields
    )
    there = ~np.isnan(o)
    w = np.where(there, w, 0.0)
    s, o, usual = (np.where(there, values, 0.0) for values in (s, o, usual))
    error, s, o = s - o, s - usual, o - usual
    with np.errstate(invalid="ignore", over="ignore"):
        terms = (w, w * error, w * error**2, w * np.abs(error), w * s, w * o, w * s * s, w * o * o, w * s * o)
        sums = [exact_sum(values) for values in terms]
    return np.stack([high for high, _ in sums]), np.stack([low for _, low in sums])
