"""Secure aggregation of a scenario's run: what is agreed, who takes part, and what is told of it afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fedlite.errors import FedliteError
from fedlite.flower.secagg_grid import Agreement
from fedlite.flower.secagg_members import Members
from fedlite.privacy.secagg.messages import TRIPS

if TYPE_CHECKING:
    from fedlite.flower.native_clients import NativeClients, NativeTask
    from fedlite.flower.secagg_grid import Course
    from fedlite.scenario.schema import Scenario


def agreement(scenario: Scenario, task: NativeTask) -> Agreement | None:
    """Return what a run's clients and server agree on; None without secure aggregation.

    Raises
    ------
    FedliteError
        If a client has more examples than its weight has room for.
    """
    asked = scenario.privacy.secure_aggregation
    if asked is None:
        return None
    owners = len(task.examples)
    if scenario.privacy.central and scenario.fleet.devices > owners:
        raise FedliteError(
            f"fleet.devices: got {scenario.fleet.devices} with the data of {owners} owners, expected no more with"
            " secure aggregation and central noise: a server cannot see that two updates are one owner's; lower it, or"
            f" write 'task: {{clients: {scenario.fleet.devices}}}'"
        )
    cap = 1 if scenario.privacy.central else int(task.examples.max(initial=1))
    if cap >= 2**asked.bits:
        raise FedliteError(
            f"privacy.secure_aggregation.bits: got {asked.bits} where a client has {cap} examples, which is its weight,"
            f" expected {cap.bit_length()} or more; write 'bits: {cap.bit_length()}'"
        )
    count = scenario.asked
    return Agreement(
        asked.neighbours_of(count),
        asked.threshold_of(count),
        asked.bits,
        asked.clip,
        float(cap),
        task.names,
        task.dtypes,
    )


def members(scenario: Scenario, clients: NativeClients) -> Members | None:
    """Return the clients of a run as members of secure aggregation; None without it."""
    if scenario.privacy.secure_aggregation is None:
        return None
    return Members(clients, to_zero=scenario.privacy.clips_on_client)


def told(scenario: Scenario, course: Course | None, taking_part: Members | None) -> dict[str, Any] | None:
    """Return what a run's summary says of secure aggregation; None without it."""
    asked = scenario.privacy.secure_aggregation
    if asked is None or course is None or taking_part is None:
        return None
    count = scenario.asked
    return {
        "neighbours": asked.neighbours_of(count),
        "threshold": asked.threshold_of(count),
        "bits": asked.bits,
        "modulus_bits": asked.bits + (count - 1).bit_length(),
        "clip": asked.clip,
        "clipped": taking_part.clipped / max(1, taking_part.numbers),
        "trips": len(TRIPS),
        "summed": course.summed,
        "lost": course.lost,
        "chance_to_lose": asked.chance_to_lose(count),
        "expected_drop_out": asked.drop_out,
    }
