"""Parts and folds: sites and days that train, validate and test."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import xarray as xr

from thalweg.storage.errors import InputError
from thalweg.storage.sites import neighbours, site_rows
from thalweg.storage.suggestions import refuse_unknown

MINIMUM_SITES = 2
MINIMUM_DAYS = 30  # fewer observed days at a site give it no score


@dataclass(frozen=True)
class Part:
    """Sites, and days from `start` to `end`, both included."""

    sites: tuple[str, ...]
    start: date
    end: date


@dataclass(frozen=True)
class Fold:
    """One way to divide a store: what trains, tests and, where asked for, validates."""

    split: str
    fold: str
    train: Part
    test: Part
    validate: Part | None


def observed_days(dataset: xr.Dataset, target: str | None = None) -> xr.DataArray | None:
    """Return which days are observed, dims ``(site, time)``: of `target`, or of any target of the store.

    None where the store has no target.
    """
    names = [str(name) for name, values in dataset.data_vars.items() if values.attrs.get("role") == "target"]
    if target is not None:
        refuse_unknown(
            [target], [str(name) for name, values in dataset.data_vars.items() if values.ndim == 2], "target"
        )
        names = [target]
    if not names:
        return None
    shape = (dataset.sizes["site"], dataset.sizes["time"])
    observed = np.zeros(shape, dtype=bool)
    for name in names:
        values = dataset[name].transpose("site", "time")
        for _, block in neighbours(
            np.arange(shape[0])
        ):  # read block by block: values take four times the room
            observed[block] |= np.isfinite(values[block].values)
    return xr.DataArray(observed, {dim: dataset[dim] for dim in ("site", "time")}, ("site", "time"))


def check_fold(dataset: xr.Dataset, fold: Fold, observed: xr.DataArray | None) -> None:
    """Refuse a fold with too few sites, or with a part in which no target is observed.

    Raises
    ------
    InputError
        Naming the split, the fold and the part.
    """
    for key in ("train", "test", "validate"):
        part: Part | None = getattr(fold, key)
        if part is None:
            continue
        where = f"split {fold.split}, fold {fold.fold}: {key} part"
        # One site can be split in time; to say anything of ungauged sites, several are needed.
        least = 1 if key == "validate" or fold.train.sites == fold.test.sites else MINIMUM_SITES
        if not part.sites:
            raise InputError(f"{where} is empty; it has no sites")
        if len(part.sites) < least:
            raise InputError(
                f"{where} has {len(part.sites)} site ({part.sites[0]}); at least {least} are needed"
            )
        if observed is not None:
            days = observed.isel(site=site_rows(dataset, part.sites)).sel(
                time=slice(str(part.start), str(part.end))
            )
            if not bool(days.any()):
                raise InputError(f"{where} has no observed target from {part.start} to {part.end}")
            most = int(days.sum("time").max())
            if most < MINIMUM_DAYS:
                raise InputError(
                    f"{where} has at most {most} observed days at a site from {part.start} to {part.end}; "
                    f"at least {MINIMUM_DAYS} are needed to score anything"
                )
