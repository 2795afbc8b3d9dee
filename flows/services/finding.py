"""What one check of `thalweg doctor` found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes
    ----------
    advice : what to do; nothing where all is well.
    """

    check: str
    level: Level
    found: str
    advice: str = ""
