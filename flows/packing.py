"""What a job on a cluster is sent: the experiment, the code that it names, and Thalweg as it is here."""

from __future__ import annotations

import hashlib
import io
import json
import re
import site
import sys
import sysconfig
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import thalweg
from thalweg.storage.errors import InputError

ORDER = "order.json"
MOST_BYTES = 100 * 2**20  # what Ray's Jobs API takes
FLOORS = ("storage", "models", "evaluation", "flows")
DOTTED = re.compile(r"([A-Za-z_]\w*)(?:\.\w+)*:[A-Za-z_]\w*")  # package.module:name
LEFT_OUT = ("__pycache__", "*.pyc", "*.zarr", ".*", "node_modules", "runs")


@dataclass(frozen=True)
class Package:
    """A zip file with all that a job needs; the same content gives the same bytes.

    Attributes
    ----------
    modules : names of the packages and modules of the user's that are in it.
    """

    content: bytes
    modules: tuple[str, ...]

    @property
    def digest(self) -> str:
        """A hash of the content."""
        return hashlib.sha256(self.content).hexdigest()


def pack(path: Path, experiment: Mapping[str, Any], order: Mapping[str, Any]) -> Package:
    """Pack an experiment file for a job.

    Parameters
    ----------
    experiment : its content; what is named in it as ``package.module:name`` is packed too, unless it is
        installed: then the cluster must have it as well.
    order : what :mod:`thalweg.flows.submitted` is to do with it.

    Raises
    ------
    InputError
        When it is more than Ray takes; the largest files are named.
    """
    modules = tuple(sorted(set(_own_modules(experiment))))
    files = {path.name: path, **_thalweg()}
    for name in modules:
        files |= _module(name)
    sent = {**order, "experiment": path.name}
    content = _zipped(files, {ORDER: json.dumps(sent, indent=2, sort_keys=True), **_metadata()})
    if len(content) >= MOST_BYTES:
        largest = sorted(files.values(), key=lambda file: -file.stat().st_size)[:3]
        named = ", ".join(f"{file} ({file.stat().st_size / 2**20:.0f} MiB)" for file in largest)
        raise InputError(
            f"{path}: the code that it names makes {len(content) / 2**20:.0f} MiB, and Ray takes "
            f"{MOST_BYTES / 2**20:.0f}: keep data outside of packages; the largest are {named}"
        )
    return Package(content, modules)


def _own_modules(content: Any) -> Iterator[str]:
    """Name the top packages or modules that an experiment names and that are not installed."""
    if isinstance(content, Mapping):
        for value in content.values():
            yield from _own_modules(value)
    elif isinstance(content, list | tuple):
        for value in content:
            yield from _own_modules(value)
    elif isinstance(content, str) and (found := DOTTED.fullmatch(content)) and _is_own(found[1]):
        yield found[1]


def _is_own(name: str) -> bool:
    return name != "thalweg" and any(not _installed(place) for place in _places(name))


def _places(name: str) -> list[Path]:
    """Give the file of a module or the folders of a package; nothing for what cannot be found."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        return [Path(place).resolve() for place in spec.submodule_search_locations]
    return [Path(spec.origin).resolve()] if spec.origin and spec.has_location else []


def _installed(place: Path) -> bool:
    """Tell whether a place belongs to Python or to what pip has installed."""
    homes = [*site.getsitepackages(), site.getusersitepackages(), *sysconfig.get_paths().values()]
    roots = {Path(home).resolve() for home in homes} - {Path(sys.prefix).resolve(), Path.cwd()}
    return any(place.is_relative_to(root) for root in roots)


def _module(name: str) -> dict[str, Path]:
    """Give the files of a module or package by their names in the zip."""
    found: dict[str, Path] = {}
    for place in _places(name):
        if place.is_file():
            found[place.name] = place
        else:
            found |= {f"{name}/{inner}": file for inner, file in _files(place)}
    return found


def _thalweg() -> dict[str, Path]:
    found = {"thalweg/__init__.py": Path(thalweg.__file__)}
    for floor in FLOORS:
        for place in _places(f"thalweg.{floor}"):
            found |= {f"thalweg/{floor}/{inner}": file for inner, file in _files(place)}
    return found


def _metadata() -> dict[str, str]:
    """Give what tells Thalweg's version where it is not installed."""
    version = thalweg.__version__
    text = f"Metadata-Version: 2.1\nName: thalweg\nVersion: {version}\n"
    return {f"thalweg-{version}.dist-info/METADATA": text}


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(folder.rglob("*")):
        inner = file.relative_to(folder)
        out = any(Path(part).match(pattern) for part in inner.parts for pattern in LEFT_OUT)
        if file.is_file() and not out:
            yield inner.as_posix(), file


def _zipped(files: Mapping[str, Path], texts: Mapping[str, str]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted({*files, *texts}):
            content = texts[name].encode() if name in texts else files[name].read_bytes()
            entry = zipfile.ZipInfo(name)  # of 1980: the time of a file is no part of the content
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, content)
    return stream.getvalue()
