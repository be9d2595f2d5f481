"""From a scenario to how devices and server meet: the protocol of its fleet, and when its rounds close."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from fedlite.fleet.check_ins import CheckIns
from fedlite.fleet.pace import Pace, forecast
from fedlite.fleet.protocol import CheckIn, Protocol, Reporting, Retry, Selection, StartUp
from fedlite.flower.grid import RoundPolicy

if TYPE_CHECKING:
    from fedlite.fleet.state import Fleet
    from fedlite.scenario.protocol import Production
    from fedlite.scenario.schema import FleetScenario

RETRY_JITTER: Final = 0.2
"""Of federated-compute, for every retry."""


def policy(scenario: FleetScenario, first: int | None, *, asks_busy: bool = False) -> RoundPolicy:
    """Return when a scenario's rounds close; `first` is after how many replies, where `training.first` does not say."""
    training, protocol, deadline_s = scenario.training, scenario.protocol, scenario.deadline_s
    return RoundPolicy(
        first=training.first or first,
        deadline_s=math.inf if deadline_s is None else deadline_s,
        failures=training.failures,
        asks_busy=asks_busy,
        least_share=protocol.reporting.least if protocol else 0.0,
        server_time_s=protocol.server_time_s if protocol else 0.0,
    )


def join(scenario: FleetScenario, fleet: Fleet) -> None:
    """Let the devices of a fleet check in as its scenario says."""
    section = scenario.protocol
    if section is None:
        return
    start_s = scenario.fleet.start_s
    protocol = _protocol(scenario, section)
    may = np.flatnonzero(~fleet.excluded)
    about = forecast(fleet.presence, fleet.rules.conditions, may, start_s)
    pace = Pace(protocol, about)
    fleet.check_ins = CheckIns(fleet, protocol, pace, seed=scenario.seed, start_s=start_s)


def _protocol(scenario: FleetScenario, section: Production) -> Protocol:
    check_in, start_up = section.check_in, section.start_up
    deadline_s = scenario.deadline_s
    return Protocol(
        check_in=CheckIn(
            first_s=check_in.first_s,
            every_s=check_in.every_s,
            jitter_s=check_in.jitter_s,
            steering=check_in.steering,
            full_s=check_in.full_s,
            transient=Retry(check_in.retry_s, RETRY_JITTER),
            permanent=Retry(check_in.retry_error_s, RETRY_JITTER),
            refused=check_in.refused,
        ),
        min_gap_s=section.min_gap_s,
        selection=Selection(
            asked=scenario.asked,
            # Rounding first keeps 60 % of 10 at 6.
            least=math.ceil(round(section.selection.least * scenario.cohort, 9)),
            timeout_s=section.selection.timeout_s,
            rounds=not scenario.training.strategy.asynchronous,
        ),
        reporting=Reporting(
            deadline_s=section.reporting.deadline_s if deadline_s is None else deadline_s,
            device_cap_s=section.reporting.device_cap_s,
        ),
        server_time_s=section.server_time_s,
        start_up=StartUp(start_up.median_s, start_up.p95_s, start_up.most_s),
    )
