"""The words for what varies in time: names, units and plausible values of canonical variables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class CanonicalVariable:
    """A daily variable as every store holds it.

    Attributes
    ----------
    name, units, long_name : str
        What it is called, measured in, and is.
    minimum, maximum : float
        Daily basin means outside of this are reported as absurd (in `units`).
    role : str
        ``forcing`` or ``target``.
    standard_name : str
        The CF standard name, where one exists whose canonical unit is convertible to `units`.
    cell_methods : str
        How the daily value was made, in CF's words.
    """

    name: str
    units: str
    long_name: str
    minimum: float
    maximum: float
    role: str = "forcing"
    standard_name: str = ""
    cell_methods: str = "time: mean"

    @property
    def attributes(self) -> dict[str, str]:
        """Attributes of the variable in a store (CF, plus `role`)."""
        named = {
            "units": self.units,
            "long_name": self.long_name,
            "standard_name": self.standard_name,
            "cell_methods": self.cell_methods,
            "role": self.role,
        }
        return {key: value for key, value in named.items() if value}


# Limits are for daily means over a basin. Precipitation: the world record at one station is
# 1,825 mm in a day; a basin of 50 km2 stays well below 1,000.
_ALL = (
    CanonicalVariable(
        "precipitation", "mm/day", "precipitation", 0.0, 1000.0, standard_name="lwe_precipitation_rate"
    ),
    CanonicalVariable(
        "temperature", "degC", "mean air temperature at 2 m", -70.0, 55.0, standard_name="air_temperature"
    ),
    CanonicalVariable(
        "temperature_min",
        "degC",
        "daily minimum of air temperature at 2 m",
        -80.0,
        50.0,
        standard_name="air_temperature",
        cell_methods="time: minimum",
    ),
    CanonicalVariable(
        "temperature_max",
        "degC",
        "daily maximum of air temperature at 2 m",
        -65.0,
        60.0,
        standard_name="air_temperature",
        cell_methods="time: maximum",
    ),
    CanonicalVariable("potential_evapotranspiration", "mm/day", "potential evapotranspiration", 0.0, 25.0),
    CanonicalVariable(
        "discharge", "mm/day", "discharge at the gauge over the basin's area", 0.0, 1000.0, role="target"
    ),
    # CAMELS-US averages it over the daylight hours; no mean can exceed the solar constant.
    CanonicalVariable(
        "shortwave_radiation",
        "W/m2",
        "incoming shortwave radiation at the surface",
        0.0,
        1361.0,
        standard_name="surface_downwelling_shortwave_flux_in_air",
    ),
    CanonicalVariable(
        "vapor_pressure",
        "Pa",
        "partial pressure of water vapour",
        0.0,
        8000.0,
        standard_name="water_vapor_partial_pressure_in_air",
    ),
    CanonicalVariable(
        "day_length", "s", "time from sunrise to sunset", 0.0, 86400.0, cell_methods="time: sum"
    ),
)

VARIABLES: dict[str, CanonicalVariable] = {variable.name: variable for variable in _ALL}


def names_over(dataset: xr.Dataset, *dims: str) -> list[str]:
    """Return the names of the variables over some dims, whatever their order.

    To ask each of ``dataset.data_vars`` would take long: xarray makes an array of it, with its coordinates.
    """
    variables = dataset.variables
    return [str(name) for name in dataset.data_vars if set(variables[name].dims) == set(dims)]
