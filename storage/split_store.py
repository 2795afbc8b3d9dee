"""Another data set: trained on one store, tested on the sites of another."""

from __future__ import annotations

import numpy as np
import xarray as xr

from thalweg.storage.errors import InputError
from thalweg.storage.geography import nearest_km, positions
from thalweg.storage.parts import Fold, Part
from thalweg.storage.split_keys import (
    Spec,
    choice_key,
    draw,
    name_of,
    period_key,
    share_key,
    sorted_sites,
)

SAME_PLACE_KM = 0.5  # two data sets give the same gauge coordinates that differ by rounding


def open_other(spec: Spec) -> xr.Dataset:
    """Open the store that a split tests.

    Raises
    ------
    InputError
        When the split names none or it is not there.
    """
    from thalweg.storage.store import open_store

    if not spec.get("store"):
        raise InputError(
            f"split {name_of(spec)}: key 'store' is missing; write store: PATH of the other store"
        )
    try:
        return open_store(str(spec["store"]), spec.get("version"))
    except InputError as error:
        raise InputError(f"split {name_of(spec)}: store: {error}") from error


def another_store(dataset: xr.Dataset, spec: Spec, seed: int, target: str | None) -> list[Fold]:
    """Train on all sites of this store and test on those of another, which must be other rivers."""
    del target
    other = open_other(spec)
    train_period, test_period = period_key(dataset, spec, "train"), period_key(other, spec, "test")
    training, tested = list(sorted_sites(dataset)), list(sorted_sites(other))
    same = _shared(dataset, training, other, tested)
    if same and choice_key(spec, "shared_sites", ("refuse", "drop")) == "refuse":
        raise InputError(
            f"split {name_of(spec)}: {len(same)} sites of {spec['store']} are also in this store, first "
            f"{min(same)} (the same name, or less than {SAME_PLACE_KM:g} km apart): write shared_sites: drop "
            "to test the others alone"
        )
    tested = [site for site in tested if site not in same]
    share = share_key(spec, "validate_share", 0.0, zero=True)
    validated = set(draw(training, max(1, round(share * len(training))), [seed])) if share else set()
    return [
        Fold(
            name_of(spec),
            "0",
            Part(tuple(site for site in training if site not in validated), *train_period),
            Part(
                tuple(tested),
                *test_period,
                store=str(spec["store"]),
                version=str(other.attrs.get("snapshot", "")),
            ),
            Part(tuple(sorted(validated)), *train_period) if validated else None,
        )
    ]


def _shared(dataset: xr.Dataset, sites: list[str], other: xr.Dataset, tested: list[str]) -> set[str]:
    """Return the sites of the other store that this one has too, by name or by place."""
    apart = nearest_km(positions(other, tested), positions(dataset, sites))
    near = {tested[place] for place in np.flatnonzero(apart < SAME_PLACE_KM)}
    return near | (set(tested) & set(sites))
