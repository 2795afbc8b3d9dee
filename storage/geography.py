"""Distances between sites on the sphere, and blocks of land."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from thalweg.storage.errors import InputError
from thalweg.storage.parts import Fold
from thalweg.storage.sites import site_rows

EARTH_RADIUS = 6371.0088  # km, mean radius (IUGG)

Values = NDArray[np.float64]


def positions(dataset: xr.Dataset, sites: Sequence[str]) -> Values:
    """Return latitude and longitude of sites (degrees), shape ``(site, 2)``.

    Raises
    ------
    InputError
        For a site that is not there or whose place is unknown.
    """
    missing = [name for name in ("latitude", "longitude") if name not in dataset.variables]
    if missing:
        raise InputError(f"the store has no {missing[0]}; sites cannot be told apart by distance")
    rows = site_rows(dataset, sites)
    found = np.stack([dataset[name].values[rows] for name in ("latitude", "longitude")], axis=1)
    unknown = np.flatnonzero(~np.isfinite(found).all(axis=1))
    if unknown.size:
        raise InputError(
            f"site {sites[unknown[0]]} and {unknown.size - 1} more have no latitude or longitude"
        )
    return found.astype(np.float64)


def nearest_km(places: Values, others: Values) -> Values:
    """Return the great-circle distance (km) from each place to the nearest of others, ``(place,)``.

    Parameters
    ----------
    places, others : array, shape (place, 2)
        Latitude and longitude (degrees).
    """
    chord, _ = cKDTree(_on_sphere(others)).query(_on_sphere(places))
    return np.asarray(2 * EARTH_RADIUS * np.arcsin(np.clip(chord / 2, 0.0, 1.0)))


def nearest_trained_km(dataset: xr.Dataset, fold: Fold) -> float | None:
    """Return how far a tested site is from the nearest trained one (km), the median over tested sites.

    None where the sites tested are those trained on, lie in another store, or have no place.
    """
    if fold.test.store is not None or set(fold.test.sites) <= set(fold.train.sites):
        return None
    try:
        tested, trained = (positions(dataset, part.sites) for part in (fold.test, fold.train))
    except InputError:
        return None
    return round(float(np.median(nearest_km(tested, trained))), 1)


def blocks(places: Values, side_km: float) -> NDArray[np.intp]:
    """Return the number of the block of land that each place lies in, ``(place,)``.

    The sphere is cut into bands of latitude, and each band into as many equal blocks as fit: all are nearly
    square, and nearly `side_km` wide and high, whatever the latitude. Numbers follow from south to north and
    from west to east.

    Parameters
    ----------
    places : array, shape (place, 2)
        Latitude and longitude (degrees).
    side_km : float
        Above 0.
    """
    bands = max(1, round(np.pi * EARTH_RADIUS / side_km))
    band = np.clip(((places[:, 0] + 90) / 180 * bands).astype(int), 0, bands - 1)
    middle = np.radians((np.arange(bands) + 0.5) / bands * 180 - 90)
    around = np.maximum(1, np.round(2 * np.pi * EARTH_RADIUS * np.cos(middle) / side_km)).astype(int)
    east = places[:, 1] % 360 % 360  # twice, since the rest of a tiny negative number is 360
    column = (east / 360 * around[band]).astype(int)
    first = np.concatenate([[0], np.cumsum(around)])
    return np.asarray(first[band] + np.minimum(column, around[band] - 1), dtype=np.intp)


def _on_sphere(places: Values) -> Values:
    """Return places as points on the unit sphere, ``(place, 3)``."""
    latitude, longitude = np.radians(places).T
    return np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], axis=1
    )
