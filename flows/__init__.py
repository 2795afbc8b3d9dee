"""The experiment, where and when it runs, and the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thalweg.flows.submission import submit

__all__ = ["submit"]


def __getattr__(name: str) -> Any:
    if name == "submit":  # its imports take a second, which the command line need not spend
        from thalweg.flows.submission import submit

        return submit
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
