"""Packets of a whole chunk of clients at once: the same bytes as one by one, with the overhead paid once per chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedlite.wire import packet
from fedlite.wire.codec import Codec, parse_codec
from fedlite.wire.layout import Layout, layout_of

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = NDArray[Any]


def encode_many(
    stacked: Sequence[Array], codec: Sequence[str] | Codec, rngs: Sequence[np.random.Generator | None]
) -> list[bytes]:
    """Return one packet per client.

    Parameters
    ----------
    stacked : sequence of arrays, each (K, *shape)
        The clients' tensors.
    codec : stages or Codec
    rngs : sequence of K generators or None
        `rngs[k]` belongs to client k.

    Raises
    ------
    WireError
        As `encode` does.
    """
    codec = parse_codec(codec)
    clients = len(rngs)
    tensors = tuple((array.dtype.name, array.shape[1:]) for array in stacked)
    layout = layout_of(codec, tensors)
    flat = _flat(layout, stacked, clients)
    packet.refuse_infinite(flat)
    packets = []
    for k, rng in enumerate(rngs):
        integers = packet.integer_part(layout, [array[k] for array in stacked]) if layout.integers else b""
        packets.append(packet.sealed(layout, *packet.body_of(layout, integers, flat[k], rng)))
    return packets


def _flat(layout: Layout, stacked: Sequence[Array], clients: int) -> NDArray[np.float32]:
    """Return all floats of each client in one row, (K, P)."""
    if not layout.floats:
        return np.zeros((clients, 0), np.float32)
    rows = [stacked[i].reshape(clients, -1) for i in layout.floats]
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite and is refused afterwards
        return np.concatenate(rows, axis=1, dtype=np.float32, casting="same_kind")


def decode_many(packets: Sequence[bytes]) -> list[Array]:
    """Return the tensors of packets of one layout, stacked: each (K, *shape).

    Raises
    ------
    WireError
        If a packet is truncated, corrupt or none.
    """
    read = [packet.opened(one, packet.MOST_ELEMENTS) for one in packets]
    layout = read[0][0]
    plain = layout.codec.sparsifier is None and not layout.integers
    if not plain or any(flags or other is not layout for other, flags, _ in read):
        return [np.stack(tensors) for tensors in zip(*(packet.decode(one) for one in packets), strict=True)]
    flat = np.empty((len(read), layout.segments.total), np.float32)
    for k, (_, _, body) in enumerate(read):
        flat[k] = packet.numbers(layout, body)
    ends = np.cumsum([layout.sizes[i] for i in layout.floats])[:-1]
    parts = np.split(flat, ends, axis=1)
    return [
        part.reshape(len(read), *layout.tensors[i][1]).astype(layout.tensors[i][0], copy=False)
        for part, i in zip(parts, layout.floats, strict=True)
    ]
