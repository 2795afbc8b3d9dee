"""The environment of services that no others disturb."""

import os

import pytest
from waiting import free_ports

from thalweg.flows.services.settings import PORTS

AROUND = ("PREFECT_", "RAY_", "AWS_", "THALWEG_")


def own_services(patch: pytest.MonkeyPatch) -> dict[str, int]:
    """Take away what is meant for other services, and give each of ours a free port.

    Returns
    -------
    The ports by the names of their variables.
    """
    for name in [each for each in os.environ if each.startswith(AROUND)]:
        patch.delenv(name)
    variables = [variable for variable, _ in PORTS.values()]
    ports = dict(zip(variables, free_ports(len(variables)), strict=True))
    for variable, port in ports.items():
        patch.setenv(variable, str(port))
    return ports
