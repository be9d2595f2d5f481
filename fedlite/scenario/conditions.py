"""When a rule of the `clients` section holds: what a device has left as a job is handed out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from fedlite.scenario.base import Section, mistake
from fedlite.scenario.quantities import Bytes, PositiveFraction, Rate

if TYPE_CHECKING:
    from fedlite.client.assignment import Condition


class When(Section):
    """All that is written must hold of a device in the moment in which its job is handed out."""

    charge_below: PositiveFraction | None = None
    """Share of the battery that is left; devices on mains have all of it."""
    up_below_bps: Rate | None = Field(default=None, alias="up_below")
    """The device's own mean rate of uploads on the link that it is on."""
    memory_below_bytes: Bytes | None = Field(default=None, alias="memory_below")
    """What a job may take on the device."""

    @model_validator(mode="after")
    def _says_something(self) -> When:
        if self.charge_below is None and self.up_below_bps is None and self.memory_below_bytes is None:
            raise mistake("got no condition, expected one", "write for example 'when: {charge_below: 40 %}'")
        return self

    @property
    def condition(self) -> Condition:
        """As an assignment takes it."""
        from fedlite.client.assignment import Condition

        limits = (self.charge_below, self.up_below_bps, self.memory_below_bytes)
        return Condition(*(float("inf") if limit is None else limit for limit in limits))
