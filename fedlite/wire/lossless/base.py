"""What a lossless stage must offer."""

from __future__ import annotations

from typing import Protocol


class Lossless(Protocol):
    """Bytes to fewer bytes and back."""

    @property
    def text(self) -> str:
        """The stage as people write it, such as "zstd"."""

    def compress(self, payload: bytes) -> bytes:
        """Return the compressed bytes, always the same for the same input."""

    def decompress(self, payload: memoryview, limit: int) -> bytes:
        """Return the original bytes; a `WireError` if they are damaged or would be more than `limit`."""
