"""Packets of a whole chunk of clients at once: the same bytes as one by one, with the overhead paid once per chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from fedlite.wire import packet
from fedlite.wire.codec import Codec, parse_codec
from fedlite.wire.errors import WireError
from fedlite.wire.layout import Layout, layout_of
from fedlite.wire.segments import Segments

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = NDArray[Any]

BLOCK_BYTES: Final = 2**20
"""What is treated at a time: it stays in the cache, and in memory that the allocator keeps (twice as fast as 2 MiB)."""


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
    layout = layout_of(codec, tuple((array.dtype.name, array.shape[1:]) for array in stacked))
    packets: list[bytes] = []
    for part in blocks(len(rngs), 4 * layout.segments.total):
        packets += _encoded(layout, [array[part] for array in stacked], rngs[part])
    return packets


def blocks(clients: int, client_bytes: int) -> list[slice]:
    """Return the clients of a chunk in runs that are treated at a time, for arrays of so many bytes each."""
    few = max(1, BLOCK_BYTES // max(client_bytes, 1))
    return [slice(first, min(first + few, clients)) for first in range(0, clients, few)]


def _encoded(layout: Layout, stacked: Sequence[Array], rngs: Sequence[np.random.Generator | None]) -> list[bytes]:
    clients, codec = len(rngs), layout.codec
    flat = _flat(layout, stacked, clients)
    packet.refuse_infinite(flat)
    if codec.elementwise and not layout.integers:
        numbers = memoryview(packet.number_bytes(codec, flat.reshape(-1), Segments([flat.size]), None))
        each = len(numbers) // max(clients, 1)
        return [packet.sealed(layout, numbers[k * each : (k + 1) * each], 0) for k in range(clients)]
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


def _numbers(layout: Layout, bodies: Sequence[memoryview]) -> NDArray[np.float32]:
    """Return the floats of plain packets of one layout and codec in one row each, (K, P)."""
    if layout.codec.elementwise and all(len(body) == len(bodies[0]) for body in bodies):
        values = packet.numbers(layout.codec, Segments([len(bodies) * layout.segments.total]), b"".join(bodies))
        return values.reshape(len(bodies), layout.segments.total)
    return np.stack([packet.numbers(layout.codec, layout.segments, body) for body in bodies])


def decode_many(packets: Sequence[bytes], *, like: Sequence[Array] | None = None, intact: bool = False) -> list[Array]:
    """Return the tensors of packets of one layout, stacked: each (K, *shape).

    Parameters
    ----------
    packets : sequence of K bytes
        At least one.
    like : sequence of arrays, optional
        As for `decode`: what is expected of each packet, without the leading K.
    intact : bool
        These are the very buffers that `encode_many` returned in this process, so that their checksums need not be
        counted a second time.

    Raises
    ------
    WireError
        If a packet is truncated, corrupt or none, or holds other arrays than the first.
    """
    if not packets:
        raise WireError("packets: got none, expected at least one, whose arrays say what to return; pass one")
    read = packet.opened_alike(packets, like, intact=intact)
    layout = read[0][0]
    if any(other is not layout and other.tensors != layout.tensors for other, _, _ in read):
        raise WireError("packets: got other arrays than in the first one, expected the same; sort them by model")
    plain = layout.codec.sparsifier is None and not layout.integers
    if not plain or any(flags or (other is not layout and other.codec != layout.codec) for other, flags, _ in read):
        decoded = (packet.decode(one, like=like) for one in packets)
        return [np.stack(tensors) for tensors in zip(*decoded, strict=True)]
    flat = _numbers(layout, [body for _, _, body in read])
    ends = np.cumsum([layout.sizes[i] for i in layout.floats])[:-1]
    parts = np.split(flat, ends, axis=1)
    return [
        packet.as_type(part.reshape(len(read), *layout.tensors[i][1]), layout.tensors[i][0])
        for part, i in zip(parts, layout.floats, strict=True)
    ]
