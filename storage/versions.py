"""Published versions of a store: which there are, what differs, tags, and going back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from thalweg.storage.errors import InputError
from thalweg.storage.faults import explained
from thalweg.storage.lock import exclusive
from thalweg.storage.repository import MAIN, PUBLISHED, Repository

if TYPE_CHECKING:
    import icechunk

ROLLED_BACK = "rolled-back-"
SHORTEST = 4  # characters of a content's hash that may stand for it
SAFE_AGE = timedelta(days=7)  # no update takes longer; younger garbage may be of one under way


@dataclass(frozen=True)
class Version:
    """A published version of a store."""

    snapshot: str
    id: str  # Icechunk's
    written: datetime
    message: str
    current: bool
    tags: tuple[str, ...] = ()
    properties: dict[str, Any] = field(default_factory=dict)


def log(repository: Repository) -> list[Version]:
    """List what was published, the newest first; versions that were rolled back too."""
    with explained(repository.location):
        raw = repository.raw
        tags = {name: raw.lookup_tag(name) for name in raw.list_tags()}
        chain = {info.id for info in _published(repository, raw.lookup_branch(MAIN))}
        found = {info.id: info for info in _all_published(repository)}
    versions = [
        Version(
            snapshot=str(info.metadata["properties"]["snapshot"]),
            id=info.id,
            written=info.written_at,
            message=info.message,
            current=info.id in chain,
            tags=tuple(sorted(name for name, target in tags.items() if target == info.id)),
            properties=info.metadata["properties"],
        )
        for info in found.values()
    ]
    return sorted(versions, key=lambda version: version.written, reverse=True)


def resolve(repository: Repository, ref: str) -> str:
    """Return the Icechunk snapshot that a reference means; see :meth:`Repository.snapshot`."""
    raw = repository.raw
    if ref == MAIN:
        return raw.lookup_branch(MAIN)
    if ref in raw.list_tags():
        return raw.lookup_tag(ref)
    wanted, matches = ref.lower(), dict[str, str]()
    for info in _all_published(repository):
        content = str(info.metadata["properties"]["snapshot"])
        if info.id == ref or content == wanted:
            return info.id
        if len(wanted) >= SHORTEST and content.startswith(wanted):
            matches.setdefault(content, info.id)
    if len(matches) == 1:
        return next(iter(matches.values()))
    if matches:
        several = ", ".join(content[: len(wanted) + 6] for content in matches)
        raise InputError(f"{repository.location}: version {ref} could be any of {several}; write more of it")
    raise InputError(f"{repository.location}: no version {ref}; `thalweg data log` lists them")


def tag(repository: Repository, name: str, ref: str = MAIN) -> str:
    """Give a version a name that stays; returns the content's hash.

    Raises
    ------
    InputError
        When the name is taken, or no name.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.+-]{0,99}", name, flags=re.ASCII):
        raise InputError(f"tag {name!r}: letters, digits and . _ + - make a tag, 100 at most")
    if name == MAIN or name.startswith(ROLLED_BACK):
        raise InputError(f"tag {name!r}: is a name of our own; choose another")
    content = str(repository.dataset(ref).attrs["snapshot"])
    target = repository.snapshot(ref)
    with explained(repository.location), exclusive(repository.location):
        raw = repository.raw
        if name in raw.list_tags():
            if raw.lookup_tag(name) == target:
                return content
            raise InputError(f"{repository.location}: tag {name} is there; tags are never moved")
        raw.create_tag(name, target)
    return content


def rollback(repository: Repository, ref: str) -> str:
    """Make an earlier version the one that readers see; the later ones stay in the log.

    Returns
    -------
    str : the content's hash.
    """
    content = str(repository.dataset(ref).attrs["snapshot"])
    target = repository.snapshot(ref)
    with explained(repository.location), exclusive(repository.location):
        raw = repository.raw
        tip = raw.lookup_branch(MAIN)
        if tip == target:
            return content
        # Without a name it would be garbage, and runs that recorded it could not be made again.
        raw.create_tag(f"{ROLLED_BACK}{datetime.now(UTC):%Y%m%dT%H%M%S}-{tip[:6]}", tip)
        raw.reset_branch(MAIN, target, from_snapshot_id=tip)
    return content


def clean(repository: Repository, older_than: timedelta = SAFE_AGE) -> dict[str, int]:
    """Remove drafts that nobody goes on with, and what no version refers to.

    Parameters
    ----------
    older_than : nothing younger is touched. It must be longer than any update takes.

    Returns
    -------
    dict : ``drafts`` removed, ``objects`` and ``bytes`` deleted.
    """
    from thalweg.storage.draft import PREFIX

    limit = datetime.now(UTC) - older_than
    drafts = 0
    with explained(repository.location), exclusive(repository.location):
        raw = repository.raw
        for branch in raw.list_branches():
            tip = raw.lookup_snapshot(raw.lookup_branch(branch))
            if branch.startswith(PREFIX) and tip.written_at < limit:
                raw.delete_branch(branch)
                drafts += 1
        done = raw.garbage_collect(limit)
    counts = (done.chunks_deleted, done.manifests_deleted, done.snapshots_deleted)
    objects = sum(counts) + done.attributes_deleted + done.transaction_logs_deleted
    return {"drafts": drafts, "objects": objects, "bytes": done.bytes_deleted}


def _published(repository: Repository, tip: str) -> Iterator[icechunk.SnapshotInfo]:
    """Yield the published snapshots up to a tip, the newest first, without the steps between them."""
    info = repository.raw.lookup_snapshot(tip)
    while info.metadata.get(PUBLISHED):
        yield info
        info = repository.raw.lookup_snapshot(info.metadata["draft"][1])


def _all_published(repository: Repository) -> Iterator[icechunk.SnapshotInfo]:
    """Yield every published snapshot once, those of ``main`` first."""
    raw = repository.raw
    seen: set[str] = set()
    tips = [raw.lookup_branch(MAIN), *(raw.lookup_tag(name) for name in sorted(raw.list_tags()))]
    for tip in tips:
        for info in _published(repository, tip):
            if info.id in seen:
                break
            seen.add(info.id)
            yield info
