"""What a number format must offer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np

    from fedlite.wire.segments import Floats, Segments


@dataclass(frozen=True)
class Fields:
    """`count` integers of `bits` bits each, packed by `bits.pack`."""

    count: int = 0
    bits: int = 8


class NumberFormat(Protocol):
    """Turns a flat float32 vector into bytes of a length known beforehand, and back.

    `segments` says where the tensors lie, for formats that keep a scale per tensor, and of which shapes they are, for
    formats over rows and matrices. Implementations are frozen dataclasses without state: randomness is an argument.
    One that makes sense for whole tensors only says `needs_shapes = True`, and no sparsifier may stand before it.
    """

    @property
    def text(self) -> str:
        """The stage as people write it, such as "int8"."""

    @property
    def carries_update(self) -> bool:
        """Whether the difference to the received model should be sent rather than the weights themselves."""

    @property
    def carries_model(self) -> bool:
        """Whether every value comes back within a quarter of its tensor's largest magnitude, so that a model survives.

        May be left unsaid, which means no. Codecs without it stay off the downlink.
        """

    @property
    def lengthens(self) -> bool:
        """Whether what is read back can have a larger 2-norm than the float32 values, if only by rounding.

        May be left unsaid, which means yes. Codecs with it are refused after clipping on the client.
        """

    @property
    def stochastic(self) -> bool:
        """Whether encoding draws random numbers."""

    @property
    def stride(self) -> int:
        """Bytes of one value, for the byte shuffle before a lossless stage; 1 if values are not whole bytes."""

    @property
    def elementwise(self) -> bool:
        """Whether each value becomes `stride` bytes of its own, so that the vectors of many clients are one vector.

        May be left unsaid, which means no.
        """

    def encoded_bytes(self, segments: Segments) -> int:
        """Return the exact length that `encode` gives."""

    def encode(self, values: Floats, segments: Segments, rng: np.random.Generator | None) -> bytes:
        """Return the bytes of finite values. `rng` is present if `stochastic`."""

    def decode(self, payload: memoryview, segments: Segments) -> Floats:
        """Return a new writable vector from a payload of exactly `encoded_bytes(segments)` bytes."""


@runtime_checkable
class EndsWithFields(Protocol):
    """A number format whose payload ends with small integers, packed: a lossless stage can code them one by one."""

    def fields(self, segments: Segments) -> Fields:
        """Return how many there are, and of how many bits."""


@runtime_checkable
class BoundsItself(Protocol):
    """A number format that does not need most bytes where values are spread over as many tensors as possible."""

    def most_bytes(self, count: int, segments: Segments) -> int:
        """Return the greatest length for up to `count` values that lie anywhere in `segments`."""
