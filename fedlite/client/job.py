"""What crosses between the server's side of a job and the worker that does it: names of arrays, nothing else.

A task carries a chunk of jobs of one plan; its meta data are JSON values, its arrays plain numbers:

    shared   the model as devices decoded it: 0, 1, ...
    task     clients, seeds, memory/K/PART/KEY
    result   num_examples, loss, steps, diverged; lengths, extra_bytes; packets, or sum/I and weight, or both; held/I;
             metric/NAME; memory/K/PART/KEY

K is the place of a job in its chunk, I the position of a tensor in the net's state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fedlite.client.memory import JobMemory
    from fedlite.compression.overlap import Held

Array = NDArray[Any]
Arrays = dict[str, Array]


METRIC: Final = "metric/"
"""Prefix of arrays with one number per job, which travels with its reply."""
EXAMPLES: Final = "num-examples"
TRAIN_LOSS: Final = "train_loss"
EQUAL_WEIGHT: Final = "equal-weight"
"""Metric that is 1 in every reply: the key for strategies that weigh clients equally."""
EVERY_REPLY: Final = (EXAMPLES, TRAIN_LOSS, EQUAL_WEIGHT)
"""Metrics of every reply; a stage's are called otherwise."""


def pack_received(arrays: Sequence[Array]) -> Arrays:
    """Return the model as devices decoded it, as named arrays."""
    return {str(i): values for i, values in enumerate(arrays)}


def unpack_received(arrays: Mapping[str, Array]) -> list[Array]:
    """Undo `pack_received`."""
    return [arrays[str(i)] for i in range(len(arrays))]


def pack_memories(memories: Sequence[JobMemory]) -> Arrays:
    """Return the memories of a chunk's jobs as named arrays."""
    return {
        f"memory/{place}/{part}/{key}": np.asarray(values)
        for place, memory in enumerate(memories)
        for part, kept in memory.items()
        for key, values in kept.items()
    }


def unpack_memories(arrays: Mapping[str, Array], jobs: int) -> list[JobMemory]:
    """Undo `pack_memories`."""
    memories: list[dict[str, dict[str, Array]]] = [{} for _ in range(jobs)]
    for name, values in arrays.items():
        if name.startswith("memory/"):
            _, place, part, key = name.split("/", 3)
            memories[int(place)].setdefault(part, {})[key] = values
    return [dict(memory) for memory in memories]


def pack_held(held: Sequence[Held | None]) -> Arrays:
    """Return which coordinates clients hold, as (1 or K, *shape) per masked tensor: once if all hold the same."""
    known = [masks for masks in held if masks is not None]
    if not known:
        return {}
    masked = [i for i, mask in enumerate(known[0]) if mask is not None]
    return {f"held/{i}": np.stack([np.asarray(masks[i], dtype=bool) for masks in known]) for i in masked}


def held_by(arrays: Mapping[str, Array], place: int, tensors: int) -> Held | None:
    """Return which coordinates one client of a chunk holds; None if all."""
    found: Held = [None] * tensors
    for i in range(tensors):
        masks = arrays.get(f"held/{i}")
        if masks is not None:
            found[i] = masks[place if len(masks) > 1 else 0]
    return found if any(mask is not None for mask in found) else None


def packet_of(arrays: Mapping[str, Array], place: int) -> bytes:
    """Return one client's packet out of a chunk's."""
    lengths = arrays["lengths"]
    end = int(lengths[: place + 1].sum())
    packet: bytes = arrays["packets"][end - int(lengths[place]) : end].tobytes()
    return packet
