"""The `gates` section: what is watched, by which test, and what a failure does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field

from fedlite.scenario.base import Section
from fedlite.scenario.names import after, checked
from fedlite.scenario.quantities import HalfFraction, Means, PositiveFraction, ProperFraction, Ratio, Seconds
from fedlite.scenario.rollout.devices import stub

BINARY, CONTINUOUS = "binary", "continuous"


@dataclass(frozen=True)
class Metric:
    """What the devices of a rollout tell."""

    kind: str
    used: bool
    """Whether only a device that uses the model tells it."""
    direction: str
    """Where worse is."""
    words: str


METRICS: Final[dict[str, Metric]] = {
    "install_failure": Metric(BINARY, False, "increase", "devices whose installation failed"),
    "crash": Metric(BINARY, True, "increase", "devices that crashed on a day"),
    "latency_p95": Metric(CONTINUOUS, True, "increase", "95th percentile of a device's inference times on a day"),
    "accuracy": Metric(CONTINUOUS, True, "decrease", "a device's share of right inferences"),
    "battery_per_day": Metric(CONTINUOUS, True, "increase", "charge that inference takes from a device in a day"),
}
"""Metric -> what it is."""


@dataclass(frozen=True)
class Method:
    """What a test reads and needs told."""

    reads: frozenset[str]
    needs: tuple[tuple[str, ...], ...] = ()
    """Keys of the gate: of each group, one must be told."""


METHODS: Final[dict[str, Method]] = {
    "threshold": Method(frozenset({BINARY}), (("threshold",),)),
    "exact": Method(frozenset({BINARY}), (("baseline",),)),
    "z": Method(frozenset({BINARY}), (("control",),)),
    "mann-whitney": Method(frozenset({CONTINUOUS}), (("control",),)),
    "sequential": Method(frozenset({BINARY}), (("baseline", "control"),)),
    "msprt": Method(frozenset({CONTINUOUS}), (("control",),)),
}
"""Name of a gate's method -> what it reads and needs."""


MetricName = Annotated[
    str,
    after(checked("a metric that devices tell", lambda: METRICS)),
    stub("metric: install_failure"),
    Means(" \\| ".join(f"`{name}`" for name in METRICS)),
]


class Gate(Section):
    """One test: it stops the rollout, or one class of it, where the new model is worse."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """Short name, by which `analysis` calls it."""
    metric: MetricName
    """What is watched."""
    method: Literal["threshold", "exact", "z", "mann-whitney", "sequential", "msprt"]
    """How it is judged; `sequential` and `msprt` may be looked at as often as one likes."""
    baseline: ProperFraction | None = None
    """Share that a good build has (`exact`, `sequential`)."""
    alpha: ProperFraction = 0.05
    """Probability with which a good build may fail."""
    effect: Ratio | None = None
    """What it must be able to see, for which its power is told: the share of a bad build; the drop of accuracy in
    points; the rise of latency or battery as a share of what it was."""
    direction: Literal["increase", "decrease"] | None = None
    """Where worse is; without it as the metric says."""
    per: Literal["fleet", "class"] = "fleet"
    """Whether all devices are judged together or each class by itself."""
    on_fail: Literal["pause", "abort", "rollback"] = "abort"
    """What a failure does: wait for a person, let in nobody more, or also take the new model back."""
    min_executed: Annotated[int, Field(ge=1, le=10_000_000)] = 1
    """It judges from so many devices on."""
    threshold: Annotated[PositiveFraction, stub("threshold: 5 %")] | None = None
    """Share of failures at which it fails (`threshold`)."""
    failure_limit: Annotated[int, Field(ge=0, le=1000)] = 0
    """How often it may fail before that counts."""
    control: HalfFraction | None = None
    """Share of the audience that is held out on the old model, to compare with; one hold-out serves all gates."""
    every_s: Seconds | None = Field(default=None, alias="every")
    """Look so often while the rollout goes on; without it only where an `analysis` names it, and with a preset of
    steps at the end of every step."""
    from_step: Annotated[int, Field(ge=1, le=1000)] = 1
    """With `every`: the setWeight or wave, counted from 1, from which on it looks."""

    @property
    def kind(self) -> str:
        """Whether its metric is binary or continuous."""
        return METRICS[self.metric].kind

    @property
    def worse(self) -> str:
        """Where worse is."""
        return self.direction or METRICS[self.metric].direction
