"""The scenario's wire at the grid's edge: arrays of an app's messages are really encoded and really decoded.

The app does not notice: the client receives, and the strategy aggregates, what the packet said. With the identity codec
(`fp32` both ways) messages travel as Flower sends them, in their protobuf form.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from flwr.app import ArrayRecord, RecordDict
from numpy.typing import NDArray

from fedlite import wire
from fedlite.flower import compat
from fedlite.flower.records import to_record
from fedlite.rng import stream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

Arrays = dict[str, NDArray[Any]]

IDENTITY: Final = ("fp32",)
_NO_BASE: Final = "no array of its name and shape came down, so that there is no update to encode"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sent:
    """A content as the other side reads it, and its lengths on the wire: encoded, and as Flower sends it."""

    data: bytes
    encoded_bytes: int
    raw_bytes: int


class AppWire:
    """Codecs for both ways, as chains of stages.

    Lossy uplink codecs carry the update against the arrays that came down under the same name and shape; integers (the
    counters of BatchNorm, say) are in the same packet as they are. What a packet cannot carry travels as Flower sends
    it, and is named in the log once.
    """

    def __init__(self, down: Sequence[str] = IDENTITY, up: Sequence[str] = IDENTITY) -> None:
        self._down = tuple(down)
        self._up = tuple(up)
        self._warned: set[tuple[str, str]] = set()

    @property
    def plain_up(self) -> bool:
        """Whether replies travel as Flower sends them."""
        return self._up == IDENTITY

    def down(self, record: RecordDict) -> Sent:
        """Send a content to clients; what is rounded at random depends on what is sent, not on how often."""
        if self._down == IDENTITY:
            raw = compat.to_bytes(record)
            return Sent(raw, len(raw), len(raw))
        seed = int.from_bytes(hashlib.sha256(compat.to_bytes(record)).digest()[:7], "little")
        return self._sent(record, None, self._down, seed)

    def up(self, reply: bytes, received: bytes, seed: int) -> Sent:
        """Send a reply to the server; `received` is the content that it answers, as the client read it."""
        if self._up == IDENTITY:
            return Sent(reply, len(reply), len(reply))
        return self._sent(compat.from_bytes(reply), compat.from_bytes(received), self._up, seed)

    def _sent(self, record: RecordDict, received: RecordDict | None, codec: tuple[str, ...], seed: int) -> Sent:
        """Encode each record's arrays into a packet; against those of `received`, unless whole models are sent."""
        parsed = wire.parse_codec(codec)
        decoded, rest = RecordDict(), RecordDict()
        encoded_bytes = 0
        for name, content in record.items():
            if not isinstance(content, ArrayRecord) or not content:
                decoded[name] = rest[name] = content
                continue
            arrays, uncoded = _fitting(content)
            bases = None
            if parsed.sends_update and received is not None:
                bases = _bases(received, name, arrays)
                lone = [key for key, array in arrays.items() if wire.is_float(array) and key not in bases]
                uncoded |= dict.fromkeys(lone, _NO_BASE)
                arrays = {key: array for key, array in arrays.items() if key not in uncoded}
            self._warn(name, uncoded, parsed.text)
            packet = _packet(arrays, bases, parsed, stream(seed, "app encode", name) if parsed.stochastic else None)
            encoded_bytes += len(packet)
            read = to_record(list(arrays), _read(packet, arrays, bases))
            decoded[name] = ArrayRecord({key: read.get(key, content[key]) for key in content})
            if uncoded:
                rest[name] = ArrayRecord({key: content[key] for key in uncoded})
        return Sent(compat.to_bytes(decoded), encoded_bytes + len(compat.to_bytes(rest)), len(compat.to_bytes(record)))

    def _warn(self, name: str, uncoded: Mapping[str, str], codec: str) -> None:
        """Name, once per run, what travels uncoded."""
        for key, reason in uncoded.items():
            if (name, key) not in self._warned:
                self._warned.add((name, key))
                _log.warning("wire: the array %r of %r travels as it is, not as %s: %s", key, name, codec, reason)


def _fitting(content: ArrayRecord) -> tuple[Arrays, dict[str, str]]:
    """Return the arrays of a record that a packet can carry, and why it cannot carry each of the others."""
    arrays: Arrays = {}
    reasons: dict[str, str] = {}
    for key, array in content.items():
        try:
            values = array.numpy()
            wire.most_bytes([values], IDENTITY)
        except (TypeError, wire.WireError) as error:  # a serialisation of the app's own has no numpy form
            reasons[key] = str(error)
        else:
            arrays[key] = values
    return arrays, reasons


def _packet(arrays: Arrays, bases: Arrays | None, codec: wire.Codec, rng: np.random.Generator | None) -> bytes:
    if not arrays:
        return b""
    values = list(arrays.values())
    return wire.encode(values if bases is None else wire.to_update(values, _aligned(bases, arrays)), codec, rng)


def _read(packet: bytes, arrays: Arrays, bases: Arrays | None) -> list[NDArray[Any]]:
    """Return what the other side reads from a packet."""
    if not packet:
        return []
    values = wire.decode(packet, like=list(arrays.values()))
    return values if bases is None else wire.from_update(values, _aligned(bases, arrays))


def _aligned(bases: Arrays, arrays: Arrays) -> list[NDArray[Any]]:
    """Return the base of each array in its type; integers have none and stand for themselves."""
    return [bases[key].astype(array.dtype) if key in bases else array for key, array in arrays.items()]


def _bases(received: RecordDict, name: str, arrays: Arrays) -> Arrays:
    """Return the received arrays that a reply's floating arrays are an update of, under the reply's keys.

    An app that names its arrays anew (0, 1, 2 ...) sends them in the order in which they came.
    """
    if not received.array_records:
        return {}
    found, _ = _fitting(received.array_records.get(name) or next(iter(received.array_records.values())))
    if not set(found) & set(arrays):
        found = dict(zip(arrays, found.values(), strict=False))
    return {
        key: found[key]
        for key, array in arrays.items()
        if wire.is_float(array) and key in found and found[key].shape == array.shape
    }
