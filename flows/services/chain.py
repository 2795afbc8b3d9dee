"""One night of the chain of :mod:`thalweg.flows.nightly`, as tasks of the flow that schedules run.

What reads the experiment or its store, or takes and sends runs, is a task: tried again where that may help.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from thalweg.flows import logs, nightly, nightly_spec
from thalweg.flows.services.automations import DRIFT_EVENT
from thalweg.flows.services.retrying import guarded
from thalweg.flows.services.training import train
from thalweg.flows.services.updating import ingest
from thalweg.storage import run_sharing
from thalweg.storage.run_mirror import results


def chain(spec: Path, runs: Path, hours: float) -> str:
    """Ingest, look at the newest model, tell of drift, train anew when it is time; says what was done."""
    settings, experiment = guarded(hours, name=f"read {spec.name}")(nightly_spec.read_chain)(spec)
    said = [ingest(Path(settings.experiment), hours)]
    folder = runs / experiment.name
    if nightly.newest_run(runs, settings, experiment.name) is None:
        said.append(_train(settings, runs, {}, hours))
        # it may have been run elsewhere; with its weights
        guarded(hours, name=f"take runs of {experiment.name}")(run_sharing.pull)(folder, results)
    run = nightly.newest_run(runs, settings, experiment.name)
    if run is None:
        return "\n".join([*said, f"{settings.model} of {experiment.name}: no run is done"])
    key = guarded(hours, name=f"name the look at {run.id}")(_key)(run.path, experiment.data.store, settings)
    content = guarded(hours, name=f"look at {run.id}", cache_key=key)(_look)(
        str(run.path), settings.model_dump()
    )
    if content is None:
        said.append(f"{run.id}: too few new days to tell of drift")
    else:
        found = nightly.Look(**content)
        nightly.keep_look(folder, found)
        said.append(found.text())
        _tell(found)
    due = guarded(hours, name=f"see whether {experiment.name} is due")(nightly.due)
    if changes := due(folder, settings, experiment):
        said.append(_train(settings, runs, changes, hours))
        nightly.keep_retrained(folder, changes["name"])
    return "\n".join(said)


def _train(settings: nightly_spec.Chain, runs: Path, changes: Mapping[str, Any], hours: float) -> str:
    path = Path(settings.experiment)
    return str(guarded(hours, name=f"train {path.name}")(train)(path, runs, dict(changes), False, hours))


def _look(run: str, settings: dict[str, Any]) -> dict[str, Any] | None:
    from thalweg.storage.results import Run

    found = nightly.look(Run(Path(run)), nightly_spec.Chain.model_validate(settings))
    return None if found is None else asdict(found)


def _key(run: Path, store: str, settings: nightly_spec.Chain) -> str:
    """Name a look by all that it depends on: the weights, the version of the store, the settings."""
    from thalweg.storage.store import open_store

    digest = hashlib.sha256((run / "weights.pt").read_bytes())
    digest.update(f"{run}{open_store(store).attrs['snapshot']}{settings.model_dump_json()}".encode())
    return f"thalweg-look-{digest.hexdigest()}"


def _tell(found: nightly.Look) -> None:
    """Keep the look with the flow run, and ring when the model drifts."""
    from prefect.artifacts import create_table_artifact
    from prefect.events import emit_event

    rows: Any = [{"what": key, "value": value} for key, value in asdict(found).items()]
    name = "".join(letter if letter.isalnum() else "-" for letter in found.run.lower()).strip("-")
    create_table_artifact(rows, key=f"drift-{name}"[:250], description=found.text())
    logs.event("drift" if found.drift else "no-drift", "warning" if found.drift else "info", **asdict(found))
    if found.drift:
        emit_event(
            DRIFT_EVENT,
            resource={"prefect.resource.id": f"thalweg.run.{found.run}"},
            payload={"run": found.run, "message": found.text()},
        )
