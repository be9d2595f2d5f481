"""Unsigned integers in as few bytes as they need (seven bits a byte, low first), and a reader that never overruns."""

from __future__ import annotations

from fedlite.wire.errors import WireError

_MAX_BYTES = 9  # 63 bits: more than any length in a packet, and the result stays a small Python integer


def put(value: int) -> bytes:
    """Return the variable-length form of a non-negative integer: 1 byte below 128, 2 below 16384, and so on."""
    out = bytearray()
    while value > 127:  # noqa: PLR2004 (seven bits)
        out.append((value & 127) | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


class Reader:
    """A cursor over received bytes; reading past the end is a `WireError`, never an index error."""

    __slots__ = ("_buffer", "_position")

    def __init__(self, buffer: memoryview) -> None:
        self._buffer = buffer
        self._position = 0

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self._position

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return len(self._buffer) - self._position

    def take(self, count: int) -> memoryview:
        """Return the next `count` bytes without copying them."""
        if count > self.left:
            raise WireError(f"truncated packet: {count} more bytes expected, {self.left} left; send the packet again")
        start = self._position
        self._position = start + count
        return self._buffer[start : start + count]

    def rest(self) -> memoryview:
        """Return everything that is left."""
        return self.take(self.left)

    def varint(self) -> int:
        """Return the next variable-length integer."""
        value = shift = 0
        for _ in range(_MAX_BYTES):
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:  # noqa: PLR2004 (the high bit says that more follow)
                return value
            shift += 7
        raise WireError(f"corrupt packet: an integer of more than {_MAX_BYTES} bytes; send the packet again")
