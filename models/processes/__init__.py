"""The process library: one file each, found by name or by dotted path."""

from __future__ import annotations

import difflib
from importlib import import_module

from thalweg.models.process import ProcessModel
from thalweg.models.processes.cemaneige_gr4j import CemaneigeGr4j
from thalweg.models.processes.exp_hydro import ExpHydro
from thalweg.models.processes.gr4j import Gr4j
from thalweg.models.processes.hbv import Hbv
from thalweg.models.processes.hbv96 import Hbv96
from thalweg.models.processes.hillslope import Hillslope
from thalweg.models.processes.lorenz63 import Lorenz63
from thalweg.models.processes.sac_sma import SacSma
from thalweg.models.processes.snow17 import Snow17
from thalweg.models.processes.stream_temperature import StreamTemperature

PROCESSES: dict[str, type[ProcessModel]] = {
    "hbv": Hbv,
    "hbv96": Hbv96,
    "hillslope": Hillslope,
    "exp_hydro": ExpHydro,
    "gr4j": Gr4j,
    "cemaneige_gr4j": CemaneigeGr4j,
    "sac_sma": SacSma,
    "snow17": Snow17,
    "stream_temperature": StreamTemperature,
    "lorenz63": Lorenz63,
}


def find_process(name: str) -> ProcessModel:
    """Give the process model of this name, or of a dotted path such as ``my_lab.models:Snow17``.

    Raises
    ------
    ValueError
        When there is none; the message names the nearest known name.
    """
    if name in PROCESSES:
        return PROCESSES[name]()
    if ":" not in name:
        near = difflib.get_close_matches(name, PROCESSES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"unknown process {name!r}{hint} Known: {', '.join(sorted(PROCESSES))}, "
            "or a path like package.module:Class"
        )
    module, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except Exception as error:  # a file of the user's own may fail in any way
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"process {name!r} cannot be imported: {reason}") from error
    if not (isinstance(found, type) and issubclass(found, ProcessModel)):
        raise ValueError(f"process {name!r} is not a subclass of thalweg.models.process.ProcessModel")
    return found()
