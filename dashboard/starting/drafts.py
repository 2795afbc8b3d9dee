"""What an experiment can begin with: files of the workspace, what was run before, jobs of the page."""

from pathlib import Path
from typing import Any

import yaml

from thalweg.dashboard.reading import cards
from thalweg.dashboard.starting import jobs
from thalweg.dashboard.starting.job_keeper import EXPERIMENT
from thalweg.dashboard.starting.typed import MOST_BYTES, files
from thalweg.dashboard.starting.typed_paths import workspace
from thalweg.flows.experiment import Experiment
from thalweg.storage.results import Run

_JOBS = 20
_EMPTY = """\
name: my-experiment
data: {store: data/my.zarr}
splits:
  - {kind: temporal, train: [1989-10-01, 1999-09-30], test: [1999-10-01, 2009-09-30]}
models:
  hybrid: {kind: hybrid, process: hbv}
  climatology: {kind: climatology}
"""


def origins() -> dict[str, str]:
    """What there is to begin with, and how it is called on the page."""
    found = {f"file:{path.relative_to(workspace())}": str(path.relative_to(workspace())) for path in files()}
    for run in cards.read():
        found.setdefault(f"run:{run.experiment}", f"{run.experiment}, as it was run")
    for job in jobs.jobs()[:_JOBS]:
        found[f"job:{job.id}"] = f"job {job.id}"
    return {**found, "new:": "an outline"}


def first(found: dict[str, str]) -> str:
    """What the page begins with: the sample where it is there."""
    return next((name for name in found if name.endswith("sample.yaml")), next(iter(found)))


def text_of(origin: str) -> str:
    """The text of one of :func:`origins`; the outline where it is gone."""
    kind, _, name = origin.partition(":")
    try:
        if kind == "file":
            known = {str(path.relative_to(workspace())): path for path in files()}
            return known[name].read_text(encoding="utf-8") if name in known else _EMPTY
        if kind == "run":
            return _of_run(name) or _EMPTY
        if kind == "job" and (job := jobs.find(name)) is not None:
            return (job.folder / EXPERIMENT).read_text(encoding="utf-8")[:MOST_BYTES]
    except (OSError, UnicodeDecodeError):
        return _EMPTY
    return _EMPTY


def _of_run(experiment: str) -> str:
    """The experiment of its newest run that tells, as YAML, without what is by default."""
    own = [run for run in cards.read() if run.experiment == experiment]
    for card in sorted(own, key=lambda run: -max(run.stamp, default=0)):
        config = Run(Path(card.path)).manifest.get("config")
        try:
            given = Experiment.model_validate(config).model_dump(exclude_defaults=True, warnings=False)
        except ValueError:
            continue
        content = _plain(given)
        return yaml.safe_dump(
            content, sort_keys=False, default_flow_style=None, allow_unicode=True, width=100
        )
    return ""


def _plain(value: Any) -> Any:
    """What YAML can hold: lists where there are tuples."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
