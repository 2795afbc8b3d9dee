"""What kind of split each run was scored on."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import TypeAdapter, ValidationError

from thalweg.flows.split_spec import Split
from thalweg.storage.results import Run
from thalweg.storage.splits import KINDS

# of the whole only these: to look at the models as well would import torch
_SPLITS: TypeAdapter[tuple[Split, ...]] = TypeAdapter(tuple[Split, ...])


def split_kinds(runs: Sequence[Run]) -> dict[str, str]:
    """Give the kind of every split that runs were scored on, in the order of the runs.

    A run whose manifest tells no experiment, as of another version, has the kind that its split is named
    after, if any.
    """
    kinds: dict[str, str] = {}
    for run in runs:
        if run.split not in kinds:
            kinds |= _told(run)
    used = dict.fromkeys(run.split for run in runs)
    return {split: kinds.get(split, split) for split in used if split in kinds or split in KINDS}


def _told(run: Run) -> dict[str, str]:
    config = run.manifest.get("config")
    try:
        splits = _SPLITS.validate_python(config.get("splits") if isinstance(config, dict) else None)
    except ValidationError:
        return {}
    return {label: str(split.kind) for split in splits for label in split.labels}
