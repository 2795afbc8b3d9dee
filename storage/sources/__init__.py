"""Readers of public data layouts: each gives an :class:`xarray.Dataset` over sites and days."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import xarray as xr

from thalweg.storage.conform import conform
from thalweg.storage.errors import InputError
from thalweg.storage.sources.camels_us import read_camels_us
from thalweg.storage.sources.caravan import read_caravan
from thalweg.storage.suggestions import refuse_unknown, suggest

Source = Callable[..., xr.Dataset]

SOURCES: dict[str, Source] = {"camels_us": read_camels_us, "caravan": read_caravan}


def find_source(kind: object) -> Source:
    """Return the reader of a kind: a name in :data:`SOURCES`, or ``package.module:function``.

    Raises
    ------
    InputError
        If there is no such reader.
    """
    if not isinstance(kind, str) or not kind:
        raise InputError(
            f"source: key 'kind' is missing; known: {', '.join(SOURCES)}, or package.module:function"
        )
    if ":" not in kind:
        if kind not in SOURCES:
            raise InputError(f"source: unknown kind {kind!r}; {suggest(kind, SOURCES)}")
        return SOURCES[kind]
    module, _, name = kind.partition(":")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as problem:
        raise InputError(f"source: cannot import {kind!r}: {problem}") from problem
    if not callable(found):
        raise InputError(f"source: {kind!r} is not a function")
    reader: Source = found
    return reader


def _parameters(reader: Source) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(reader).parameters.values())
    except ValueError:  # some builtins have no signature
        return [inspect.Parameter("options", inspect.Parameter.VAR_KEYWORD)]


def read_source(spec: Mapping[str, Any]) -> xr.Dataset:
    """Read a source into the form of a store.

    Parameters
    ----------
    spec : mapping
        ``kind`` (see :func:`find_source`) and the options of that reader, such as ``path``.

    Returns
    -------
    xarray.Dataset
        Dims ``(site, time)``, as :func:`thalweg.storage.conform.conform` describes.

    Raises
    ------
    InputError
        If the spec is wrong or the data cannot be read.
    """
    if not isinstance(spec, Mapping):
        raise InputError(f"source: {spec!r} is not a mapping; write it as {{kind: caravan, path: FOLDER}}")
    reader = find_source(spec.get("kind"))
    options = {str(key): value for key, value in spec.items() if key != "kind" and value is not None}
    parameters = _parameters(reader)
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        refuse_unknown(
            options, [parameter.name for parameter in parameters], f"option of source {spec['kind']}"
        )
    for parameter in parameters:
        variadic = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if parameter.default is parameter.empty and not variadic and parameter.name not in options:
            raise InputError(f"source {spec['kind']}: option {parameter.name!r} is missing")
    dataset = reader(**options)
    if not isinstance(dataset, xr.Dataset):
        raise InputError(f"source {spec['kind']}: gave a {type(dataset).__name__}, not an xarray.Dataset")
    return conform(dataset, f"source {spec['kind']}")
