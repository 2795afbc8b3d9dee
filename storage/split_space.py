"""Spatial blocks: whole pieces of land are tested, and a buffer around them does not train."""

from __future__ import annotations

import numpy as np
import xarray as xr

from thalweg.storage.errors import InputError
from thalweg.storage.geography import blocks, nearest_km, positions
from thalweg.storage.parts import MINIMUM_SITES, Fold, Part
from thalweg.storage.split_keys import (
    Spec,
    count_key,
    name_of,
    number_key,
    period_key,
    share_key,
    sorted_sites,
)

BLOCK_KM = 250.0  # about as far as daily flow of neighbouring basins is correlated (weather systems)
BUFFER_KM = 50.0


def spatial_blocks(dataset: xr.Dataset, spec: Spec, seed: int, target: str | None) -> list[Fold]:
    """Test blocks of land, drawn into folds; sites nearer to them than a buffer do not train.

    After Valavi et al. (2019), doi:10.1111/2041-210X.13107, and Roberts et al. (2017),
    doi:10.1111/ecog.02881. Blocks are taken in random order, each to the fold with the fewest sites so far.
    """
    del target
    sites = np.array(sorted_sites(dataset), dtype=object)
    count = count_key(spec, "folds", 5, least=2)
    side = number_key(spec, "block_km", BLOCK_KM, above=0)
    buffer = number_key(spec, "buffer_km", BUFFER_KM, above=0, reached=True)
    share = share_key(spec, "validate_share", 0.0, zero=True)
    train_period, test_period = period_key(dataset, spec, "train"), period_key(dataset, spec, "test")
    places = positions(dataset, list(sites))
    block = blocks(places, side)
    fold_of = _assign(block, count, spec, seed)
    folds = []
    for number in range(count):
        tested = fold_of == number
        free = ~tested & _beyond(places, tested, buffer)
        validated = _blocks_of(block, free, share, [seed, number]) if share else np.zeros_like(free)
        trained = free & ~validated & _beyond(places, validated, buffer)
        if trained.sum() < MINIMUM_SITES:
            raise InputError(
                f"split {name_of(spec)}, fold {number}: {int(trained.sum())} sites are left to train on: of "
                f"{len(sites)}, {int(tested.sum())} are tested and the others lie within {buffer:g} km of a "
                "tested or validated one; a smaller buffer_km or block_km is needed"
            )
        train, test, validate = (tuple(sites[each]) for each in (trained, tested, validated))
        folds.append(
            Fold(
                name_of(spec),
                str(number),
                Part(train, *train_period),
                Part(test, *test_period),
                Part(validate, *train_period) if validate else None,
            )
        )
    return folds


def _assign(block: np.ndarray, count: int, spec: Spec, seed: int) -> np.ndarray:
    """Return the fold of each site."""
    numbers, sizes = np.unique(block, return_counts=True)
    if len(numbers) < count:
        raise InputError(
            f"split {name_of(spec)}: all {len(block)} sites lie in {len(numbers)} blocks; {count} folds "
            "need as many: a smaller block_km or fewer folds are needed"
        )
    held, fold = np.zeros(count, dtype=int), {}
    for place in np.random.default_rng(seed).permutation(len(numbers)):
        fold[numbers[place]] = int(held.argmin())
        held[held.argmin()] += sizes[place]
    return np.array([fold[each] for each in block])


def _beyond(places: np.ndarray, held_out: np.ndarray, buffer: float) -> np.ndarray:
    """Tell which sites are farther than the buffer from every site held out."""
    if not held_out.any():
        return np.ones(len(places), dtype=bool)
    return np.asarray(nearest_km(places, places[held_out]) > buffer)


def _blocks_of(block: np.ndarray, free: np.ndarray, share: float, seed: list[int]) -> np.ndarray:
    """Draw whole blocks until they hold a share of the free sites."""
    chosen = np.zeros_like(free)
    numbers = np.unique(block[free])
    for place in np.random.default_rng(seed).permutation(len(numbers)):
        if chosen.sum() >= share * free.sum():
            break
        chosen |= free & (block == numbers[place])
    return chosen
