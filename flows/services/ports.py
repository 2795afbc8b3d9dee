"""Whether the ports of services are free."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from thalweg.flows.services.catalogue import Service
from thalweg.flows.services.processes import listener
from thalweg.flows.services.settings import PORTS, Settings
from thalweg.storage.errors import InputError


def refuse_busy_ports(settings: Settings, wanted: Sequence[Service]) -> None:
    """Raise :class:`InputError` with a line for every port that another program has."""
    if not port_is_free(settings.host, 0):
        raise InputError(f"THALWEG_HOST={settings.host}: is no address of this machine")

    problems = []
    for service in wanted:
        for name in service.ports:
            variable, port = PORTS[name][0], settings.ports[name]
            if not port_is_free(settings.host, port):
                problems.append(
                    f"port {port}, for {name}, is taken{listener(port)}: set {variable} to another"
                )
    if problems:
        raise InputError("\n".join(problems))


def port_is_free(host: str, port: int) -> bool:
    """Tell whether a server could listen there."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
