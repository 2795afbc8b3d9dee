"""The splits that an experiment can ask for."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, PlainValidator, StrictInt

from thalweg.flows.spec import Name, Share, Spec


def _groups(value: Any) -> int | tuple[tuple[str, ...], ...] | None:
    """Read a number of groups, or groups of labels; a label alone is a group."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 2):
        return value
    if not isinstance(value, (list, tuple)) or len(value) < 2:
        raise ValueError("must be two or more groups of labels, such as [[a, b], [c]], or their number")
    groups = [group if isinstance(group, (list, tuple)) else [group] for group in value]
    if any(isinstance(label, (list, dict, bool, float)) for group in groups for label in group):
        raise ValueError("has a label that is neither text nor a whole number")
    return tuple(tuple(str(label) for label in group) for group in groups)


def _ordered(period: tuple[date, date]) -> tuple[date, date]:
    if period[0] >= period[1]:
        raise ValueError(f"starts on {period[0]}, which is not before its end, {period[1]}")
    return period


Period = Annotated[tuple[date, date], AfterValidator(_ordered)]


class _Split(Spec):
    name: Name | None = None

    @property
    def label(self) -> str:
        """The name that run folders and tables carry."""
        return self.name or str(self.kind)  # type: ignore[attr-defined]

    def spec(self) -> dict[str, Any]:
        """Give the mapping that :func:`thalweg.storage.splits.make_folds` takes."""
        return self.model_dump(exclude_none=True)


class TemporalSplit(_Split):
    """The same sites, another time."""

    kind: Literal["temporal"]
    train: Period
    test: Period
    validate_: Annotated[Period | None, Field(alias="validate")] = None

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)


class UngaugedSitesSplit(_Split):
    """Sites never seen, drawn at random into folds."""

    kind: Literal["ungauged_sites"]
    folds: Annotated[StrictInt, Field(ge=2)] = 5
    train: Period | None = None
    test: Period | None = None
    validate_share: Share | None = None
    train_sites: Annotated[StrictInt, Field(ge=2)] | None = None


class UngaugedRegionsSplit(_Split):
    """Whole regions never seen."""

    kind: Literal["ungauged_regions"]
    by: str = "region"
    groups: Annotated[int | tuple[tuple[str, ...], ...] | None, PlainValidator(_groups)] = None
    train: Period | None = None
    test: Period | None = None
    validate_share: Share | None = None
    train_sites: Annotated[StrictInt, Field(ge=2)] | None = None


Split = Annotated[TemporalSplit | UngaugedSitesSplit | UngaugedRegionsSplit, Field(discriminator="kind")]
