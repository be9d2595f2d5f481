"""A plan as plain numbers on the profiles of one fleet: what is rehearsed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fedlite.rollout.audience import Audience
    from fedlite.rollout.builds import Assigned
    from fedlite.rollout.delivery import Policy
    from fedlite.rollout.heat import Heat
    from fedlite.rollout.monitor import Watch
    from fedlite.rollout.signals import Telemetry
    from fedlite.rollout.strategy import Strategy
    from fedlite.rollout.worlds import Behaviour

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Old:
    """The model that runs now, on each of P profiles: what a rollback downloads, and what the control arm reports."""

    payload_bytes: float
    behaviour: Behaviour
    accuracy: Floats
    latency_s: Floats
    inference_j: Floats


@dataclass(frozen=True)
class Plan:
    """What is rehearsed, as plain numbers on the profiles of one fleet."""

    assigned: Assigned
    old: Old
    audience: Audience
    policy: Policy
    strategy: Strategy
    watches: tuple[Watch, ...]
    telemetry: Telemetry
    inferences_per_day: float
    heat: Heat
    start_s: float
    horizon_s: float
    """Absolute virtual times of the rollout's begin and of the rehearsal's end."""
    seed: int
