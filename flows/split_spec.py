"""The splits that an experiment can ask for."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, PlainValidator, StrictInt

from thalweg.flows.spec import Name, Number, Positive, Share, Spec
from thalweg.storage.split_names import SHARES, directions, share_label


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
Folds = Annotated[StrictInt, Field(ge=2)]
Days = Annotated[StrictInt, Field(ge=0)]
OpenShare = Annotated[Number, Field(gt=0, lt=1)]


class _Split(Spec):
    name: Name | None = None

    @property
    def label(self) -> str:
        """The split's own name."""
        return self.name or str(self.kind)  # type: ignore[attr-defined]

    @property
    def labels(self) -> tuple[str, ...]:
        """The names that run folders and tables carry: one for each claim that is tested apart."""
        return (self.label,)

    def spec(self) -> dict[str, Any]:
        """Give the mapping that :func:`thalweg.storage.splits.make_folds` takes."""
        return self.model_dump(exclude_none=True)

    def content(self, label: str) -> dict[str, Any]:
        """Give all that the folds with one of the `labels` depend on, for comparing runs."""
        del label
        return self.model_dump(mode="json")


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
    folds: Folds = 5
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


class SpatialBlocksSplit(_Split):
    """Blocks of land never seen, and nothing within a buffer of them."""

    kind: Literal["spatial_blocks"]
    folds: Folds = 5
    block_km: Positive | None = None
    buffer_km: Annotated[Number, Field(ge=0)] | None = None
    train: Period | None = None
    test: Period | None = None
    validate_share: Share | None = None


class _YearsSplit(_Split):
    by: str | None = None
    share: OpenShare | None = None
    years: Literal["own", "common"] | None = None
    period: Period | None = None
    first_month: Annotated[StrictInt, Field(ge=1, le=12)] | None = None
    gap_days: Days | None = None
    validate_share: Share | None = None


class ExtremeYearsSplit(_YearsSplit):
    """The same sites in years more extreme than those trained on."""

    kind: Literal["extreme_years"]
    extreme: Literal["wettest", "driest", "floods"] = "wettest"
    return_period: Annotated[Number, Field(gt=1)] | None = None
    event_days: Days | None = None


class DifferentialSplit(_YearsSplit):
    """The same sites in another climate: trained on one kind of years and tested on the other, both ways."""

    kind: Literal["differential"]
    share: Annotated[Number, Field(gt=0, le=0.5)] | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """One a direction."""
        return tuple(f"{self.label}-{direction}" for direction in directions(self.by or "precipitation"))


class DataShareSplit(_Split):
    """The same test after training on more and more of the data."""

    kind: Literal["data_share"]
    of: Literal["sites", "years"] = "sites"
    shares: Annotated[tuple[Annotated[Number, Field(gt=0, le=1)], ...], Field(min_length=1)] = SHARES
    train: Period | None = None
    test: Period | None = None
    validate_: Annotated[Period | None, Field(alias="validate")] = None
    test_share: OpenShare | None = None
    validate_share: Share | None = None

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)

    @property
    def labels(self) -> tuple[str, ...]:
        """One a share, the largest first."""
        return tuple(share_label(self.label, share) for share in sorted(set(self.shares), reverse=True))

    def content(self, label: str) -> dict[str, Any]:
        """Leave out the other shares: a share that is added changes none of them."""
        own = [share for share in self.shares if share_label(self.label, share) == label]
        return {**self.model_dump(mode="json"), "shares": own[:1]}


class AnotherStoreSplit(_Split):
    """The sites of another store."""

    kind: Literal["another_store"]
    store: str
    version: str | None = None
    shared_sites: Literal["refuse", "drop"] = "refuse"
    train: Period | None = None
    test: Period | None = None
    validate_share: Share | None = None


Split = Annotated[
    TemporalSplit
    | UngaugedSitesSplit
    | UngaugedRegionsSplit
    | SpatialBlocksSplit
    | ExtremeYearsSplit
    | DifferentialSplit
    | DataShareSplit
    | AnotherStoreSplit,
    Field(discriminator="kind"),
]
