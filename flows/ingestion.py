"""`thalweg ingest`: from a source to a store, with the report of its quality."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.flows import specfile
from thalweg.flows.names import nearest
from thalweg.storage.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from thalweg.flows.experiment import Experiment

MESSAGES_SHOWN = 12
SITES_SHOWN = 3


@dataclass
class Ingestion:
    """A store that is there, and what its check found."""

    store: Path
    sites: int
    first: str
    last: str
    snapshot: str
    quality: pd.DataFrame

    def summary(self) -> dict[str, Any]:
        """Give all of it for scripts."""
        return {
            "store": str(self.store),
            "sites": self.sites,
            "first": self.first,
            "last": self.last,
            "snapshot": self.snapshot,
            "quality": self.quality.to_dict("records"),
        }

    def text(self) -> str:
        """Give it in words, the gravest findings first."""
        lines = [
            f"{self.store}: {self.sites} sites, {self.first} to {self.last}, snapshot {self.snapshot[:12]}"
        ]
        lines += quality_lines(self.quality)
        return "\n".join(lines)


def quality_lines(
    quality: pd.DataFrame, severities: tuple[str, ...] = ("error", "warning", "info")
) -> list[str]:
    """Give a quality report in words: how many findings of each severity, and those asked for.

    Parameters
    ----------
    quality : as :func:`thalweg.storage.store.quality_report` gives it, the gravest first.
    severities : of the findings to list; all are counted.

    Returns
    -------
    One line of counts and one line for each different finding; none where nothing was found.
    """
    if quality.empty:
        return []
    counts = quality["severity"].value_counts(sort=False)
    lines = [", ".join(f"{number} {severity}" for severity, number in counts.items())]
    found: dict[tuple[str, str], list[str]] = {}
    for row in quality[quality["severity"].isin(severities)].to_dict("records"):
        day, message = str(row["first_day"])[:10], str(row["message"])
        if day != "NaT" and day not in message:
            message += f" (first {day})"
        found.setdefault((row["severity"], message), []).append(row["site"])
    shown = [
        f"  {severity}: {_sites(sites)}: {message}"
        for (severity, message), sites in list(found.items())[:MESSAGES_SHOWN]
    ]
    if len(found) > MESSAGES_SHOWN:
        shown.append(f"  and {len(found) - MESSAGES_SHOWN} more: thalweg ingest --json lists them all")
    return lines + shown


def _sites(sites: list[str]) -> str:
    if len(sites) == 1:
        return sites[0]
    some = ", ".join(sites[:SITES_SHOWN]) + (", ..." if len(sites) > SITES_SHOWN else "")
    return f"{len(sites)} sites ({some})"


def ingest_file(path: Path, changes: Mapping[str, Any] | None = None) -> Ingestion:
    """Make the store that a file describes; one that is there and of the same source is left alone.

    Parameters
    ----------
    path : an experiment, or a YAML file with the keys ``store`` and ``source``.
    changes : dotted keys of an experiment with values that take the place of the file's.

    Raises
    ------
    InputError
        When a key is missing or the source is wrong.
    """
    from thalweg.storage.periods import period_of
    from thalweg.storage.store import ingest, quality_report

    store, source = _store_and_source(_changed(specfile.read(path), changes or {}))
    dataset = ingest(store, source)
    first, last = period_of(dataset)
    quality = quality_report(store)
    snapshot = str(dataset.attrs["snapshot"])
    return Ingestion(store, dataset.sizes["site"], str(first), str(last), snapshot, quality)


def make_store(experiment: Experiment) -> None:
    """Make the store of an experiment that has a source, and say so, with the errors and warnings found.

    Raises
    ------
    InputError
        When the source is wrong.
    """
    from thalweg.storage.store import ingest, quality_report

    data = experiment.data
    assert data.source is not None  # a check has refused otherwise
    print(f"making {data.store} from {data.source.kind}", file=sys.stderr, flush=True)
    ingest(Path(data.store), data.source.model_dump())
    for line in quality_lines(quality_report(data.store), ("error", "warning")):
        print(line, file=sys.stderr, flush=True)


def _changed(spec: specfile.SpecFile, changes: Mapping[str, Any]) -> specfile.SpecFile:
    if not changes:
        return spec
    if "data" not in spec.content:
        raise InputError(f"{spec.path}: --set changes the keys of an experiment, which this file is not")
    from thalweg.flows.experiment import load_experiment, override

    data = override(load_experiment(spec.path), dict(changes)).data
    return replace(spec, content={"data": data.model_dump()})


def _store_and_source(spec: specfile.SpecFile) -> tuple[Path, Mapping[str, Any]]:
    content, prefix = spec.content, ""
    if "data" in content:
        content, prefix = content["data"], "data."
        if not isinstance(content, dict):
            raise InputError(f"{spec.path}:{spec.line(['data'])}: data: must be keys with values")
    elif unknown := [key for key in content if key not in ("store", "source")]:
        hint = nearest(unknown[0], ["store", "source", "data"])
        raise InputError(f"{spec.path}:{spec.line(unknown[:1])}: {unknown[0]}: unknown key{hint}")
    store, source = content.get("store"), content.get("source")
    if not isinstance(store, str):
        raise InputError(
            f"{spec.path}: {prefix}store: is missing; name the folder to write, such as data/x.zarr"
        )
    if not isinstance(source, dict) or "kind" not in source:
        wanted = "{kind: caravan, path: ...}"
        raise InputError(f"{spec.path}: {prefix}source: is missing; say where the data are, such as {wanted}")
    return Path(store), source
