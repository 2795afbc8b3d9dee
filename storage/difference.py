"""What differs between two versions of a store, from the hashes that they keep: no value is read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from thalweg.storage.draft import HASHES
from thalweg.storage.ingest.report import QUARANTINED
from thalweg.storage.layout import text_index
from thalweg.storage.repository import Repository


@dataclass(frozen=True)
class Difference:
    """From one version of a store to another.

    Attributes
    ----------
    revised : site -> the calendar years in which values differ, of sites that both have.
    attributes : static attribute -> the sites at which it differs.
    quarantined, released : sites that both have and readers see no longer, or again.
    """

    before: str
    after: str
    period_before: tuple[str, str]
    period_after: tuple[str, str]
    sites_added: list[str]
    sites_removed: list[str]
    variables_added: list[str]
    variables_removed: list[str]
    revised: dict[str, list[int]]
    attributes: dict[str, list[str]]
    quarantined: list[str]
    released: list[str]

    @property
    def empty(self) -> bool:
        """Whether the versions hold the same."""
        return self.before == self.after

    def summary(self) -> dict[str, Any]:
        """Give all of it for scripts."""
        return asdict(self)


def difference(repository: Repository, before: str, after: str) -> Difference:
    """Compare two versions, named as :meth:`Repository.snapshot` takes them.

    Raises
    ------
    InputError
        If one of them is none.
    """
    old, new = repository.dataset(before), repository.dataset(after)
    old_sites, new_sites = (text_index(each["site"].values) for each in (old, new))
    out_before, out_after = (_kept_out(each) for each in (old, new))
    old, new = (each.drop_vars(QUARANTINED, errors="ignore") for each in (old, new))
    return Difference(
        before=str(old.attrs["snapshot"]),
        after=str(new.attrs["snapshot"]),
        period_before=_period(old),
        period_after=_period(new),
        sites_added=sorted(new_sites.difference(old_sites)),
        sites_removed=sorted(old_sites.difference(new_sites)),
        variables_added=sorted(str(name) for name in set(new.variables) - set(old.variables)),
        variables_removed=sorted(str(name) for name in set(old.variables) - set(new.variables)),
        revised=_revised(repository.table(HASHES, before), repository.table(HASHES, after)),
        attributes=_attributes(old, new),
        quarantined=sorted((out_after - out_before) & set(old_sites)),
        released=sorted((out_before - out_after) & set(new_sites)),
    )


def _kept_out(dataset: xr.Dataset) -> set[str]:
    """Give the sites in quarantine."""
    if QUARANTINED not in dataset:
        return set()
    return set(map(str, dataset["site"].values[dataset[QUARANTINED].values != ""]))


def _period(dataset: xr.Dataset) -> tuple[str, str]:
    first, last = (str(day)[:10] for day in dataset["time"].values[[0, -1]])
    return first, last


def _revised(old: xr.Dataset, new: xr.Dataset) -> dict[str, list[int]]:
    sites = text_index(old["site"].values).intersection(text_index(new["site"].values))
    years = pd.Index(old["year"].values).union(pd.Index(new["year"].values))
    one, two = (_hashes(each, sites, years) for each in (old, new))
    different = (one != two).any(axis=2)
    rows = np.flatnonzero(different.any(axis=1))
    return {str(sites[int(row)]): [int(year) for year in years[different[row]]] for row in rows}


def _hashes(table: xr.Dataset, sites: pd.Index, years: pd.Index) -> np.ndarray:
    """Give hashes with shape (site, year, byte), zeros for years that the version lacks."""
    plain = table["hash"].transpose("site", "year", "byte").sel(site=sites.to_numpy())
    values: np.ndarray = plain.reindex(year=years.to_numpy(), fill_value=0).values
    return values


def _attributes(old: xr.Dataset, new: xr.Dataset) -> dict[str, list[str]]:
    sites = text_index(old["site"].values).intersection(text_index(new["site"].values)).to_numpy()
    found = {}
    for name in sorted(map(str, set(old.variables) & set(new.variables))):
        if old[name].dims != ("site",) or name == "site":
            continue
        one, two = old[name].sel(site=sites).values, new[name].sel(site=sites).values
        different = ~((one == two) | (pd.isna(one) & pd.isna(two)))
        if different.any():
            found[name] = [str(site) for site in sites[different]]
    return found
