"""What static attributes are: units, long names, and which of them a network is fed by default."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

import pandas as pd

# HydroATLAS names are <variable>_<unit>_<extent or month>; Linke et al. (2019), BasinATLAS catalogue v1.0.
_HYDROATLAS_UNITS = {
    "cl": "", "cm": "cm", "ct": "1000", "dc": "0.1 degC", "dg": "0.1 degree", "dk": "dm/km", "ha": "ha",
    "ix": "1", "kh": "kg/ha/year", "m3": "m3/s", "mc": "10**6 m3", "mk": "m/km2", "mm": "mm", "mt": "m",
    "pc": "%", "pk": "1/km2", "tc": "10**3 m3", "th": "t/ha", "ud": "USD",
}  # fmt: skip
_HYDROATLAS_NAMES = {
    "aet": "actual evapotranspiration", "ari": "global aridity index", "cls": "climate strata",
    "clz": "climate zone", "cly": "clay in the topsoil", "cmi": "climate moisture index",
    "crp": "cropland", "dis": "natural discharge (modelled)", "dor": "degree of regulation",
    "ele": "elevation", "ero": "soil erosion", "fec": "freshwater ecoregion",
    "fmh": "freshwater major habitat type", "for": "forest cover", "gdp": "gross domestic product",
    "gla": "glacier area", "glc": "land cover", "gwt": "groundwater table depth",
    "hdi": "human development index", "hft": "human footprint", "inu": "inundation extent",
    "ire": "irrigated area", "kar": "karst area", "lit": "lithological class", "lka": "lake area",
    "lkv": "lake volume", "nli": "nighttime lights", "pac": "protected area",
    "pet": "potential evapotranspiration",
    "pnv": "potential natural vegetation", "pop": "population", "ppd": "population density",
    "pre": "precipitation", "prm": "permafrost area", "pst": "pasture", "rdd": "road density",
    "rev": "reservoir volume", "ria": "river area", "riv": "river volume",
    "run": "land surface runoff (modelled)",
    "sgr": "stream gradient", "slp": "terrain slope", "slt": "silt in the topsoil",
    "snd": "sand in the topsoil",
    "snw": "snow cover extent", "soc": "organic carbon in the topsoil", "swc": "soil water content",
    "tbi": "terrestrial biome", "tec": "terrestrial ecoregion", "tmp": "air temperature", "urb": "urban area",
    "wet": "wetland area",
}  # fmt: skip
_HYDROATLAS = re.compile(r"([a-z]{3})_([a-z0-9]{2})_([a-z]{0,2}[a-z0-9]{1,3})$")


@cache
def _table() -> dict[tuple[str, str], dict[str, str]]:
    with files("thalweg.storage.sources").joinpath("attributes.csv").open(encoding="utf-8") as file:
        table = pd.read_csv(file, comment="#", dtype=str, keep_default_na=False)
    return {(row["source"], row["name"]): dict(row) for _, row in table.iterrows()}


def is_class(source: str, name: str) -> bool:
    """Whether an attribute names or numbers (HydroATLAS ``_cl_``) a class, and is stored as text."""
    row = _table().get((source, name))
    if row is not None:
        return row["kind"] == "class"
    found = _HYDROATLAS.match(name)
    return found is not None and found[2] == "cl"


def describe_attribute(source: str, name: str) -> dict[str, str]:
    """Return units, long name and role of a static attribute.

    Parameters
    ----------
    source : str
        ``caravan`` or ``camels_us``.
    name : str
        The attribute's name in that source.

    Returns
    -------
    dict
        ``role`` is ``signature`` for what was derived from observed discharge, else ``attribute``;
        ``usual_input`` is there for what a network is fed when an experiment names no attributes.
    """
    described = {"long_name": name.replace("_", " "), "role": "attribute", "units": ""}
    found = _HYDROATLAS.match(name)
    row = _table().get((source, name))
    if row is not None:
        described = {"long_name": row["long_name"], "role": "attribute", "units": row["units"]}
        if row["kind"] == "signature":
            described["role"] = "signature"
        if row["default"] == "1":
            described["usual_input"] = "yes"
    elif found and found[1] in _HYDROATLAS_NAMES:
        described["units"] = _HYDROATLAS_UNITS.get(found[2], "")
        described["long_name"] = f"{_HYDROATLAS_NAMES[found[1]]} ({found[3]})"
    return {key: value for key, value in described.items() if value}


@cache
def huc_regions() -> dict[str, str]:
    """Return the two-digit hydrologic region of every CAMELS-US gauge (Addor et al. 2017)."""
    with files("thalweg.storage.sources").joinpath("huc_02.csv").open(encoding="utf-8") as file:
        table = pd.read_csv(file, comment="#", dtype=str)
    return dict(zip(table["gauge"], table["huc_02"], strict=True))
