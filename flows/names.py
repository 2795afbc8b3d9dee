"""Names that an experiment refers to, checked where they are registered."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

ENSEMBLE = "+ensemble"  # after the model's name: its runs of several seeds, pooled


class MisplacedError(ValueError):
    """A mistake at a key below the one being checked, with the dotted path from there."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def nearest(name: object, known: Iterable[str]) -> str:
    """Give ``; did you mean 'x'?``, or else a list of what is known."""
    listed = [str(item) for item in known]
    close = get_close_matches(str(name), listed, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there is {', '.join(listed)}" if listed else "; there is none"


def check_one_of(name: str, known: Iterable[str], key: str, what: str) -> None:
    """Raise :class:`MisplacedError` at ``key`` when the name is not known."""
    known = list(known)
    if name not in known:
        raise MisplacedError(key, f"{name!r} is no {what}{nearest(name, known)}")


def check_process(name: str) -> str:
    """Give the name back when it is a process model's, or a dotted path (``my_lab.models:Snow17``)."""
    from thalweg.models.processes import find_process

    find_process(name)
    return name


def check_varying(process: str, varying: tuple[str, ...]) -> None:
    """Raise ``ValueError`` when a parameter that shall vary in time is not the process model's own."""
    from thalweg.models import process as declarations
    from thalweg.models.processes import find_process

    known = declarations.names(find_process(process).parameters)
    for name in varying:
        if name not in known:
            raise ValueError(f"{name!r} is no parameter of {process}{nearest(name, known)}")


def check_loss(name: str) -> str:
    """Give the name back when it is a loss's."""
    from thalweg.models.losses import LOSSES

    if name not in LOSSES:
        raise ValueError(f"{name!r} is no loss{nearest(name, LOSSES)}")
    return name


def refuse_unknown_metric(metric: str) -> None:
    """Raise ``InputError`` for a metric that is not in ``METRICS``; the nearest is named."""
    from thalweg.evaluation.skill import METRICS
    from thalweg.storage.errors import InputError

    if metric not in METRICS:
        raise InputError(f"--metric {metric}: unknown{nearest(metric, METRICS)}")
