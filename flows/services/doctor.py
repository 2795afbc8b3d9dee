"""`thalweg doctor`: what is wrong with this installation and this machine, and what to do about it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace

from thalweg.flows.console import console, print_json, table
from thalweg.flows.job_address import shown
from thalweg.flows.services import machine_checks, server_checks
from thalweg.flows.services.finding import Finding
from thalweg.storage.errors import InputError

DONE, FAILED = 0, 1
COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}
CHECKS: tuple[Callable[[], Iterable[Finding]], ...] = (
    machine_checks.python,
    machine_checks.packages,
    machine_checks.location,
    machine_checks.disk,
    machine_checks.memory,
    machine_checks.gpu,
    machine_checks.certificates,
    server_checks.clock,
    server_checks.ports,
    server_checks.services,
    server_checks.prefect,
    server_checks.ray,
    server_checks.object_store,
)


def doctor(options: Namespace) -> int:
    """Run all checks and print them; 1 when one is an error."""
    findings = [
        replace(finding, found=shown(finding.found)) for check in CHECKS for finding in _safely(check)
    ]
    if options.json:
        print_json([asdict(each) for each in findings])
    else:
        made = table("check", "", "found", "what to do")
        for each in findings:
            made.add_row(each.check, each.level, each.found, each.advice, style=COLOURS[each.level])
        console().print(made)
    return FAILED if any(each.level == "error" for each in findings) else DONE


def _safely(check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """Run a check; that it failed itself, or that what it was given is wrong, is a finding too."""
    try:
        return list(check())
    except InputError as error:
        return [Finding(check.__name__, "error", str(error), "correct it")]
    except Exception as error:
        name = check.__name__
        found = f"could not be checked: {type(error).__name__}: {error}"
        return [Finding(name, "warning", found, "look at it by hand, and tell us: it is a mistake of ours")]
