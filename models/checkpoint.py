"""Checkpoints on disk: written whole, the one before kept, and none that is damaged used."""

from __future__ import annotations

import os
import time
import uuid
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

ABANDONED_AFTER_SECONDS = 3600.0  # a part this old belongs to a writer that was killed


def save_atomically(content: Any, path: Path) -> None:
    """Write with ``torch.save`` so that a reader finds the old file or the new one, never a half."""
    temporary = _written(content, path)
    temporary.replace(path)


def save_checkpoint(content: Any, path: Path) -> None:
    """Write a checkpoint and keep the one before beside it, for the case that the new one gets damaged."""
    temporary = _written(content, path)
    with suppress(FileNotFoundError):
        path.replace(previous(path))
    temporary.replace(path)  # until now the one before is what a reader takes


def load_checkpoint(path: Path, device: torch.device) -> Any:
    """Give the newest checkpoint that is whole, or None; a damaged one is told and removed.

    Each part of the file carries a checksum, which torch itself does not compare.
    """
    for candidate in (path, previous(path)):
        if not candidate.exists():
            continue
        if _whole(candidate):
            return torch.load(candidate, weights_only=True, map_location=device)
        candidate.unlink()
        warnings.warn(f"{candidate} was damaged: going on from an earlier state", stacklevel=2)
    return None


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint, the one before it, and what writers that were killed have left."""
    for each in (path, previous(path), *path.parent.glob(f"{path.name}.*.partial")):
        each.unlink(missing_ok=True)


def previous(path: Path) -> Path:
    """Give the place of the checkpoint before."""
    return path.with_suffix(".previous" + path.suffix)


def _written(content: Any, path: Path) -> Path:
    """Write under a name of its own: a worker that was believed lost may still write at the same time."""
    _tidy(path)
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}.partial")
    try:
        with temporary.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _tidy(path: Path) -> None:
    """Remove what writers that were killed have left."""
    for part in path.parent.glob(f"{path.name}.*.partial"):
        with suppress(OSError):  # another one was quicker
            if time.time() - part.stat().st_mtime > ABANDONED_AFTER_SECONDS:
                part.unlink()


def _whole(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, EOFError):
        return False
