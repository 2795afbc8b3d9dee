"""A page sent to somebody else: its address, its figures as files, and the numbers behind it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

import pandas as pd
import streamlit as st
import xarray as xr

from thalweg.dashboard import choices

FIGURES = {"png": "PNG, for slides", "svg": "SVG, for print"}
CSV, NETCDF = "text/csv", "application/x-netcdf"
KEY = "share"

Numbers = Mapping[str, Callable[[], xr.Dataset]]
"""What can be had as files, by name; made when it is asked for."""


def figure_format() -> str:
    """What the camera beside a figure saves: `png` or `svg`."""
    told = choices.recall("figures")
    return told if told in FIGURES else "png"


@st.fragment
def share(numbers: Callable[[], Numbers]) -> None:
    """A button that opens the ways to take this page along; until then nothing of them is made.

    Parameters
    ----------
    numbers : gives what can be had as files; asked when the button is pressed.
    """
    box = st.popover("Share", icon=":material/ios_share:", key=KEY, on_change="rerun")
    if box.open:
        with box:
            _ways(numbers())


def _ways(numbers: Numbers) -> None:
    st.caption("The address of this page opens it as it is now:")
    st.code(link(), language=None, wrap_lines=True)
    picked = st.radio(
        "The camera beside a figure saves",
        list(FIGURES),
        list(FIGURES).index(figure_format()),
        format_func=FIGURES.__getitem__,
        horizontal=True,
    )
    if picked != figure_format():
        choices.keep("figures", None if picked == "png" else picked)
        st.rerun()  # the figures are drawn already
    for name, make in numbers.items():
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(choices.plain(name), width="stretch")
            for kind, mime, written in (("CSV", CSV, csv), ("NetCDF", NETCDF, netcdf)):
                st.download_button(
                    kind,
                    partial(_made, make, written),
                    f"{name.lower().replace(' ', '-')}.{'csv' if kind == 'CSV' else 'nc'}",
                    mime,
                    key=f"take-{name}-{kind}",
                    on_click="ignore",
                )


def _made(make: Callable[[], xr.Dataset], written: Callable[[xr.Dataset], bytes]) -> bytes:
    return written(make())


def link() -> str:
    """The address of the page with all its choices."""
    query = str(st.context.url or "").partition("?")[0]
    told = "&".join(f"{name}={_escaped(value)}" for name, value in st.query_params.items())
    return f"{query}?{told}" if told else query


def dataset_of(
    table: pd.DataFrame, over: Sequence[str] = (), about: Mapping[str, Mapping[str, Any]] | None = None
) -> xr.Dataset:
    """A table as a dataset.

    Parameters
    ----------
    over : columns that become dimensions, of which no two rows are alike; without any its rows are numbered.
    about : attributes, such as units, of some columns.

    Raises
    ------
    ValueError
        If two rows are alike in all columns of `over`.
    """
    made = table.set_index(list(over)) if over else table.reset_index(drop=True).rename_axis("row")
    if not made.index.is_unique:
        raise ValueError(f"two rows have the same {', '.join(over)}")
    found: xr.Dataset = made.to_xarray()
    for name, told in (about or {}).items():
        if name in found:
            found[name].attrs.update(told)
    return found


def csv(dataset: xr.Dataset) -> bytes:
    """One row for each place of the dataset's dimensions; units stand in the header: `nse (1)`."""
    table = dataset.to_dataframe()
    units = {name: str(dataset[name].attrs.get("units", "")) for name in table.columns}
    table.columns = [f"{name} ({units[name]})" if units[name] else name for name in table.columns]
    return bytes(table.to_csv(), "utf-8")


def netcdf(dataset: xr.Dataset) -> bytes:
    """The same as NetCDF 4, with units as attributes."""
    plain = dataset.copy()
    for name, values in dataset.variables.items():
        if pd.api.types.is_string_dtype(values.dtype) or values.dtype == object:
            plain[name] = values.astype(str)
    return bytes(plain.to_netcdf(engine="h5netcdf"))


def _escaped(value: str) -> str:
    return quote(value, safe="/,:·-_. ").replace(" ", "%20")
