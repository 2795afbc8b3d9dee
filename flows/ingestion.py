"""`thalweg ingest`: from a source to a store, with the report of its quality."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.flows import logs, specfile
from thalweg.flows.names import nearest
from thalweg.storage.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from thalweg.flows.experiment import Experiment
    from thalweg.storage.ingest.pipeline import Ingest, Result
    from thalweg.storage.ingest.plan import Options, Plan

KEYS = ("store", "source", "quality", "ingest")
DATA_KEYS = ("target", "forcings", "attributes")  # of an experiment's `data` besides
INGEST_KEYS = ("workers", "late_days", "retries")
MESSAGES_SHOWN = 12
SITES_SHOWN = 3


@dataclass(frozen=True)
class Spec:
    """What a file says about an ingest.

    Attributes
    ----------
    store : folder or ``s3://bucket/prefix``.
    source : as :func:`thalweg.storage.sources.find_source` takes it.
    quality : options of :class:`thalweg.storage.quality.QualityRules`.
    ingest : `workers`, `late_days` and `retries` of :class:`thalweg.storage.ingest.plan.Options`.
    """

    store: str
    source: Mapping[str, Any]
    quality: Mapping[str, Any] | None = None
    ingest: Mapping[str, Any] | None = None


@dataclass
class Ingestion:
    """A store that is there, and what its check found."""

    store: str
    sites: int
    first: str
    last: str
    snapshot: str
    reasons: Mapping[str, int]
    changed: int
    quarantined: int
    quality: pd.DataFrame

    def summary(self) -> dict[str, Any]:
        """Give all of it for scripts."""
        return {
            "store": self.store,
            "sites": self.sites,
            "first": self.first,
            "last": self.last,
            "snapshot": self.snapshot,
            "reasons": dict(self.reasons),
            "changed": self.changed,
            "quarantined": self.quarantined,
            "quality": self.quality.to_dict("records"),
        }

    def text(self) -> str:
        """Give it in words, the gravest findings first."""
        lines = [
            f"{self.store}: {self.sites} sites, {self.first} to {self.last}, snapshot {self.snapshot[:12]}",
            "  " + ", ".join(f"{count:,} {reason}" for reason, count in self.reasons.items()),
        ]
        if self.quarantined:
            lines.append(
                f"  {self.quarantined:,} kept out (quarantine): `thalweg ingest --json` has the reasons"
            )
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


def read_spec(path: Path, changes: Mapping[str, Any] | None = None) -> Spec:
    """Read what a file says about an ingest.

    Parameters
    ----------
    path : an experiment, or a YAML file with the keys ``store`` and ``source``.
    changes : dotted keys of an experiment with values that take the place of the file's.

    Raises
    ------
    InputError
        When a key is missing or unknown.
    """
    return _spec(_changed(specfile.read(path), changes or {}))


def options_of(spec: Spec, **given: Any) -> Options:
    """Give the options of an ingest: those that are not None count before the file's.

    Raises
    ------
    InputError
        When a key of ``ingest`` or ``quality`` is unknown, or its value is none.
    """
    from thalweg.storage.ingest.plan import Options
    from thalweg.storage.quality import QualityRules

    written = dict(spec.ingest or {})
    for key, value in written.items():
        if key not in INGEST_KEYS:
            raise InputError(f"ingest: {key}: unknown key{nearest(key, INGEST_KEYS)}")
        least = int(key == "workers")
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(f"ingest: {key}: {value!r} is wrong; write a whole number from {least} on")
    chosen = written | {key: value for key, value in given.items() if value is not None}
    return Options(**chosen, rules=QualityRules.from_options(spec.quality))


def plan_file(path: Path, changes: Mapping[str, Any] | None = None, **given: Any) -> Plan:
    """Give what an ingest would do; nothing is changed.

    Parameters
    ----------
    path, changes, given : as :func:`ingest_file` takes them.
    """
    from thalweg.storage.ingest.pipeline import Ingest

    spec = read_spec(path, changes)
    return Ingest(spec.store, spec.source, options_of(spec, **given)).plan


def ingest_file(path: Path, changes: Mapping[str, Any] | None = None, **given: Any) -> Ingestion:
    """Bring the store that a file describes up to its source, as a Prefect flow where there is work.

    Parameters
    ----------
    path, changes : as :func:`read_spec` takes them.
    given : options of :class:`thalweg.storage.ingest.plan.Options`.

    Raises
    ------
    InputError
        When a key is missing or the source is wrong.
    """
    from thalweg.storage.ingest.pipeline import ingest_all

    spec = read_spec(path, changes)
    options = options_of(spec, **given)
    with logs.told("ingest", store=spec.store):
        result = ingest_all(
            spec.store, spec.source, options, on_wait=lambda: _waiting(spec.store), run=_as_flow
        )
    return describe(spec.store, result)


def describe(store: str, result: Result) -> Ingestion:
    """Give what is there after an ingest."""
    from thalweg.storage.periods import period_of
    from thalweg.storage.store import open_store, quality_report

    dataset = open_store(store)
    first, last = period_of(dataset)
    return Ingestion(
        store,
        dataset.sizes["site"],
        str(first),
        str(last),
        result.snapshot,
        result.plan.reasons,
        result.changed,
        result.quarantined,
        quality_report(store),
    )


def _as_flow(ingest: Ingest) -> Result:
    from thalweg.flows.ingest_flow import run_as_flow  # Prefect only where there is work

    return run_as_flow(ingest)


def _waiting(store: str) -> None:
    print(f"{store}: another ingest is running; waiting for it", file=sys.stderr, flush=True)


def make_store(experiment: Experiment) -> None:
    """Make the store of an experiment that has a source, and say so, with the errors and warnings found.

    Raises
    ------
    InputError
        When the source is wrong.
    """
    from thalweg.storage.ingest.pipeline import ingest_all
    from thalweg.storage.store import quality_report

    data = experiment.data
    assert data.source is not None  # a check has refused otherwise
    print(f"making {data.store} from {data.source.kind}", file=sys.stderr, flush=True)
    spec = Spec(data.store, data.source.model_dump(), data.quality, data.ingest)
    ingest_all(spec.store, spec.source, options_of(spec))
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


def _spec(spec: specfile.SpecFile) -> Spec:
    content, prefix = spec.content, ""
    if "data" in content:
        content, prefix = content["data"], "data."
        if not isinstance(content, dict):
            raise InputError(f"{spec.path}:{spec.line(['data'])}: data: must be keys with values")
        if unknown := [key for key in content if key not in (*KEYS, *DATA_KEYS)]:
            hint = nearest(unknown[0], [*KEYS, *DATA_KEYS])
            line = spec.line(["data", unknown[0]])
            raise InputError(f"{spec.path}:{line}: data.{unknown[0]}: unknown key{hint}")
    elif unknown := [key for key in content if key not in KEYS]:
        hint = nearest(unknown[0], [*KEYS, "data"])
        raise InputError(f"{spec.path}:{spec.line(unknown[:1])}: {unknown[0]}: unknown key{hint}")
    store, source = content.get("store"), content.get("source")
    if not isinstance(store, str) or not store.strip():
        raise InputError(
            f"{spec.path}: {prefix}store: is missing; name the folder to write, such as data/x.zarr"
        )
    if not isinstance(source, dict) or "kind" not in source:
        wanted = "{kind: caravan, path: ...}"
        raise InputError(f"{spec.path}: {prefix}source: is missing; say where the data are, such as {wanted}")
    for key in ("quality", "ingest"):
        if not isinstance(content.get(key) or {}, dict):
            raise InputError(f"{spec.path}: {prefix}{key}: must be keys with values")
    return Spec(store, source, content.get("quality"), content.get("ingest"))
