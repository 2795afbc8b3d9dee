"""`thalweg ingest`: from a source to a store, with the report of its quality."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.flows import specfile
from thalweg.flows.names import nearest
from thalweg.storage.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from thalweg.flows.experiment import Experiment

MESSAGES_SHOWN = 12


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
        counts = self.quality["severity"].value_counts()
        lines += (
            [", ".join(f"{number} {severity}" for severity, number in counts.items())] if len(counts) else []
        )
        messages = list(self.quality["message"])
        lines += [f"  {message}" for message in messages[:MESSAGES_SHOWN]]
        if len(messages) > MESSAGES_SHOWN:
            lines.append(f"  and {len(messages) - MESSAGES_SHOWN} more: --json lists them all")
        return "\n".join(lines)


def ingest_file(path: Path) -> Ingestion:
    """Make the store that a file describes; one that is there and of the same source is left alone.

    Parameters
    ----------
    path : an experiment, or a YAML file with the keys ``store`` and ``source``.

    Raises
    ------
    InputError
        When a key is missing or the source is wrong.
    """
    from thalweg.storage.periods import period_of
    from thalweg.storage.store import ingest, quality_report

    store, source = _store_and_source(specfile.read(path))
    dataset = ingest(store, source)
    first, last = period_of(dataset)
    quality = quality_report(store)
    snapshot = str(dataset.attrs["snapshot"])
    return Ingestion(store, dataset.sizes["site"], str(first), str(last), snapshot, quality)


def make_store(experiment: Experiment) -> None:
    """Make the store of an experiment that has a source, and say so.

    Raises
    ------
    InputError
        When the source is wrong.
    """
    from thalweg.storage.store import ingest

    data = experiment.data
    assert data.source is not None  # a check has refused otherwise
    print(f"making {data.store} from {data.source.kind}", file=sys.stderr, flush=True)
    ingest(Path(data.store), data.source.model_dump())


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
