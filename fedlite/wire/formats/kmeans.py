"""A codebook of K values for each tensor, and the place of every weight's value in it: weight sharing by clusters.

References
----------
Han, Mao, Dally 2016, "Deep Compression: Compressing Deep Neural Networks with Pruning, Trained Quantization and Huffman
Coding", section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fedlite.wire.bits import pack, packed_bytes, unpack
from fedlite.wire.clusters import EVEN, codebook, nearest
from fedlite.wire.errors import CodecError, WireError
from fedlite.wire.formats.base import Fields

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.wire.segments import Floats, Segments

_VALUE_BYTES = 4
_MOST = 256


@dataclass(frozen=True)
class KMeans:
    """A weight becomes the nearest of K values of its tensor, in `ceil(log2 K)` bits; the values are float32.

    Tensors of at most 2 K weights travel as they are: the codebook would outweigh what it saves.

    Parameters
    ----------
    size : int
        K, from 2 to 256.
    """

    size: int
    carries_update: bool = True
    lengthens: bool = True
    stochastic: bool = False
    stride: int = 1
    elementwise: bool = False

    @classmethod
    def parse(cls, argument: str | None) -> KMeans:
        """Return the format of "kmeans:16", which is also "kmeans"."""
        if argument is None:
            return cls(16)
        if not argument.isdecimal() or len(argument) > 3 or not 2 <= int(argument) <= _MOST:  # noqa: PLR2004 (stated in the message)
            raise CodecError(
                f"kmeans: got {argument!r} values, expected a whole number from 2 to {_MOST}; "
                "write for example 'kmeans:16'"
            )
        return cls(int(argument))

    @property
    def text(self) -> str:
        """The stage as people write it."""
        return f"kmeans:{self.size}"

    @property
    def carries_model(self) -> bool:
        """Whether there are values enough for every weight to be within a quarter of the largest."""
        return self.size >= EVEN

    @property
    def bits(self) -> int:
        """Bits of a place in the codebook."""
        return (self.size - 1).bit_length()

    def fields(self, segments: Segments) -> Fields:
        """Return a place for each weight of a tensor with a codebook."""
        return Fields(int(segments.sizes[self._shared(segments)].sum()), self.bits)

    def encoded_bytes(self, segments: Segments) -> int:
        """Return 4 bytes for each value of a codebook and each weight without one, and the packed places."""
        fields = self.fields(segments)
        values = segments.total - fields.count + self.size * int(np.count_nonzero(self._shared(segments)))
        return _VALUE_BYTES * values + packed_bytes(fields.count, fields.bits)

    def most_bytes(self, count: int, segments: Segments) -> int:
        """Return a length that no choice of `count` weights exceeds: 4 bytes each, or what every tensor can come to."""
        sizes = segments.sizes
        plain = np.minimum(sizes, 2 * self.size) * _VALUE_BYTES
        shared = np.where(self._shared(segments), self.size * _VALUE_BYTES + sizes * self.bits / 8, 0)
        return min(_VALUE_BYTES * count, int(np.ceil(np.maximum(plain, shared)).sum()))

    def encode(self, values: Floats, segments: Segments, rng: np.random.Generator | None) -> bytes:
        """Return codebooks and weights without one, tensor by tensor, then the packed places."""
        del rng
        heads, places = [], []
        for start, size, shared in zip(segments.starts, segments.sizes, self._shared(segments), strict=True):
            part = values[start : start + size]
            if shared:
                centres = codebook(part, self.size)
                places.append(nearest(part, centres))
                part = centres
            heads.append(part.astype("<f4", copy=False).tobytes())
        return b"".join(heads) + (pack(np.concatenate(places), self.bits) if places else b"")

    def decode(self, payload: memoryview, segments: Segments) -> Floats:
        """Return the value of each weight."""
        fields = self.fields(segments)
        cut = len(payload) - packed_bytes(fields.count, fields.bits)
        head = np.frombuffer(payload[:cut], "<f4").astype(np.float32)
        places = unpack(payload[cut:], fields.count, fields.bits)
        if (places.size and places.max() >= self.size) or not np.isfinite(head).all():
            raise WireError(f"corrupt packet: a value or place out of range for {self.text}; send the packet again")
        values = np.empty(segments.total, np.float32)
        book = place = 0
        for start, size, shared in zip(segments.starts, segments.sizes, self._shared(segments), strict=True):
            told = head[book : book + (self.size if shared else size)]
            book += told.size
            if shared:
                told = told[places[place : place + size]]
                place += size
            values[start : start + size] = told
        return values

    def _shared(self, segments: Segments) -> NDArray[np.bool_]:
        """Return which tensors have a codebook."""
        return segments.sizes > 2 * self.size
