"""1, 2 or 4 bits a value after a random rotation, which makes all values normal: the least error for so few bits.

References
----------
Vargaftik et al. 2021, "DRIVE: One-bit Distributed Mean Estimation" (1 bit, both scales).
Vargaftik et al. 2022, "EDEN: Communication-Efficient and Robust Distributed Mean Estimation for Federated Learning".
Max 1960, "Quantizing for minimum distortion" (the levels).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from fedlite.wire.bits import pack, packed_bytes, unpack
from fedlite.wire.errors import CodecError, WireError
from fedlite.wire.formats.base import Fields
from fedlite.wire.rotation import LARGEST, Rotation, groups, padded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.wire.segments import Floats, Segments

LEVELS: Final = {
    1: (0.7978845608,),
    2: (0.4527800346, 1.5104176085),
    4: (0.1283950299, 0.3880482995, 0.6567591185, 0.9423404565, 1.2562311973, 1.6180463860, 2.0690172265, 2.7325895710),
}
"""Bits -> the positive levels with the least mean squared error for a standard normal number."""
_BIASED: Final = "biased"
_SEED_BYTES = 8
_SCALE_BYTES = 4
_LARGEST: Final = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Eden:
    """A chunk x is rotated, each coordinate becomes the nearest level, and the levels q are rotated back and scaled.

    The scale is ||x||**2 / <R x, q>, with which the mean over seeds is x: the error is then
    sqrt(D / (1 - D)) ||x||, where D is the distortion of the levels; 0.756, 0.365 and 0.098 for 1, 2 and 4 bits. The
    biased scale <R x, q> / ||q||**2 has the least error of a single packet, sqrt(D) ||x||: 0.603 for 1 bit.

    Parameters
    ----------
    bits : int
        1, 2 or 4.
    biased : bool
        For 1 bit: the scale of the least error, for use with error feedback.
    """

    bits: int
    biased: bool = False
    carries_update: bool = True
    carries_model: bool = False
    lengthens: bool = True
    stochastic: bool = True
    stride: int = 1
    elementwise: bool = False

    @classmethod
    def parse_drive(cls, argument: str | None) -> Eden:
        """Return the format of "drive" or "drive:biased"."""
        if argument not in (None, _BIASED):
            raise CodecError(f"drive: got {argument!r}, expected 'drive' or 'drive:{_BIASED}'; write one")
        return cls(1, argument == _BIASED)

    @classmethod
    def parse(cls, argument: str | None) -> Eden:
        """Return the format of "eden:4"; "eden" is "eden:2", and "eden:1" is "drive"."""
        known = {None: 2} | {str(bits): bits for bits in LEVELS}
        if argument not in known:
            raise CodecError(f"eden: got {argument!r} bits, expected 1, 2 or 4; write for example 'eden:2'")
        return cls(known[argument])

    @property
    def text(self) -> str:
        """The stage as people write it."""
        if self.bits > 1:
            return f"eden:{self.bits}"
        return f"drive:{_BIASED}" if self.biased else "drive"

    def fields(self, segments: Segments) -> Fields:
        """Return a level for each rotated coordinate."""
        return Fields(padded(segments.total), self.bits)

    def encoded_bytes(self, segments: Segments) -> int:
        """Return 8 bytes of seed, 4 bytes a chunk, and the bits of the rotated coordinates."""
        if not segments.total:
            return 0
        chunks = sum(many for many, _ in groups(segments.total))
        return _SEED_BYTES + _SCALE_BYTES * chunks + packed_bytes(padded(segments.total), self.bits)

    def most_bytes(self, count: int, segments: Segments) -> int:
        """Return a length that no fewer values exceed, though 4095 of them have more chunks than 4096."""
        del segments
        if not count:
            return 0
        chunks = count // LARGEST + LARGEST.bit_length()
        return _SEED_BYTES + _SCALE_BYTES * chunks + packed_bytes(padded(count), self.bits)

    def encode(self, values: Floats, segments: Segments, rng: np.random.Generator | None) -> bytes:
        """Return the seed, the scales and the packed levels."""
        del segments
        if rng is None:
            raise WireError(
                f"{self.text}: the rotation is random, got no generator; pass rng=fedlite.rng.stream(seed, ...)"
            )
        if not values.size:
            return b""
        seed = rng.bytes(_SEED_BYTES)
        rotation = Rotation(int.from_bytes(seed, "little"), values.size)
        scales: list[NDArray[np.float64]] = []
        fields: list[bytes] = []
        for where, size in rotation.parts():
            chunks = _chunks(values[where], where.stop - where.start, size)
            largest = np.maximum(chunks.max(axis=1), -chunks.min(axis=1))
            # Divided, so that no square overflows.
            chunks = np.divide(chunks, np.where(largest > 0, largest, 1)[:, None], dtype=np.float32)
            norms = np.sqrt(_products(chunks, chunks))
            chunks = rotation.forward(chunks, where)
            chunks *= (math.sqrt(size) * _inverse(norms))[:, None].astype(np.float32)  # standard normal coordinates
            fields.append(pack(self._nearest(chunks).reshape(-1), self.bits))
            scales.append(largest * norms * self._scales(chunks, self._read(fields[-1], size)))
        told = np.minimum(np.concatenate(scales), _LARGEST).astype("<f4")
        return b"".join((seed, told.tobytes(), *fields))

    def decode(self, payload: memoryview, segments: Segments) -> Floats:
        """Return the levels rotated back and scaled; what is beyond float32 is its largest value."""
        if not segments.total:
            return np.zeros(0, np.float32)
        packed = packed_bytes(padded(segments.total), self.bits)
        scales = np.frombuffer(payload[_SEED_BYTES : len(payload) - packed], "<f4").astype(np.float32)
        if not (np.isfinite(scales).all() and scales.min() >= 0):
            raise WireError(f"corrupt packet: a scale out of range for {self.text}; send the packet again")
        fields = payload[len(payload) - packed :]
        rotation = Rotation(int.from_bytes(payload[:_SEED_BYTES], "little"), segments.total)
        values = np.empty(padded(segments.total), np.float32)
        done = 0
        for where, size in rotation.parts():
            part = fields[packed_bytes(where.start, self.bits) : packed_bytes(where.stop, self.bits)]
            chunks = rotation.backward(self._read(part, size), where)
            with np.errstate(over="ignore"):
                chunks *= scales[done : done + len(chunks), None]
            done += len(chunks)
            values[where] = np.clip(chunks, -_LARGEST, _LARGEST, out=chunks).reshape(-1)
        return values[: segments.total]

    @cached_property
    def _levels(self) -> Floats:
        """The levels in ascending order."""
        positive = np.array(LEVELS[self.bits], np.float32)
        return np.concatenate((-positive[::-1], positive))

    @cached_property
    def _by_byte(self) -> Floats:
        """The levels that each value of a byte stands for, (256, 8 / bits)."""
        return self._levels[unpack(memoryview(bytes(range(256))), 2048 // self.bits, self.bits)].reshape(256, -1)

    def _read(self, packed: bytes | memoryview, size: int) -> Floats:
        """Return the levels of packed numbers as chunks (M, size)."""
        return np.take(self._by_byte, np.frombuffer(packed, np.uint8), axis=0).reshape(-1, size)

    def _nearest(self, normal: Floats) -> NDArray[np.uint8]:
        """Return the number of the level nearest to each coordinate."""
        half = 1 << (self.bits - 1)
        below: NDArray[np.uint8] = (normal <= 0).view(np.uint8) * np.uint8(2 * half - 1)
        numbers = np.full(normal.shape, half, np.uint8)
        if half > 1:
            positive, magnitude = self._levels[half:], np.abs(normal)
            for edge in (positive[1:] + positive[:-1]) / 2:
                numbers += magnitude > edge
        return numbers ^ below  # the levels are symmetric, and so are their numbers

    def _scales(self, normal: Floats, levels: Floats) -> NDArray[np.float64]:
        """Return the factor of each chunk's levels, for a chunk of norm 1."""
        product, root = _products(normal, levels), math.sqrt(normal.shape[1])
        if self.biased:
            return np.asarray(product * _inverse(_products(levels, levels)) / root)
        return root * _inverse(product)


def _chunks(values: Floats, length: int, size: int) -> Floats:
    """Return values as chunks (M, size), with zeros at the end if they are too few."""
    if values.size < length:
        values = np.concatenate((values, np.zeros(length - values.size, np.float32)))
    return values.reshape(-1, size)


def _products(one: Floats, other: Floats) -> NDArray[np.float64]:
    """Return the inner product of each row with its counterpart."""
    return np.asarray((one * other).sum(axis=1), np.float64)


def _inverse(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 / x, and 0 for 0: chunks of zeros have no norm."""
    return np.asarray(np.divide(1.0, values, out=np.zeros_like(values), where=values > 0))
