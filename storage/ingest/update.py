"""What an ingest has to read: the source as it is now against what the store holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from thalweg.storage.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

    from thalweg.storage.sources.catalog import Catalog

Reason = Literal["new", "appended", "revised", "late"]
REASONS: tuple[Reason, ...] = ("new", "appended", "revised", "late")

SHORTER = "nothing was changed; put it back, or name another store to keep what is left"
NAMED = 3  # sites named in an error


@dataclass(frozen=True)
class Known:
    """What a store holds.

    Attributes
    ----------
    sites : tuple of str
        In the store's order, which is the order of arrival.
    first, last : date
        Of the time axis.
    stamps : mapping
        By site: what its data were read from.
    variables : tuple of str
        Over time.
    """

    sites: tuple[str, ...]
    first: date
    last: date
    stamps: Mapping[str, str]
    variables: tuple[str, ...] = ()


@dataclass(frozen=True)
class Change:
    """One site that is to be read, from day `first` to day `last`, both included."""

    site: str
    reason: Reason
    first: date
    last: date


def changes(
    catalog: Catalog,
    known: Known | None,
    *,
    late_days: int = 0,
    full: bool = False,
    where: str = "the source",
) -> list[Change]:
    """Compare a source with what is known of it.

    =========================================  ========  =========================================
    a site                                     reason    days that are read
    =========================================  ========  =========================================
    that the store has not                     new       all
    whose stamp differs, and days were added   appended  all, since earlier ones may differ too
    whose stamp differs                        revised   all
    any, when days were added before the first revised   all
    whose stamp is the same, `late_days` > 0   late      the store's last `late_days`, and new ones
    whose stamp is the same                    -         none
    =========================================  ========  =========================================

    Parameters
    ----------
    catalog : Catalog
        What the source has now.
    known : Known or None
        What the store has; None where there is no store.
    late_days : int
        Days at the end of the store that are read again whatever the stamps say.
    full : bool
        Read every site again.
    where : str
        The source's name, for errors.

    Returns
    -------
    list of Change
        In the order of the store, then of the source; empty where there is nothing to do.

    Raises
    ------
    InputError
        If the source has fewer sites or days than the store.
    """
    if known is None or catalog.first < known.first:
        # The time axis begins earlier: no day keeps its place in the arrays, so that all are read.
        if known is not None:
            _refuse_shorter(catalog, known, where)
        there = () if known is None else known.sites
        return [
            Change(site, "revised" if site in there else "new", catalog.first, catalog.last)
            for site in order(catalog.sites, known)
        ]
    _refuse_shorter(catalog, known, where)
    grown = catalog.last > known.last
    days = min(late_days, (known.last - known.first).days + 1)
    late = known.last - timedelta(days=days - 1) if days > 0 else None
    held, found = set(known.sites), []
    for site in order(catalog.sites, known):
        if site not in held:
            found.append(Change(site, "new", catalog.first, catalog.last))
        elif full or catalog.stamps[site] != known.stamps.get(site):
            reason: Reason = "appended" if grown else "revised"
            found.append(Change(site, reason, catalog.first, catalog.last))
        elif late is not None:
            found.append(Change(site, "late", late, catalog.last))
    return found


def kept_attributes(
    before: xr.Dataset, now: xr.Dataset, unreadable: frozenset[str], where: str
) -> xr.Dataset:
    """Return the attributes that the source has now, and refuse to lose one that the store has.

    Parameters
    ----------
    before : xarray.Dataset
        The store.
    now : xarray.Dataset
        Variables over ``(site,)``, of all sites of the store and more.
    unreadable : frozenset of str
        Sites whose files cannot be read at present: these keep the values that came from there.
    where : str
        The source's name, for errors.

    Raises
    ------
    InputError
        Naming the first attribute and site.
    """
    sites = before["site"].values.astype(str)
    places = pd.Index(now["site"].values.astype(str)).get_indexer(pd.Index(sites))
    for name in [name for name, values in before.data_vars.items() if values.dims == ("site",)]:
        if before[name].attrs.get("role") == "quality":
            continue
        old = before[name].values
        lost = ~_absent(old)
        if name in now:
            lost &= _absent(now[name].values[places])
        kept = np.isin(sites, list(unreadable))
        if (lost & ~kept).any() or (lost.any() and name not in now):
            site = sites[lost][0] if name not in now else sites[lost & ~kept][0]
            raise InputError(f"{where}: got shorter: attribute {name} of site {site} is gone; {SHORTER}")
        if lost.any():
            values = now[name].values.copy()
            values[places[lost]] = old[lost]
            now = now.assign({name: now[name].copy(data=values)})
    return now


def _absent(values: NDArray[Any]) -> NDArray[np.bool_]:
    absent: NDArray[np.bool_] = pd.isna(values)
    return absent | (values == "") if values.dtype.kind in "OUT" else absent


def order(sites: tuple[str, ...], known: Known | None) -> tuple[str, ...]:
    """Return all sites in the order of the store: those it has keep their place, new ones follow."""
    held = () if known is None else known.sites
    return (*held, *sorted(set(sites) - set(held)))


def _refuse_shorter(catalog: Catalog, known: Known, where: str) -> None:
    gone = sorted(set(known.sites) - set(catalog.sites))
    if gone:
        some = ", ".join(gone[:NAMED]) + (", ..." if len(gone) > NAMED else "")
        raise InputError(
            f"{where}: got shorter: {len(gone)} of the store's {len(known.sites)} sites are gone ({some}); "
            f"{SHORTER}"
        )
    if catalog.last < known.last:
        raise InputError(
            f"{where}: got shorter: it ends on {catalog.last}, the store on {known.last}; {SHORTER}"
        )
    if catalog.first > known.first:
        raise InputError(
            f"{where}: got shorter: it begins on {catalog.first}, the store on {known.first}; {SHORTER}"
        )
