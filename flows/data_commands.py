"""`thalweg data`: the versions of a store."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.flows.console import console, plural, print_json, table
from thalweg.storage.errors import InputError

if TYPE_CHECKING:
    from thalweg.storage.difference import Difference
    from thalweg.storage.repository import Repository

DONE = 0
SHORT = 12  # characters of a snapshot that are shown
SITES_SHOWN = 20


def data(options: Namespace) -> int:
    """Do one of the actions on a store's versions."""
    from thalweg.storage.repository import Repository

    repository = Repository.open(store_of(options.store))
    ACTIONS[options.action](repository, options)
    return DONE


def store_of(text: str) -> str:
    """Give the store that a person named: itself, or by the file of an experiment.

    Raises
    ------
    InputError
        When the file names no store.
    """
    if Path(text).suffix not in (".yaml", ".yml"):
        return text
    from thalweg.flows import specfile

    content = specfile.read(Path(text)).content
    if isinstance(content.get("data"), dict):
        content = content["data"]
    store = content.get("store")
    if not isinstance(store, str):
        raise InputError(f"{text}: names no store; give `store`, or `data.store`")
    return store


def _log(repository: Repository, options: Namespace) -> None:
    from thalweg.storage import versions

    rows = versions.log(repository)
    if options.json:
        print_json([{**vars(row), "written": row.written.isoformat(timespec="seconds")} for row in rows])
        return
    if not rows:
        console().print(f"{repository.location}: no version yet")
        return
    numbers = ("sites", "kept out", "changed")
    shown = table("snapshot", "written (UTC)", "tags", "last day", *numbers, "what", right=numbers)
    for number, row in enumerate(rows):
        state = "" if row.current else "rolled back"
        names = [name for name in row.tags if not name.startswith(versions.ROLLED_BACK)]
        if row.current and not any(before.current for before in rows[:number]):
            names.insert(0, "main")
        message = f"{row.message} ({state})" if state else row.message
        shown.add_row(
            row.snapshot[:SHORT],
            f"{row.written:%Y-%m-%d %H:%M:%S}",
            ", ".join(names),
            *(str(row.properties.get(key, "")) for key in ("last", "sites", "quarantined", "changed")),
            message,
        )
    console().print(shown)


def _diff(repository: Repository, options: Namespace) -> None:
    from thalweg.storage.difference import difference

    found = difference(repository, options.before, options.after)
    if options.json:
        print_json(found.summary())
    else:
        console().print("\n".join(_difference_lines(found)), soft_wrap=True, markup=False)


def _difference_lines(found: Difference) -> list[str]:
    title = f"{found.before[:SHORT]} -> {found.after[:SHORT]}"
    if found.empty:
        return [f"{title}: the same content"]
    lines = [title]
    if found.period_before != found.period_after:
        lines.append(f"  days: {' to '.join(found.period_before)} became {' to '.join(found.period_after)}")
    lists = {
        ("site", "added"): found.sites_added,
        ("site", "removed"): found.sites_removed,
        ("site", "put in quarantine"): found.quarantined,
        ("site", "out of quarantine"): found.released,
        ("variable", "added"): found.variables_added,
        ("variable", "removed"): found.variables_removed,
    }
    for (kind, what), names in lists.items():
        if names:
            lines.append(f"  {plural(len(names), kind)} {what}: {_some(names)}")
    if found.revised:
        lines.append(f"  values differ at {plural(len(found.revised), 'site')}:")
        for site, years in list(found.revised.items())[:SITES_SHOWN]:
            lines.append(f"    {site}: {years_text(years)}")
        if len(found.revised) > SITES_SHOWN:
            lines.append(f"    and {len(found.revised) - SITES_SHOWN} more: --json lists them all")
    lines += [
        f"  attribute {name} differs at {plural(len(sites), 'site')}: {_some(sites)}"
        for name, sites in found.attributes.items()
    ]
    return lines


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def years_text(years: list[int]) -> str:
    """Give years as runs, such as ``1999-2003, 2008``."""
    runs: list[list[int]] = []
    for year in years:
        if runs and year == runs[-1][-1] + 1:
            runs[-1][-1:] = [year] if len(runs[-1]) > 1 else [runs[-1][0], year]
        else:
            runs.append([year])
    return ", ".join("-".join(map(str, run)) for run in runs)


def _tag(repository: Repository, options: Namespace) -> None:
    from thalweg.storage import versions

    content = versions.tag(repository, options.name, options.version)
    _tell(options, {"tag": options.name, "snapshot": content}, f"{options.name} is {content[:SHORT]}")


def _rollback(repository: Repository, options: Namespace) -> None:
    from thalweg.storage import versions

    content = versions.rollback(repository, options.version)
    _tell(options, {"snapshot": content}, f"{repository.location} is {content[:SHORT]} again")


def _clean(repository: Repository, options: Namespace) -> None:
    from thalweg.storage import versions

    if options.older_than < 0:
        raise InputError(f"--older-than {options.older_than:g}: days, not below zero")
    removed = versions.clean(repository, timedelta(days=options.older_than))
    size = f"{removed['bytes'] / 1e6:.1f} MB"
    line = f"removed {plural(removed['drafts'], 'draft')} and {plural(removed['objects'], 'object')}, {size}"
    _tell(options, removed, line)


def _tell(options: Namespace, content: dict[str, Any], line: str) -> None:
    if options.json:
        print_json(content)
    else:
        console().print(line, markup=False)


ACTIONS: dict[str, Callable[[Repository, Namespace], None]] = {
    "log": _log,
    "diff": _diff,
    "tag": _tag,
    "rollback": _rollback,
    "clean": _clean,
}
