"""The `download` section: when a device fetches the model, and what it does when that fails."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from fedlite.errors import quoted
from fedlite.scenario.base import Section, mistake
from fedlite.scenario.quantities import Bytes, DayTime, Duration, Fraction, PartialFraction, Seconds


def _two_times(value: Any) -> Any:
    if not isinstance(value, list | tuple) or len(value) != 2:  # noqa: PLR2004
        got = f"a list of {len(value)}" if isinstance(value, list | tuple) else quoted(value)
        raise mistake(f"got {got}, expected two times of day, from when to when", "write for example '[22 h, 6 h]'")
    return tuple(value)


class Download(Section):
    """When a device may fetch the model. Times and rates are assumed: no trustworthy ones are published."""

    unmetered: bool = True
    """Fetch only while the network costs nothing."""
    charging: bool = False
    """Fetch only while plugged in."""
    idle: bool = False
    """Fetch only while nobody uses the device."""
    min_battery: Fraction = 0.0
    """Fetch only with at least this charge."""
    storage_not_low: bool = True
    """Fetch only where the storage that is free for models has room for the old and the new one."""
    most_metered_bytes: Bytes | None = Field(default=None, alias="most_metered")
    """With `unmetered: false`: what is larger waits for a network that costs nothing."""
    window_s: Annotated[tuple[DayTime, DayTime], BeforeValidator(_two_times)] | None = Field(
        default=None, alias="window", strict=False
    )
    """Local time of day from when to when a download may begin, such as `[22 h, 6 h]`."""
    retries: Annotated[int, Field(ge=0, le=100)] = 3
    """How often a device tries again after an attempt that broke off."""
    timeout_s: Seconds | None = Field(default=None, alias="timeout")
    """No attempt begins so long after a device first asked for it (jitter aside); without it, it goes on trying."""
    in_progress_s: Seconds | None = Field(default=None, alias="in_progress")
    """So long after its first attempt began a device has given up: no attempt begins any more and one under way breaks
    off; AWS's in-progress timeout."""
    jitter_s: Duration = Field(default=3600.0, alias="jitter")
    """Devices begin at a time drawn from this long after they could, so that not all come at once."""
    failure: PartialFraction = 0.01
    """Share of the attempts that break off. Assumed."""

    @model_validator(mode="after")
    def _agrees(self) -> Download:
        if self.unmetered and self.most_metered_bytes is not None:
            raise mistake(
                "got most_metered with 'unmetered: true', by which nothing is fetched over a metered network",
                "write 'unmetered: false', or remove it",
                "most_metered",
            )
        if self.window_s is not None and self.window_s[0] == self.window_s[1]:
            raise mistake("got a window without length", "write for example '[22 h, 6 h]', or remove it", "window")
        return self
