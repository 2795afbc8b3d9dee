"""A page sent to somebody else: its address, its figures as files, and the numbers behind it."""

from collections.abc import Callable, Mapping
from functools import partial
from urllib.parse import quote

import pandas as pd
import streamlit as st
import xarray as xr

from thalweg.dashboard import choices

FIGURES = {"png": "PNG, for slides", "svg": "SVG, for print"}
CSV, NETCDF = "text/csv", "application/x-netcdf"


def figure_format() -> str:
    """What the camera beside a figure saves: `png` or `svg`."""
    told = choices.recall("figures")
    return told if told in FIGURES else "png"


def share(numbers: Mapping[str, Callable[[], xr.Dataset]]) -> None:
    """A button that opens the ways to take this page along.

    Parameters
    ----------
    numbers : what can be had as files, by name; made when they are asked for.
    """
    with st.popover("Share", icon=":material/ios_share:"):
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
