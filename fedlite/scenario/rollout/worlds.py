"""The `worlds` section: what might be true of the new model, one rehearsal for each."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fedlite.scenario.base import Section
from fedlite.scenario.quantities import Duration, Fraction
from fedlite.scenario.rollout.devices import DeviceFilter


class Changes(Section):
    """What the new model does otherwise than it should; what is not told is as in `model`."""

    install_failure: Fraction | None = None
    """Share of the installations that fail."""
    crash_per_day: Fraction | None = None
    """Probability that a device that runs it crashes on a day."""
    accuracy_drop: Fraction = 0.0
    """How much lower its accuracy is, in points: `5 %` makes 80 % of 85 %."""
    latency_factor: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Factor on its latency, and with it on the energy of an inference."""

    @property
    def none(self) -> bool:
        """Whether the model is as good as it should be."""
        return self == Changes()


class World(Section):
    """One thing that might be true."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """Short name."""
    changes: Changes = Changes()
    """What is wrong with the new model; nothing, in a good world."""
    on: DeviceFilter = DeviceFilter()
    """The devices on which it is; without it all."""
    after_s: Duration = Field(default=0.0, alias="after")
    """How long after its installation it shows."""

    @property
    def good(self) -> bool:
        """Whether there is nothing to detect."""
        return self.changes.none
