"""The header of a packet: which codec, which tensors. The same few layouts recur, so they are built once and kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np

from fedlite.errors import FedliteError
from fedlite.wire import varint
from fedlite.wire.codec import MOST_TEXT_BYTES, Codec, known_codec
from fedlite.wire.errors import WireError
from fedlite.wire.segments import Segments

DTYPES: Final = (
    "float32", "float16", "float64", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
)  # fmt: skip
"""Position = the number in the packet. Never reorder: old packets would be read wrongly."""

_NAMES: Final = {np.dtype(name): name for name in DTYPES}  # numpy builds `dtype.name` anew each time, in microseconds
_FLOATS: Final = 3
_MOST_DIMENSIONS: Final = 15
_MOST_KEPT_BYTES: Final = 8192  # longer headers are read anew each time, or forged ones would fill the memory for good

Tensor = tuple[str, tuple[int, ...]]
"""Name of the data type and shape of one array."""


@dataclass(frozen=True, eq=False)
class Layout:
    """What the header says.

    Attributes
    ----------
    header : bytes
        The header itself.
    floats, integers : tuple of int
        Positions of the floating and of the other tensors.
    sizes : tuple of int
        Elements of each tensor.
    segments : Segments
        The floating tensors in the flat vector.
    integer_bytes : int
        Length of the integer tensors, which precede the numbers.
    elements : int
        All elements, an empty dimension counted as 1: a bound on what decoding has to allocate.
    """

    header: bytes
    codec: Codec
    tensors: tuple[Tensor, ...]
    floats: tuple[int, ...]
    integers: tuple[int, ...]
    sizes: tuple[int, ...]
    segments: Segments
    integer_bytes: int
    elements: int

    @cached_property
    def head(self) -> bytes:
        """The header as it stands in a packet, after its length."""
        return varint.put(len(self.header)) + self.header


@lru_cache(maxsize=512)
def layout_of(codec: Codec, tensors: tuple[Tensor, ...]) -> Layout:
    """Return the layout of arrays that are about to be sent.

    Raises
    ------
    WireError
        If an array has a type or a number of dimensions that packets cannot carry.
    """
    text = codec.text.encode()
    parts = [varint.put(len(text)), text, varint.put(len(tensors))]
    for dtype, shape in tensors:
        if dtype not in DTYPES:
            raise WireError(
                f"packet: got an array of type {dtype}, expected one of {', '.join(DTYPES)}; convert it first"
            )
        if len(shape) > _MOST_DIMENSIONS:
            raise WireError(
                f"packet: got {len(shape)} dimensions, expected at most {_MOST_DIMENSIONS}; reshape the array"
            )
        parts.append(bytes([DTYPES.index(dtype) << 4 | len(shape)]))
        parts.extend(varint.put(length) for length in shape)
    return _layout(b"".join(parts), codec, tensors)


def read_layout(header: bytes) -> Layout:
    """Return the layout that a header describes; a `WireError` if it is malformed."""
    return _read(header) if len(header) > _MOST_KEPT_BYTES else _read_once(header)


@lru_cache(maxsize=64)
def _read_once(header: bytes) -> Layout:
    return _read(header)


def _read(header: bytes) -> Layout:
    reader = varint.Reader(memoryview(header))
    length = reader.varint()
    if length > MOST_TEXT_BYTES:
        raise WireError(f"corrupt packet: a codec name of {length} bytes; send the packet again")
    name = bytes(reader.take(length)).decode("ascii", errors="replace")
    try:
        codec = known_codec(name)
    except FedliteError as error:
        raise WireError(f"packet: unreadable codec: {error}; sender and receiver need the same version") from error
    tensors: list[Tensor] = []
    for _ in range(reader.varint()):
        byte = reader.take(1)[0]
        if byte >> 4 >= len(DTYPES):
            raise WireError(f"corrupt packet: unknown data type {byte >> 4}; send the packet again")
        tensors.append((DTYPES[byte >> 4], tuple(reader.varint() for _ in range(byte & 15))))
    if reader.left:
        raise WireError(f"corrupt packet: {reader.left} bytes too many in the header; send the packet again")
    return _layout(header, codec, tuple(tensors))


def describe(array: np.ndarray[Any, Any]) -> Tensor:
    """Return type name and shape of an array, byte order left out: packets are little-endian."""
    return _NAMES.get(array.dtype) or array.dtype.name, array.shape


def _layout(header: bytes, codec: Codec, tensors: tuple[Tensor, ...]) -> Layout:
    sizes = tuple(math.prod(shape) for _, shape in tensors)
    floats = tuple(i for i, (dtype, _) in enumerate(tensors) if DTYPES.index(dtype) < _FLOATS)
    integers = tuple(i for i, (dtype, _) in enumerate(tensors) if DTYPES.index(dtype) >= _FLOATS)
    elements = sum(math.prod(max(1, length) for length in shape) for _, shape in tensors)
    flat = [min(sizes[i], 2**62) for i in floats]
    return Layout(
        header=header,
        codec=codec,
        tensors=tensors,
        floats=floats,
        integers=integers,
        sizes=sizes,
        segments=Segments(flat, [tensors[i][1] for i in floats]),
        integer_bytes=sum(sizes[i] * np.dtype(tensors[i][0]).itemsize for i in integers),
        elements=elements,
    )
