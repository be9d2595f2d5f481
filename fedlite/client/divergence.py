"""Clients whose training diverged: told apart before anything of theirs is sent, summed or remembered.

Such a client is sent for as one that learned nothing: its packet is what it had received, its weight in sums is zero,
and its device remembers what it did before. So no number that is none can reach a server, whatever reads its packet.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedlite import wire
from fedlite.client.sending import Sent, send

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.client.memory import JobMemory
    from fedlite.compression.plan import Plan
    from fedlite.learning.training.records import CohortResult

Bools = NDArray[np.bool_]


def send_sound(
    cohort: CohortResult,
    plan: Plan,
    seeds: Sequence[int],
    memories: Sequence[JobMemory],
    round_: int,
    clients: Sequence[int] = (),
) -> tuple[CohortResult, Sent, Bools]:
    """Encode what each client of a chunk sends, as `sending.send`, and tell which of the K clients diverged.

    A client has diverged if its weights or its loss are not finite, or if its codec cannot hold what it learned.

    Returns
    -------
    CohortResult, Sent
        With what diverged clients had received in place of what they learned, and no memory of them.
    NDArray[bool]
        The diverged, shape (K,).

    Raises
    ------
    WireError
        If the codec cannot even hold what was received.
    """
    diverged = _not_finite(cohort)
    sound = _without(cohort, diverged)
    try:
        sent = send(sound, plan, seeds, memories, round_, clients)
    except wire.WireError:
        diverged = diverged | ~_sendable(sound, plan, seeds, memories, round_)
        sound = _without(cohort, diverged)
        sent = send(sound, plan, seeds, memories, round_, clients)
    return sound, replace(sent, memories=_kept(sent.memories, diverged)), diverged


def _not_finite(cohort: CohortResult) -> Bools:
    clients = len(cohort.num_examples)
    # Who took no step has no loss.
    diverged: Bools = ~np.isfinite(cohort.loss) & (cohort.steps > 0)
    for stacked in cohort.arrays:
        if wire.is_float(stacked):
            diverged = diverged | ~np.isfinite(stacked.reshape(clients, -1)).all(axis=1)
    return diverged


def _without(cohort: CohortResult, diverged: Bools) -> CohortResult:
    """Return the cohort as if the diverged had learned nothing."""
    if not diverged.any():
        return cohort
    return replace(
        cohort,
        arrays=[_where(diverged, old, new) for old, new in zip(cohort.start, cohort.arrays, strict=True)],
        loss=np.where(diverged, np.nan, cohort.loss),
        memories=_kept(cohort.memories, diverged),
    )


def _where(diverged: Bools, old: NDArray[Any], new: NDArray[Any]) -> NDArray[Any]:
    return np.where(diverged.reshape(-1, *(1,) * old.ndim), old, new)


def _kept(memories: Sequence[JobMemory], diverged: Bools) -> list[JobMemory]:
    return [{} if lost else memory for memory, lost in zip(memories, diverged.tolist(), strict=True)]


def _sendable(
    cohort: CohortResult, plan: Plan, seeds: Sequence[int], memories: Sequence[JobMemory], round_: int
) -> Bools:
    """Tell which clients' codec can hold what they learned, each tried alone."""
    found = np.ones(len(seeds), dtype=bool)
    for place in range(len(seeds)):
        one = slice(place, place + 1)
        alone = replace(
            cohort,
            arrays=[stacked[one] for stacked in cohort.arrays],
            num_examples=cohort.num_examples[one],
            loss=cohort.loss[one],
            steps=cohort.steps[one],
            memories=cohort.memories[one],
        )
        try:
            send(alone, plan, seeds[one], memories[one], round_)
        except wire.WireError:
            found[place] = False
    return found
