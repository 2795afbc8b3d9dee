"""Names that a person probably meant, for error messages."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from thalweg.storage.errors import InputError


def suggest(name: object, known: Iterable[object], limit: int = 8) -> str:
    """Say which known name is nearest to `name`, or list the known ones when none is near.

    Parameters
    ----------
    name : object
        What was given.
    known : iterable
        What would have been right.
    limit : int
        How many names to list at most when none is near.

    Returns
    -------
    str
        For example ``did you mean 'temperature'?`` or ``known: a, b, c and 12 more``.
    """
    names = sorted(str(item) for item in known)
    by_lower_case = {item.lower(): item for item in names}
    near = get_close_matches(str(name).lower(), list(by_lower_case), n=1, cutoff=0.6)
    if near:
        return f"did you mean {by_lower_case[near[0]]!r}?"
    if not names:
        return "there is none"
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"known: {', '.join(names[:limit])}{more}"


def refuse_unknown(given: Iterable[object], known: Iterable[object], what: str) -> None:
    """Raise for the first of `given` that is not known, naming the nearest.

    Parameters
    ----------
    given, known : iterable
        Names to look at, and those allowed.
    what : str
        What a name is and where it stands, such as ``"key in splits[0]"``.

    Raises
    ------
    InputError
        If a name is not among the known ones.
    """
    known = list(known)
    for name in given:
        if name not in known:
            raise InputError(f"unknown {what}: {name!r}; {suggest(name, known)}")
