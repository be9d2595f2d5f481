"""What a lossless stage must offer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from fedlite.wire.formats.base import Fields


class Lossless(Protocol):
    """Bytes to fewer bytes and back."""

    @property
    def text(self) -> str:
        """The stage as people write it, such as "zstd"."""

    def compress(self, payload: bytes) -> bytes:
        """Return the compressed bytes, always the same for the same input."""

    def decompress(self, payload: memoryview, limit: int) -> bytes:
        """Return the original bytes; a `WireError` if they are damaged or would be more than `limit`."""


@runtime_checkable
class CodesFields(Protocol):
    """A lossless stage that codes small integers rather than bytes, where a payload ends with some."""

    def compress_fields(self, payload: bytes, fields: Fields) -> bytes:
        """Return the compressed bytes of a payload that ends with `fields`; `decompress` undoes it."""
