"""Readers of public data layouts: each gives a catalog, static attributes and blocks of daily series."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, cast

import xarray as xr

from thalweg.storage.conform import conform
from thalweg.storage.errors import InputError
from thalweg.storage.sources.camels_us import CamelsUs
from thalweg.storage.sources.caravan import Caravan
from thalweg.storage.sources.catalog import Catalog, Source, SourceChanged
from thalweg.storage.sources.csv_stations import CsvStations
from thalweg.storage.sources.grid import Grid
from thalweg.storage.sources.outside import Outside
from thalweg.storage.sources.problems import refuse_problems
from thalweg.storage.suggestions import refuse_unknown, suggest

__all__ = ["SOURCES", "Catalog", "Source", "SourceChanged", "find_source", "read_all", "read_source"]

SOURCES: dict[str, Callable[..., Source]] = {
    "camels_us": CamelsUs,
    "caravan": Caravan,
    "csv_stations": CsvStations,
    "grid": Grid,
}


def find_source(spec: object) -> Source:
    """Return the source of a spec. Nothing is read.

    Parameters
    ----------
    spec : mapping
        ``kind``, a name in :data:`SOURCES` or ``package.module:name``, and the options of that source,
        such as ``path``. The name is a function that returns a dataset, a class with the methods of
        :class:`~thalweg.storage.sources.catalog.Source`, or a function that returns such an object.

    Raises
    ------
    InputError
        If there is no such source, or an option is unknown or missing.
    """
    if not isinstance(spec, Mapping):
        raise InputError(f"source: {spec!r} is not a mapping; write it as {{kind: caravan, path: FOLDER}}")
    kind = spec.get("kind")
    if not isinstance(kind, str) or not kind:
        raise InputError(
            f"source: key 'kind' is missing; known: {', '.join(SOURCES)}, or package.module:function"
        )
    options = {str(key): value for key, value in spec.items() if key != "kind" and value is not None}
    if ":" not in kind:
        if kind not in SOURCES:
            raise InputError(f"source: unknown kind {kind!r}; {suggest(kind, SOURCES)}")
        maker: Callable[..., Any] = SOURCES[kind]
        _check_options(maker, options, kind)
        return SOURCES[kind](**options)
    found = _imported(kind)
    if not inspect.isclass(found) and isinstance(found, Source):
        refuse_unknown(options, (), f"option of source {kind}")
        return found
    if not callable(found):
        raise InputError(f"source: {kind!r} is not a function")
    _check_options(found, options, kind)
    if inspect.isclass(found) and all(hasattr(found, name) for name in ("catalog", "attributes", "read")):
        return cast(Source, found(**options))
    return Outside(kind, options)


def read_source(spec: Mapping[str, Any]) -> xr.Dataset:
    """Read a whole source into the form of a store.

    Parameters
    ----------
    spec : mapping
        As :func:`find_source` takes it.

    Returns
    -------
    xarray.Dataset
        Dims ``(site, time)``, as :func:`thalweg.storage.conform.conform` describes.

    Raises
    ------
    InputError
        If the spec is wrong, the data cannot be read, or a day of a site occurs twice.
    """
    return conform(read_all(find_source(spec)), f"source {spec['kind']}")


def read_all(source: Source, sites: Sequence[str] | None = None) -> xr.Dataset:
    """Read all days of sites (by default all) with their attributes.

    Raises
    ------
    InputError
        If the data cannot be read, or a day of a site occurs twice.
    """
    catalog = source.catalog()
    chosen = list(catalog.sites if sites is None else sites)
    series = refuse_problems(source.read(chosen, catalog.first, catalog.last))
    static = source.attributes()
    static = static if sites is None else static.sel(site=chosen)
    return series.merge(static, join="exact", combine_attrs="drop_conflicts")


def _imported(kind: str) -> Any:
    module, _, name = kind.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as problem:
        raise InputError(f"source: cannot import {kind!r}: {problem}") from problem


def _check_options(maker: Callable[..., Any], options: Mapping[str, Any], kind: str) -> None:
    """Refuse options that a source does not know, and those that it lacks."""
    try:
        parameters = list(inspect.signature(maker).parameters.values())
    except ValueError:  # some builtins have no signature
        return
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        refuse_unknown(options, [parameter.name for parameter in parameters], f"option of source {kind}")
    for parameter in parameters:
        variadic = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if parameter.default is parameter.empty and not variadic and parameter.name not in options:
            raise InputError(f"source {kind}: option {parameter.name!r} is missing")
