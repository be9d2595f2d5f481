"""The scenario's wire at the grid's edge: arrays of an app's messages are really encoded and really decoded.

The app does not notice: the client receives, and the strategy aggregates, what the packet said. With the identity codec
(`fp32` both ways) messages travel as Flower sends them, in their protobuf form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from flwr.app import ArrayRecord, RecordDict
from numpy.typing import NDArray

from fedlite import wire
from fedlite.flower import compat
from fedlite.flower.records import from_record, to_record
from fedlite.rng import stream

if TYPE_CHECKING:
    from collections.abc import Sequence

Arrays = list[NDArray[Any]]

IDENTITY: Final = ("fp32",)


@dataclass(frozen=True)
class Sent:
    """A content as the other side reads it, and its lengths on the wire: encoded, and as Flower sends it."""

    data: bytes
    encoded_bytes: int
    raw_bytes: int


class AppWire:
    """Codecs for both ways, as chains of stages.

    Lossy uplink codecs carry the update against the arrays that came down under the same name and shapes; arrays
    without such a counterpart, and whatever is not floating, travel as they are.
    """

    def __init__(self, down: Sequence[str] = IDENTITY, up: Sequence[str] = IDENTITY) -> None:
        self._down = tuple(down)
        self._up = tuple(up)

    def down(self, record: RecordDict) -> Sent:
        """Send a content to clients."""
        return self._sent(record, None, self._down, 0)

    def up(self, reply: bytes, received: bytes, seed: int) -> Sent:
        """Send a reply to the server; `received` is the content that it answers, as the client read it."""
        if self._up == IDENTITY:
            return Sent(reply, len(reply), len(reply))
        return self._sent(compat.from_bytes(reply), compat.from_bytes(received), self._up, seed)

    def _sent(self, record: RecordDict, received: RecordDict | None, codec: tuple[str, ...], seed: int) -> Sent:
        raw = compat.to_bytes(record)
        if codec == IDENTITY:
            return Sent(raw, len(raw), len(raw))
        decoded, rest = RecordDict(), RecordDict()
        encoded_bytes = 0
        for name, content in record.items():
            packet = _packet(content, received, name, codec, seed) if isinstance(content, ArrayRecord) else None
            if packet is None:
                decoded[name] = rest[name] = content
                continue
            buffer, arrays = packet
            encoded_bytes += len(buffer)
            decoded[name] = to_record(list(content), arrays)
        return Sent(compat.to_bytes(decoded), encoded_bytes + len(compat.to_bytes(rest)), len(raw))


def _packet(
    content: ArrayRecord, received: RecordDict | None, name: str, codec: tuple[str, ...], seed: int
) -> tuple[bytes, Arrays] | None:
    """Return a record's packet and what the other side reads from it; None if it travels as it is."""
    arrays = from_record(content)
    if not arrays or not all(np.issubdtype(array.dtype, np.floating) for array in arrays):
        return None
    parsed = wire.parse_codec(codec)
    rng = stream(seed, "app encode", name) if parsed.stochastic else None
    if not parsed.sends_update:
        buffer = wire.encode(arrays, parsed, rng)
        return buffer, wire.decode(buffer)
    base = _counterpart(received, name, arrays)
    if base is None:
        return None
    buffer = wire.encode(wire.to_update(arrays, base), parsed, rng)
    return buffer, wire.from_update(wire.decode(buffer), base)


def _counterpart(received: RecordDict | None, name: str, arrays: Arrays) -> Arrays | None:
    """Return the received arrays that a reply's arrays are an update of."""
    if received is None or not received.array_records:
        return None
    record = received.array_records.get(name) or next(iter(received.array_records.values()))
    base = from_record(record)
    alike = [(a.shape, a.dtype) for a in base] == [(a.shape, a.dtype) for a in arrays]
    return base if alike else None
