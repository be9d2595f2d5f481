"""The `fleet.protocol` section: how devices and server meet. Defaults are those of production systems, with sources."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, model_validator

from fedlite.errors import quoted
from fedlite.scenario import spelling
from fedlite.scenario.base import Section, mistake
from fedlite.scenario.quantities import Duration, Means, PartialFraction, PositiveFraction, Seconds
from fedlite.scenario.strategies import Count


class CheckIn(Section):
    """When devices come to the server."""

    first_s: Seconds = Field(default=300.0, alias="first")
    """Devices first come within this time, or within what pace steering makes of it (Android OnDevicePersonalization:
    300 s)."""
    every_s: Seconds = Field(default=300.0, alias="every")
    """Least time until a device comes again: the period of its own job (the same source: 300 s)."""
    jitter_s: Duration = Field(default=300.0, alias="jitter")
    """A device that has to wait until it meets the rules starts up to this much later (Android's idle slop: 5 min)."""
    steering: bool = True
    """Pace steering: the server says when to come back (Bonawitz et al. 2019, section 2.3); else `full` holds."""
    full_s: tuple[Seconds, Seconds] = Field(default=(60.0, 300.0), alias="full", strict=False)
    """Without steering: from when to when devices that were not needed come back (odp-federatedcompute: 1 to 5 min)."""
    retry_s: Seconds = Field(default=900.0, alias="retry")
    """A device that lost a condition comes back after this, give or take 20 % (federated-compute: 900 s)."""
    retry_error_s: Seconds = Field(default=14_400.0, alias="retry_error")
    """After an error that stays, give or take 20 % (federated-compute: 4 h)."""
    refused: PartialFraction = 0.0
    """Share of devices that the server never lets in, as attestation does. No share was found published."""

    @model_validator(mode="after")
    def _window_is_one(self) -> CheckIn:
        if self.full_s[1] < self.full_s[0]:
            raise mistake("got a window that ends before it begins", "write for example '[60 s, 300 s]'", "full")
        return self


class Selection(Section):
    """How a cohort comes together."""

    goal: Count = 500
    """Replies wanted in a round where `training.clients_per_round` is not told (about 500 for Gboard's next-word model,
    from the rounds and users that Bonawitz et al. 2019, section 8, give)."""
    over_select: Annotated[float, Field(ge=1, le=10)] = 1.3
    """The same of `training.over_select` (Bonawitz et al. 2019, section 9: 130 %)."""
    timeout_s: Seconds = Field(default=120.0, alias="timeout")
    """How long the server, and a device that checked in, waits for the others. Assumed: no published value."""
    least: PositiveFraction = 0.6
    """Share of the goal with which a round begins when the time is up; else the selection is given up (FLASH: 60 %)."""


class Reporting(Section):
    """What a round waits for."""

    deadline_s: Seconds = Field(default=270.0, alias="deadline")
    """The round closes after this where `training.deadline` is not told (FLASH: 270 s)."""
    least: PositiveFraction = 0.8
    """Share of the replies wanted, or of the devices selected where those are fewer, with which a round counts; else it
    is abandoned (FLASH: 80 %)."""
    device_cap_s: Seconds = Field(default=585.0, alias="device_cap")
    """How long a device works on a job before it gives up (Android OnDevicePersonalization: 585 s)."""


class StartUp(Section):
    """Starting the process and loading the model, at every check-in, lognormal. Assumed: none is published."""

    median_s: Duration = Field(default=2.0, alias="median")
    """Median."""
    p95_s: Duration = Field(default=6.0, alias="p95")
    """95th percentile."""
    most_s: Duration = Field(default=10.0, alias="most")
    """Longest (Android stops waiting for a binding call after 10 s)."""

    @model_validator(mode="after")
    def _in_order(self) -> StartUp:
        if not self.median_s <= self.p95_s <= self.most_s:
            raise mistake(
                "got a median, a p95 and a most that do not rise in this order", "write for example 2 s, 6 s and 10 s"
            )
        return self


class NoProtocol(Section):
    """Whoever meets the rules is there at once, as often as the server likes. No real fleet is like this."""

    kind: Literal["none"] = "none"


class Production(Section):
    """Devices check in on their own schedule, and rounds select, configure and report (Bonawitz et al. 2019)."""

    kind: Literal["production"] = "production"
    check_in: CheckIn = CheckIn()
    """When devices come to the server."""
    min_gap_s: Duration = Field(default=86_400.0, alias="min_gap")
    """Time between the end of a device's contribution and its next check-in (Gboard: at most once in 24 h)."""
    selection: Selection = Selection()
    """How a cohort comes together; with asynchronous strategies whoever waits is asked."""
    reporting: Reporting = Reporting()
    """What a round waits for."""
    server_time_s: Duration = Field(default=5.0, alias="server_time")
    """What the server takes between a training round's end and the next selection. Assumed."""
    start_up: StartUp = StartUp()
    """Starting the process and loading the model."""


def _named(value: Any) -> Any:
    """Text is a kind, and a mapping that names none changes `production`."""
    if isinstance(value, str):
        return {"kind": value}
    if isinstance(value, dict):
        return {"kind": "production", **value}
    if isinstance(value, Section):
        return value
    raise mistake(
        f"got {quoted(value)}, expected none, production, or keys of production to change",
        "write 'protocol: production', or for example 'protocol: {min_gap: 1 h}'",
    )


_MEANS: Final = Means(
    "`none`, `production`, or a mapping that changes keys of `production`",
    beside=lambda: spelling.any_of({"enum": ["none", "production"]}, {"type": "object", "not": {"required": ["kind"]}}),
)

Protocol = Annotated[NoProtocol | Production, Field(discriminator="kind"), BeforeValidator(_named), _MEANS]
