"""The names that a split gives to the folds of one experiment: known without the data."""

from __future__ import annotations

SHARES = (0.05, 0.1, 0.25, 0.5, 1.0)
WET_DRY = ("precipitation", "discharge")


def share_label(name: str, share: float) -> str:
    """Return the name of the split that trains on a share of the data, such as ``data_share-25``."""
    return f"{name}-{100 * share:g}"


def directions(by: str) -> tuple[str, str]:
    """Return what the two directions of a differential split are called."""
    low, high = (
        ("dry", "wet") if by in WET_DRY else ("cold", "warm") if by == "temperature" else ("low", "high")
    )
    return f"{low}-to-{high}", f"{high}-to-{low}"
