"""What a model says beside one number: its distribution, and intervals around it."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, StrictBool, field_validator, model_validator

from thalweg.flows.spec import Count, Number, Spec

Level = Annotated[Number, Field(gt=0, lt=1)]

# Keys that only some kinds read: elsewhere they would be without effect.
KEYS_OF: dict[str, tuple[str, ...]] = {
    "components": ("gaussian_mixture", "cmal"),
    "levels": ("quantiles",),
    "located": ("gaussian", "gaussian_mixture", "cmal"),
    "beta": ("gaussian", "gaussian_mixture", "cmal"),
}
COMPONENTS = 3


class Head(Spec):
    """What turns a model's numbers into a distribution of the target; it is trained by its own loss.

    ``located``: around physics, whether the distribution may also lie beside what the physics says; null is
    no. ``beta``: see :class:`thalweg.models.mixture_head.MixtureHead`. ``hidden``: widths of the network
    beside physics that gives the spread; null is ``[32, 32]``.
    """

    kind: Literal["gaussian", "gaussian_mixture", "cmal", "quantiles"]
    components: Count | None = None
    levels: Annotated[tuple[Level, ...], Field(min_length=1)] | None = None
    located: StrictBool | None = None
    beta: Annotated[Number, Field(ge=0, le=1)] | None = None
    hidden: tuple[Count, ...] | None = None

    @field_validator("levels")
    @classmethod
    def _rising(cls, levels: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if levels and any(low >= high for low, high in pairwise(levels)):
            raise ValueError(f"must rise: {list(levels)}")
        return levels

    @model_validator(mode="after")
    def _keys_with_effect(self) -> Head:
        for key, kinds in KEYS_OF.items():
            if getattr(self, key) is not None and self.kind not in kinds:
                raise ValueError(f"has no use for {key!r} with {self.kind}: it is for {', '.join(kinds)}")
        return self


Method = Literal["split", "scaled", "cqr"]


class Conformal(Spec):
    """Intervals that hold what they promise, calibrated on the validation part when a run is evaluated.

    ``method``: ``split`` is as wide everywhere, ``scaled`` in proportion to the model's own spread, ``cqr``
    moves the bounds of the model's own interval; null is ``cqr`` where the model has one, else ``split``.
    ``pooling``: what is exchangeable, ``days``, ``each_site`` or ``new_site``; null is ``new_site`` where the
    sites that are tested were not trained on and neither were those that validate, else ``days``.
    """

    level: Level = 0.9
    method: Method | None = None
    pooling: Literal["days", "each_site", "new_site"] | None = None


def check_uncertainty(
    head: Head | None, mc_dropout: int | None, dropout: float | None, conformal: Conformal, physical: bool
) -> None:
    """Refuse what does not go together in a model.

    Parameters
    ----------
    dropout : of the model's networks; None for a model without any.
    physical : whether physics gives the head its centre.

    Raises
    ------
    ValueError
        Naming the keys and what would be right.
    """
    if mc_dropout is not None and head is not None:
        raise ValueError("has both `head` and `mc_dropout`: give one of them")
    if mc_dropout is not None and not dropout:
        raise ValueError("`mc_dropout` leaves out units: set `dropout` above 0")
    if head is not None and not physical:
        for key in ("hidden", "located"):
            if getattr(head, key) is not None:
                raise ValueError(f"`head.{key}` is for heads around physics: leave it out")
    lacks_spread = head.kind == "quantiles" if head is not None else mc_dropout is None
    if conformal.method == "scaled" and lacks_spread:
        raise ValueError(
            "`conformal.method: scaled` needs a spread: give the model `mc_dropout` or a `head` other than "
            "quantiles"
        )
    if conformal.method == "cqr" and head is None and mc_dropout is None:
        raise ValueError("`conformal.method: cqr` needs an interval: give the model a `head` or `mc_dropout`")
