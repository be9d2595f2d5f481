"""Zstandard (RFC 8878)."""

from __future__ import annotations

from dataclasses import dataclass

import zstandard

from fedlite.wire.errors import CodecError, WireError

LEVEL = 3
"""The library's own default: a few hundred MB/s."""


@dataclass(frozen=True)
class Zstd:
    """Zstandard at a fixed level; the frame states its size, so that a bomb is refused before it is unpacked."""

    text: str = "zstd"

    @classmethod
    def parse(cls, argument: str | None) -> Zstd:
        """Return the stage of "zstd"."""
        if argument is not None:
            raise CodecError(f"zstd: got an argument {argument!r}, expected none; write 'zstd'")
        return cls()

    def compress(self, payload: bytes) -> bytes:
        """Return one Zstandard frame."""
        return zstandard.ZstdCompressor(level=LEVEL).compress(payload)

    def decompress(self, payload: memoryview, limit: int) -> bytes:
        """Return the content of one frame."""
        frame = bytes(payload)
        try:
            size = zstandard.frame_content_size(frame)
            if not 0 <= size <= limit:
                raise WireError(
                    f"corrupt packet: content of {size} bytes, expected 0 to {limit}; send the packet again"
                )
            return zstandard.ZstdDecompressor().decompress(frame)
        except zstandard.ZstdError as error:
            raise WireError(f"corrupt packet: zstd says '{error}'; send the packet again") from error
