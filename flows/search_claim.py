"""Whether the search that a folder has is the one that is asked for: else it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.flows.experiment import Search, override
from thalweg.flows.fingerprint import changes, fingerprint_of, process_source
from thalweg.flows.journal import Journal
from thalweg.flows.proposals import decode, random_point
from thalweg.storage import run_sharing
from thalweg.storage.errors import InputError

if TYPE_CHECKING:
    from thalweg.flows.cell_spec import Cell

# More trials of these are the same trials and some more.
EXTENDED = ("random", "bayesian", "asha")


def claim(cell: Cell, folder: Path, *, force: bool = False) -> None:
    """Make a folder that of a cell's search, unless it already is.

    Parameters
    ----------
    folder : of the experiment.
    force : replace another search that is there.

    Raises
    ------
    InputError
        When another search is there.
    """
    wanted = identity(cell)
    journal = Journal(folder / "search")
    found = None if force and not _readable(journal) else journal.header()
    if found is not None and not _differences(found, wanted, cell):
        return
    if (found is not None or (folder / "search.json").exists()) and not force:
        differing = _differences(found, wanted, cell) if found else ["its journal is not there"]
        raise InputError(
            f"{run_sharing.named(folder / 'search')} was made by another search "
            f"(differs in {', '.join(differing[:6])}): "
            "give the experiment another name, or --force to replace it"
        )
    for name in ("search", "search.json", "search.csv"):
        run_sharing.remove(folder / name)
    journal.begin(wanted)


def identity(cell: Cell) -> dict[str, Any]:
    """Give all that determines what a search finds.

    The values that it searches over are of no consequence elsewhere in the experiment: one set stands for
    all.
    """
    search = cell.experiment.search
    assert search is not None
    experiment = override(cell.experiment, decode(search, random_point(search, 0)))
    return {
        "manifest": {
            "config": experiment.model_dump(mode="json"),
            "model": cell.model,
            "split": cell.fold.split,
            "fold": cell.fold.fold,
            "seed": cell.seed,
            "snapshot": cell.snapshot,
            "process_source": process_source(experiment, cell.model),
        },
        "search": _kept(search),
    }


def _kept(search: Search) -> dict[str, Any]:
    left_out = {"model", "split", "repeats"} | ({"trials"} if search.algorithm in EXTENDED else set())
    return search.model_dump(mode="json", exclude=left_out)


def _differences(found: dict[str, Any], wanted: dict[str, Any], cell: Cell) -> list[str]:
    try:
        before, manifest = found["search"], found["manifest"]
    except KeyError:
        return ["search"]
    differing = []
    for key in sorted({*before, *wanted["search"]}):
        old, new = before.get(key), wanted["search"].get(key)
        if key == "space" and isinstance(old, dict):
            differing += [
                f"search.space.{each}" for each in sorted({*old, *new}) if old.get(each) != new.get(each)
            ]
            differing += ["the order of search.space"] if old == new and list(old) != list(new) else []
        elif old != new:
            differing.append(f"search.{key}")
    if differing or fingerprint_of(manifest) == fingerprint_of(wanted["manifest"]):
        return differing
    experiment = cell.experiment.model_validate(wanted["manifest"]["config"])
    keys = changes(manifest, experiment, cell.model, str(cell.snapshot))
    return keys or ["the model or the split"]


def _readable(journal: Journal) -> bool:
    try:
        journal.header()
    except InputError:
        return False
    return True
