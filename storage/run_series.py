"""Write what a run has of each site and day: predictions, forecasts, parameters and fluxes, as Zarr."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from zarr.codecs import BloscCodec

from thalweg.storage import atomic
from thalweg.storage.run_folder import FORMAT

# A chunk holds one site's series over about ten years, a shard some 500 sites: the dashboard reads
# one site from one small piece, and a run stays a handful of files.
CHUNK_SITES, CHUNK_DAYS, SHARD_CHUNKS = 8, 4096, (64, 4)


def write_predictions(folder: Path, predictions: xr.Dataset) -> None:
    """Write ``predictions.zarr``.

    Parameters
    ----------
    predictions : ``simulated`` and ``observed`` over ``(site, time)`` (mm/day), with the coordinates
        ``latitude``, ``longitude`` (degrees) and ``region`` over ``(site,)`` where known.
    """
    with written_by_sites(folder) as write:
        write("predictions", predictions)


def write_parameters(folder: Path, parameters: xr.Dataset) -> None:
    """Write ``parameters.zarr``.

    Parameters
    ----------
    parameters : static ones over ``(site, component)``; varying ones over ``(site, time)`` or over
        ``(site, time, component)``, of which the mean over components is stored. Units as attributes.
    """
    with written_by_sites(folder) as write:
        write("parameters", parameters)


def write_fluxes(folder: Path, fluxes: xr.Dataset) -> None:
    """Write ``fluxes.zarr``.

    Parameters
    ----------
    fluxes : fluxes (mm/day) and states (mm) over ``(site, time)`` or ``(site, time, component)``, of
        which the mean over components is stored. Units as attributes.
    """
    with written_by_sites(folder) as write:
        write("fluxes", fluxes)


@contextmanager
def written_by_sites(folder: Path) -> Iterator[Callable[[str, xr.Dataset], None]]:
    """Give what writes ``predictions``, ``parameters`` and the like, some sites after the other.

    All take their names at the end, when all went well.
    """
    parts: dict[str, Path] = {}
    with ExitStack() as stack, warnings.catch_warnings():
        # consolidated metadata are an extension of Zarr 3: xarray then opens many variables at once
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")

        def write(name: str, dataset: xr.Dataset) -> None:
            plain, encoding = _plain_dataset(_CONTENT[name](folder, dataset))
            if name in parts:
                plain.to_zarr(parts[name], append_dim="site", consolidated=True)
                return
            parts[name] = stack.enter_context(atomic.new_path(folder / f"{name}.zarr"))
            plain.to_zarr(parts[name], mode="w", zarr_format=3, consolidated=True, encoding=encoding)

        yield write


def _predictions(folder: Path, dataset: xr.Dataset) -> xr.Dataset:
    missing = {"simulated", "observed"} - set(dataset.data_vars)
    if missing:
        raise ValueError(f"{folder}: predictions lack {sorted(missing)}")
    named = dataset.copy()
    for name in ("simulated", "observed"):
        named[name] = named[name].assign_attrs({"units": "mm/day", **named[name].attrs})
    return named


def _parameters(folder: Path, dataset: xr.Dataset) -> xr.Dataset:
    return _component_mean(dataset, [name for name in dataset.data_vars if "time" in dataset[name].dims])


def _fluxes(folder: Path, dataset: xr.Dataset) -> xr.Dataset:
    return _component_mean(dataset, list(dataset.data_vars))


def _forecast(folder: Path, dataset: xr.Dataset) -> xr.Dataset:
    forecast_of(dataset)
    return dataset


_CONTENT = {
    "predictions": _predictions,
    "forecast": _forecast,
    "validated": _predictions,
    "validated_forecast": _forecast,
    "parameters": _parameters,
    "fluxes": _fluxes,
}


def forecast_of(dataset: xr.Dataset) -> xr.DataArray | xr.Dataset:
    """Give what ``forecast.zarr`` holds, as :mod:`thalweg.evaluation.uncertainty.probabilistic` takes it.

    One of: ``members`` over ``(member, site, time)``; ``quantiles`` over ``(quantile, site, time)``, their
    levels the coordinate ``quantile``; or the components of a mixture, ``location``, ``scale``, ``weight``
    and, where they are asymmetric Laplace, ``asymmetry``, over ``(component, site, time)``, with the
    attribute ``floor``. All mm/day but weight and asymmetry.

    Raises
    ------
    ValueError
        When it is none of these.
    """
    for name in ("members", "quantiles"):
        if name in dataset:
            return dataset[name]
    if {"location", "scale", "weight"} <= dataset.keys():
        return dataset
    raise ValueError(f"a forecast has members, quantiles or location, scale and weight, not {list(dataset)}")


def _component_mean(dataset: xr.Dataset, names: Sequence[Any]) -> xr.Dataset:
    means = {
        name: dataset[name].mean("component", keep_attrs=True)
        for name in names
        if "component" in dataset[name].dims
    }
    averaged = dataset.assign(means)
    unused = [
        dim for dim in averaged.dims if not any(dim in array.dims for array in averaged.data_vars.values())
    ]
    return averaged.drop_dims(unused)


def _plain_dataset(dataset: xr.Dataset) -> tuple[xr.Dataset, dict[Any, dict[str, Any]]]:
    """Give variables over site, and time or component, as float32, and how they are laid out in Zarr."""
    order = ("site", "time", "component", "member", "quantile")
    plain = dataset.transpose(*order, missing_dims="ignore").drop_encoding().load()
    encoding: dict[Any, dict[str, Any]] = {}
    for name, array in plain.variables.items():
        if array.dtype.kind in "UTO":
            plain[name] = plain[name].astype(object)
        elif name in plain.data_vars:
            plain[name] = plain[name].astype(np.float32)
            encoding[name] = _layout(array.sizes)
    if "time" in plain.coords:
        encoding["time"] = {"units": "days since 1970-01-01", "dtype": "int32"}
    plain.attrs = {**plain.attrs, "format": FORMAT}
    return plain, encoding


def _layout(sizes: Mapping[Any, int]) -> dict[str, Any]:
    chunks, shards = [], []
    for dim, size in sizes.items():
        chunk = min(size, {"site": CHUNK_SITES, "time": CHUNK_DAYS}.get(str(dim), size)) or 1
        most = {"site": SHARD_CHUNKS[0], "time": SHARD_CHUNKS[1]}.get(str(dim), 1)
        chunks.append(chunk)
        shards.append(chunk * min(most, max(1, math.ceil(size / chunk))))
    codec = BloscCodec(cname="lz4", shuffle="shuffle")
    return {"chunks": tuple(chunks), "shards": tuple(shards), "compressors": codec}
