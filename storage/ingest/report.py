"""The quality report of a whole store, from those of its partitions, and who is kept out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import zarr

from thalweg.storage.layout import CHECKED, read_index
from thalweg.storage.quality import QualityRules, merge_reports

QUARANTINE = "quarantine"  # the table of who is kept out and why
QUARANTINED = "quarantined"  # the variable over sites that `open_store` looks at; absent where there is none


def merged_report(before: pd.DataFrame | None, notes: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the report of all sites: those that were read anew, and the others as they were.

    Parameters
    ----------
    before : pandas.DataFrame or None
        The report of the version before.
    notes : list of mapping
        Of the partitions, with ``sites`` and ``findings``.
    """
    read = {site for note in notes for site in note["sites"]}
    parts = [as_report(note["findings"]) for note in notes]
    if before is not None:
        parts.append(before[~before["site"].isin(read)])
    return merge_reports(parts)


def as_columns(report: pd.DataFrame) -> dict[str, list[Any]]:
    """Return a quality report as JSON can hold it; days become text."""
    return {
        str(name): column.astype(str).tolist() if column.dtype.kind == "M" else column.tolist()
        for name, column in report.items()
    }


def as_report(columns: Mapping[str, list[Any]]) -> pd.DataFrame:
    """Return the report that :func:`as_columns` was given."""
    report = pd.DataFrame(dict(columns))
    report["first_day"] = pd.to_datetime(report["first_day"], format="ISO8601").astype("datetime64[ns]")
    return report


def rules_text(rules: QualityRules) -> str:
    """Return rules as JSON, to tell whether they changed."""
    return json.dumps(asdict(rules), sort_keys=True)


def write_quarantined(store: Any, quarantined: pd.DataFrame) -> None:
    """Write the reason of each site that is kept out; it counts in the content's hash.

    Parameters
    ----------
    store : zarr store, writable.
    quarantined : pandas.DataFrame
        As :func:`thalweg.storage.quality.quarantine` gives it.
    """
    root = zarr.open_group(store, mode="r+", zarr_format=3)
    if QUARANTINED in root:
        del root[QUARANTINED]
    if quarantined.empty:
        return
    sites = read_index(store)["site"]
    reasons = np.full(len(sites), "", dtype=object)
    reasons[sites.get_indexer(pd.Index(quarantined["site"]))] = quarantined["reason"].to_numpy(dtype=object)
    array = root.create_array(
        QUARANTINED,
        shape=reasons.shape,
        chunks=reasons.shape,
        dtype=str,
        fill_value="",
        compressors=CHECKED,
        dimension_names=("site",),
    )
    array[:] = reasons
    array.update_attributes({"long_name": "why a site is kept out; empty where it is not", "role": "quality"})
