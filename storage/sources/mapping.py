"""What a spec's key ``variables`` says: which column or field becomes which variable, in which units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from thalweg.storage.errors import InputError
from thalweg.storage.suggestions import refuse_unknown
from thalweg.storage.units import convert, is_convertible
from thalweg.storage.variables import VARIABLES

AGGREGATIONS = ("mean", "sum", "min", "max", "last")
KEYS = ("units", "aggregation", "role", "long_name")
_NOTHING = np.zeros(0)
_OF_CELL_METHODS = {"time: minimum": "min", "time: maximum": "max"}


@dataclass(frozen=True)
class Wanted:
    """One variable over time.

    Attributes
    ----------
    name : str
        Canonical (:data:`thalweg.storage.variables.VARIABLES`), or any other with `units`.
    column : str
        What it is called in the source.
    units : str
        Of the source; empty to take those that the source gives.
    aggregation : str
        How several values of a day become one; empty for what its units ask for.
    role, long_name : str
        Of a variable that is not canonical.
    """

    name: str
    column: str
    units: str = ""
    aggregation: str = ""
    role: str = ""
    long_name: str = ""

    def attributes(self, units: str) -> dict[str, str]:
        """Return the attributes in a store, for values that the source gives in `units`."""
        if self.name in VARIABLES:
            return VARIABLES[self.name].attributes
        given = {"units": units, "role": self.role or "forcing", "long_name": self.long_name}
        return {key: value for key, value in given.items() if value}

    def conversion(self, units: str, where: str) -> tuple[str, str, str]:
        """Return aggregation to days, the unit of its result, and the unit to convert that to.

        What has the unit of a rate or state (mm/day, K) is averaged. What has that of an amount (mm, J/m2:
        of one time step) is summed, which makes it an amount per day.

        Raises
        ------
        InputError
            If the unit is not convertible, or the aggregation does not go with it.
        """
        target = VARIABLES[self.name].units if self.name in VARIABLES else units
        daily = f"({units})/day"
        rate = units == target or is_convertible(units, target)
        if not rate and not is_convertible(daily, target):
            convert(_NOTHING, units, target, where)  # refuses
        usual = (
            _OF_CELL_METHODS.get(VARIABLES[self.name].cell_methods, "mean")
            if self.name in VARIABLES
            else "mean"
        )
        aggregation = self.aggregation or (usual if rate else "sum")
        fitting = ("mean", "min", "max", "last") if rate else ("sum", "last")
        if aggregation not in fitting:
            kind = "a rate or state" if rate else "an amount"
            raise InputError(
                f"{where}: aggregation {aggregation!r} of {kind} in {units!r}; "
                f"{' or '.join(fitting)} is needed"
            )
        return aggregation, units if rate else daily, target


def wanted_variables(variables: object, kind: str, key: str) -> list[Wanted]:
    """Return the variables of a spec.

    Parameters
    ----------
    variables : mapping
        Canonical name to the name in the source, or to a mapping with `key` and any of ``units``,
        ``aggregation``, ``role``, ``long_name``.
    kind : str
        Of the source, for errors.
    key : str
        ``column`` or ``field``.

    Raises
    ------
    InputError
        If it is no such mapping.
    """
    example = f"{{precipitation: {{{key}: rain, units: mm/day}}}}"
    if not isinstance(variables, Mapping) or not variables:
        raise InputError(f"source {kind}: 'variables' is {variables!r}; write it as {example}")
    result = []
    for name, given in variables.items():
        entry: dict[str, Any] = dict(given) if isinstance(given, Mapping) else {key: given}
        refuse_unknown(entry, (key, *KEYS), f"key of variable {name!r} of source {kind}")
        column = entry.pop(key, None)
        if not isinstance(column, str) or any(not isinstance(value, str) for value in entry.values()):
            raise InputError(f"source {kind}: variable {name!r} is {given!r}; write it as in {example}")
        if entry.get("aggregation"):
            refuse_unknown([entry["aggregation"]], AGGREGATIONS, f"aggregation of variable {name!r}")
        result.append(Wanted(str(name), column, **entry))
    return result
