"""What the attributes and variables of a store are called and measured in, for reading."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import streamlit as st
import xarray as xr

from thalweg.dashboard.figures.water import words
from thalweg.dashboard.look import units_text
from thalweg.dashboard.reading.cards import Card
from thalweg.dashboard.reading.weather import opened, reached, source


@dataclass(frozen=True)
class Attribute:
    """An attribute, or a variable, for reading.

    Attributes
    ----------
    name : in the store.
    long : what it is; the name where the store does not tell.
    units : as the store writes them; empty where it does not tell.
    """

    name: str
    long: str
    units: str = ""

    @property
    def title(self) -> str:
        """`Mean elevation`; the bare name where the store tells no other."""
        return self.name if self.long == self.name else self.long[:1].upper() + self.long[1:]

    @property
    def axis(self) -> str:
        """Title of an axis: `Mean elevation (m)`."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def unit(self) -> str:
        """Units for reading: `m²`; a dash for a pure number."""
        return "–" if self.units == "1" else units_text(self.units)

    @property
    def bare(self) -> str:
        """The title without what is in brackets."""
        return re.sub(r"\s*\([^)]*\)", "", self.title)


class Names(dict[str, Attribute]):
    """Attributes by name; one that the store does not know is called by its name."""

    def __missing__(self, name: str) -> Attribute:
        return Attribute(name, name)

    def of_group(self, group: str) -> str:
        """Attributes that are looked at as one, in words: `Mean slope + soil depth`."""
        first, *others = (self[name].bare for name in group.split("+"))
        return " + ".join([first, *(_small(other) for other in others)])


def attribute_names(runs: Iterable[Card]) -> Names:
    """Attributes of the store that these runs were made from; none where it cannot be read."""
    for run in runs:
        store, version = source(run)
        found = _names(store, version, reached(store)) if store else Names()
        if found:
            return found
    return Names()


def described(dataset: xr.Dataset) -> Names:
    """Everything over sites of which a dataset tells a name or units."""
    found = Names()
    for name, values in dataset.variables.items():
        long, units = (str(values.attrs.get(told, "")) for told in ("long_name", "units"))
        if "site" in values.dims and (long or units):
            known = (long or words(str(name))).replace("degC", "°C")
            found[str(name)] = Attribute(str(name), known, units)
    return found


@st.cache_data(max_entries=50, show_spinner=False)
def _names(store: str, version: str, at: int) -> Names:
    if not at:
        return Names()
    try:
        dataset = opened(store, version)
    except Exception:  # gone, moved or damaged: the names of the columns will do
        return Names()
    return described(dataset)


def _small(told: str) -> str:
    """With a small first letter, but for abbreviations."""
    return told if told[1:2].isupper() else told[:1].lower() + told[1:]
