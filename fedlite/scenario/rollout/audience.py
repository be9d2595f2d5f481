"""The `audience` section: what the owners of the devices do about an update."""

from __future__ import annotations

import math

from pydantic import Field, model_validator

from fedlite.scenario.base import Section, mistake
from fedlite.scenario.quantities import Fraction, PositiveFraction, Seconds

_MOST_TOGETHER = 1.05
"""Shares fitted to what fell into a window add up to a little more than all."""


class Adoption(Section):
    """How long after its exposure a device is updated by its owner: a mixture of exponentials, the rest never."""

    shares: tuple[PositiveFraction, ...] = Field(strict=False, min_length=1, max_length=10)
    """Shares of the devices, such as `[35.3 %, 32.9 %]`; what they leave of 100 % is never updated."""
    means_s: tuple[Seconds, ...] = Field(alias="means", strict=False, min_length=1, max_length=10)
    """Mean time of each share, such as `[1.62 d, 28.3 d]`."""

    @model_validator(mode="after")
    def _is_a_mixture(self) -> Adoption:
        if len(self.shares) != len(self.means_s):
            raise mistake(
                f"got {len(self.shares)} shares and {len(self.means_s)} means, expected as many of each",
                "write one mean for each share",
            )
        if math.fsum(self.shares) > _MOST_TOGETHER:
            raise mistake(
                f"got shares that add up to {math.fsum(self.shares) * 100:.6g} %, expected at most 100 %",
                "lower a share",
                "shares",
            )
        return self

    @property
    def never(self) -> float:
        """Share of the devices whose owners never update them."""
        return max(0.0, 1.0 - math.fsum(self.shares))


class Audience(Section):
    """Who takes the update, and when."""

    opt_out: Fraction = 0.0
    """Share of the devices that take no update at all."""
    auto_update: Fraction | None = None
    """Share of the others that update by themselves once they are exposed; without it all, or with `adoption` none."""
    adoption: Adoption | None = None
    """When those that do not update by themselves are updated by their owners."""
    full_storage: Fraction = 0.0
    """Share of the devices whose owners have left no room for it."""
    churn_per_month: Fraction = 0.0
    """Share of the devices that leave the fleet in a month."""

    @property
    def automatic(self) -> float:
        """Share of the devices that did not opt out which update by themselves."""
        return self.auto_update if self.auto_update is not None else 0.0 if self.adoption else 1.0
