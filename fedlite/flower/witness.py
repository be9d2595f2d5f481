"""Tells a tape what came of a batch of native jobs: models that went out, and what the server read of each reply."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedlite import wire
from fedlite.client.job import packet_of
from fedlite.client.sending import decoded_update, held_only
from fedlite.compression.overlap import OverlapSum
from fedlite.flower.tape import Who

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.flower.native_jobs import JobSheet
    from fedlite.flower.native_replies import Computed
    from fedlite.flower.tape import Tape

Array = NDArray[Any]


def witness(
    tape: Tape, computed: Sequence[Computed], sheet: JobSheet, arrived: NDArray[np.bool_], *, equal_weights: bool
) -> None:
    """Record a batch of training jobs that is over.

    Parameters
    ----------
    tape : Tape
    computed : sequence of Computed
    sheet : JobSheet
        The n jobs of the batch.
    arrived : ndarray of bool, shape (n,)
        Whose updates the server got.
    equal_weights : bool
        The mean counts clients, not examples.
    """
    for done in computed:
        round_ = done.leg.content.round_
        tape.model(round_, done.leg.content.arrays)
        for place, position in enumerate(done.positions.tolist()):
            if not arrived[position]:
                continue
            examples = int(done.arrays["num_examples"][place])
            who = Who(int(sheet.devices[position]), int(sheet.clients[position]), examples)
            tape.reply(round_, who, partial(full_update, done, place), 1.0 if equal_weights else float(examples))


def full_update(done: Computed, place: int) -> list[Array]:
    """Return one client's update as the server decodes it, in the coordinates of the full model."""
    leg, held = done.leg, done.held(place)
    if leg.plan.structure.is_full:
        start = held_only(leg.received, held)
        found = decoded_update(packet_of(done.arrays, place), wire.parse_codec(leg.plan.up), start)
        return held_only(found, held)
    model = leg.content.arrays
    own = OverlapSum([part.shape for part in model])
    leg.placement.add(own, [part.astype(np.float64) for part in done.weights_of(place)], 1.0, held)
    placed = own.finish(model, zero_masked=False)
    return [np.asarray(new - old) if wire.is_float(old) else new for new, old in zip(placed, model, strict=True)]
