"""One self-describing packet for all arrays of a model: what really crosses the wire, and whose length is charged.

Layout: magic (2 bytes), version (1), flags (1), CRC-32 of everything else (4), length of the header (varint), header
(codec, then type and shape of each tensor), body. The body is the integer tensors as they are, then the positions of
the kept values if the codec has a sparsifier, or the seed that they follow from, then the numbers (their bytes
shuffled if flag 2 is set); compressed as one piece if flag 1 is set.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from fedlite.wire import choice, varint
from fedlite.wire.codec import Codec, parse_codec
from fedlite.wire.errors import CodecError, WireError
from fedlite.wire.formats.base import BoundsItself, EndsWithFields, Fields
from fedlite.wire.layout import Layout, describe, layout_of, read_layout
from fedlite.wire.lossless.base import CodesFields
from fedlite.wire.shuffle import shuffle, unshuffle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.wire.segments import Floats, Segments

MAGIC: Final = b"\xf5L"
VERSION: Final = 1
MOST_ELEMENTS: Final = 2**27
"""Limit of a packet's elements if the receiver names none (half a gigabyte of float32)."""
FREE_ELEMENTS: Final = 2**16
"""What any packet may announce, however short, if the receiver does not say what it expects."""
ELEMENTS_PER_BYTE: Final = 2**10
"""What each byte of a packet adds to that: top 0.1 % in half precision takes about 270."""

NO_FIELDS: Final = Fields()

_COMPRESSED: Final = 1
_SHUFFLED: Final = 2
_FIXED: Final = 8

Buffer = bytes | bytearray | memoryview | NDArray[np.uint8]
Array = NDArray[Any]


@dataclass(frozen=True)
class PacketInfo:
    """What a packet says about itself. `header_bytes + body_bytes` is its length."""

    codec: tuple[str, ...]
    tensors: tuple[tuple[str, tuple[int, ...]], ...]
    header_bytes: int
    body_bytes: int
    compressed: bool


def encode(arrays: Sequence[Array], codec: Sequence[str] | Codec, rng: np.random.Generator | None = None) -> bytes:
    """Return one packet with all arrays.

    Parameters
    ----------
    arrays : sequence of arrays
        Floating tensors go through the codec as float32; integer and boolean tensors are carried as they are.
    codec : stages or Codec
        Such as ("topk:0.1", "int8", "zstd").
    rng : Generator, optional
        Needed by codecs that round stochastically. The same state gives the same bytes.

    Raises
    ------
    WireError
        If a value is not finite, an array has an unknown type, or a generator is missing.
    CodecError
        If a stage does not give what it has announced.
    """
    codec = parse_codec(codec)
    arrays = [np.asarray(array) for array in arrays]
    layout = layout_of(codec, tuple(describe(array) for array in arrays))
    return sealed(layout, *body_of(layout, integer_part(layout, arrays), _flat(layout, arrays), rng))


class Body(NamedTuple):
    """What stands in a packet after its header, before the lossless stage; `fields` end it."""

    content: bytes
    flags: int
    fields: Fields


def sealed(layout: Layout, body: bytes | memoryview, flags: int, fields: Fields = NO_FIELDS) -> bytes:
    """Return the packet around a body: the last stage, the header and the checksum."""
    if (lossless := layout.codec.lossless) is not None:
        if fields.count and isinstance(lossless, CodesFields):
            smaller = lossless.compress_fields(bytes(body), fields)
        else:
            smaller = lossless.compress(bytes(body))
        if len(smaller) < len(body):
            body, flags = smaller, flags | _COMPRESSED
    start, head = MAGIC + bytes([VERSION, flags]), layout.head
    checksum = zlib.crc32(body, zlib.crc32(head, zlib.crc32(start)))
    return b"".join((start, checksum.to_bytes(4, "little"), head, body))


def decode(buffer: Buffer, *, like: Sequence[Array] | None = None, most_elements: int | None = None) -> list[Array]:
    """Return the arrays of a packet, in their order, shapes and types; new and writable.

    Nothing is allocated before the packet has shown that it may ask for it. A packet that sends every value must have
    the bytes of every value. One with a sparsifier or a lossless stage can honestly be far shorter than its arrays, so
    the receiver should say what it expects.

    Parameters
    ----------
    buffer : bytes or array of bytes
    like : sequence of arrays, optional
        Arrays of the shapes that are expected, floating where floating ones are; other packets are refused.
    most_elements : int, optional
        Without `like`: the most elements. By default what a packet of this length can be trusted with,
        `FREE_ELEMENTS` or `ELEMENTS_PER_BYTE` for each of its bytes, and never above `MOST_ELEMENTS`.

    Raises
    ------
    WireError
        If the buffer is truncated, corrupt or no packet, or holds other or more arrays than it may.
    CodecError
        If the number format does not give an array of as many values as the packet holds.
    """
    layout, flags, body = opened(buffer, like, most_elements)
    if flags & _COMPRESSED:
        body = _decompressed(layout, body)
    reader = varint.Reader(body)
    arrays: list[Array | None] = [None] * len(layout.tensors)
    for i in layout.integers:
        dtype, shape = layout.tensors[i]
        raw = reader.take(layout.sizes[i] * np.dtype(dtype).itemsize)
        arrays[i] = np.frombuffer(raw, np.dtype(dtype).newbyteorder("<")).astype(dtype).reshape(shape)
    flat = _numbers(layout, reader, shuffled=bool(flags & _SHUFFLED))
    start = 0
    for i in layout.floats:
        dtype, shape = layout.tensors[i]
        stop = start + layout.sizes[i]
        part = flat[start:stop].reshape(shape)
        arrays[i] = as_type(part, dtype)
        start = stop
    return [array for array in arrays if array is not None]


def as_type(values: Floats, dtype: str) -> Array:
    """Return float32 values as the type they had; what a codec rounded beyond float16 becomes its largest value."""
    if dtype == "float16":
        largest = np.finfo(np.float16).max
        values = np.asarray(np.clip(values, -largest, largest))
    return values.astype(dtype, copy=False)


def _decompressed(layout: Layout, body: memoryview) -> memoryview:
    if layout.codec.lossless is None:
        raise WireError("corrupt packet: compressed without a lossless stage; send the packet again")
    limit = layout.integer_bytes + _most_number_bytes(layout)
    whole = layout.codec.lossless.decompress(body, limit)
    if len(whole) > limit:
        raise WireError(f"corrupt packet: content above {limit} bytes; send the packet again")
    return memoryview(whole)


def inspect(buffer: Buffer) -> PacketInfo:
    """Return what a packet says about itself, without decoding its body."""
    layout, flags, body = opened(buffer, None, MOST_ELEMENTS)
    total = len(_view(buffer))
    return PacketInfo(
        codec=layout.codec.stages,
        tensors=layout.tensors,
        header_bytes=total - len(body),
        body_bytes=len(body),
        compressed=bool(flags & _COMPRESSED),
    )


def most_bytes(arrays: Sequence[Array], codec: Sequence[str] | Codec) -> int:
    """Return the largest length a packet of such arrays can have, for pricing a transfer before its content is known.

    Exact for codecs without a sparsifier and without a lossless stage.
    """
    layout = layout_of(parse_codec(codec), tuple(describe(np.asarray(array)) for array in arrays))
    return _FIXED + len(layout.head) + layout.integer_bytes + _most_number_bytes(layout)


def integer_part(layout: Layout, arrays: Sequence[Array]) -> bytes:
    """Return the bytes of the integer tensors, which travel as they are."""
    parts = [arrays[i].astype(arrays[i].dtype.newbyteorder("<"), copy=False).tobytes() for i in layout.integers]
    return b"".join(parts)


def body_of(layout: Layout, integers: bytes, values: Floats, rng: np.random.Generator | None) -> Body:
    """Return the body of a packet before the lossless stage; `values` are all floats in one vector."""
    parts, segments, codec = [integers], layout.segments, layout.codec
    if codec.sparsifier is not None:
        kept, told = choice.made(codec.sparsifier, codec.text, values, rng)
        parts.append(told)
        values, segments = values[kept], segments.at(kept)
    numbers = number_bytes(codec, values, segments, rng)
    # The shuffle brings similar exponents together, but tears whole zeros apart, which compress better in one piece.
    wide = codec.number.stride > 1 and len(numbers) % codec.number.stride == 0
    shuffled = codec.lossless is not None and wide and 2 * np.count_nonzero(values) > values.size
    parts.append(shuffle(numbers, codec.number.stride) if shuffled else numbers)
    packed = codec.lossless is not None and isinstance(codec.number, EndsWithFields)
    fields = cast("EndsWithFields", codec.number).fields(segments) if packed else NO_FIELDS
    return Body(b"".join(parts), _SHUFFLED if shuffled else 0, fields)


def number_bytes(codec: Codec, values: Floats, segments: Segments, rng: np.random.Generator | None) -> bytes:
    """Return values in the codec's number format, or raise if it does not give as many bytes as it announces."""
    numbers = codec.number.encode(values, segments, rng)
    if len(numbers) != codec.number.encoded_bytes(segments):
        raise CodecError(
            f"{codec.text}: got {len(numbers)} bytes from encode, expected the {codec.number.encoded_bytes(segments)} "
            "of encoded_bytes; mend the number format"
        )
    return numbers


def _flat(layout: Layout, arrays: Sequence[Array]) -> Floats:
    if not layout.floats:
        return np.zeros(0, np.float32)
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite and is refused just below
        flat = np.concatenate([arrays[i].reshape(-1) for i in layout.floats], dtype=np.float32, casting="same_kind")
    refuse_infinite(flat)
    return flat


def refuse_infinite(flat: Floats) -> None:
    """Raise a `WireError` if any value is NaN or infinite."""
    if not np.isfinite(flat).all():
        bad = int(flat.size - np.count_nonzero(np.isfinite(flat)))
        raise WireError(
            f"packet: got {bad} of {flat.size} values that are NaN or infinite, expected finite float32; "
            "training has diverged: lower the learning rate or clip the update"
        )


def opened(buffer: Buffer, like: Sequence[Array] | None, most_elements: int | None) -> tuple[Layout, int, memoryview]:
    """Return what a packet says of itself, its flags and its body, once its checksum holds and its size is allowed."""
    view = _view(buffer)
    reader = varint.Reader(view)
    start = bytes(reader.take(4))
    if start[:2] != MAGIC:
        raise WireError(f"not a packet: it starts with {start[:2]!r}, expected {MAGIC!r}; pass what encode returned")
    if start[2] != VERSION:
        raise WireError(f"packet of version {start[2]}, expected {VERSION}; sender and receiver need the same version")
    reader.take(_FIXED - len(start))
    _check_sum(view)
    layout = read_layout(bytes(reader.take(reader.varint())))
    if like is not None:
        _check_alike(layout, like)
        return layout, start[3], reader.rest()
    if most_elements is None:
        most_elements = min(MOST_ELEMENTS, max(FREE_ELEMENTS, ELEMENTS_PER_BYTE * len(view)))
    if layout.elements > most_elements:
        raise WireError(
            f"packet of {layout.elements} elements, expected at most {most_elements}; "
            "pass most_elements, or the expected arrays as 'like', if the model is this large"
        )
    return layout, start[3], reader.rest()


def opened_alike(
    buffers: Sequence[Buffer], like: Sequence[Array] | None, *, intact: bool = False
) -> list[tuple[Layout, int, memoryview]]:
    """Return the same of many packets; the header of the first is read once for all that have it too.

    `intact` packets have not left this process: their checksums are not counted again.
    """
    layout, flags, body = opened(buffers[0], like, None)
    first = _view(buffers[0])
    begin = len(first) - len(body)
    fixed, head = first[:4], first[_FIXED:begin]
    read = [(layout, flags, body)]
    for buffer in buffers[1:]:
        view = _view(buffer)
        if view[:4] != fixed or view[_FIXED:begin] != head:
            read.append(opened(buffer, like, None))
            continue
        if not intact:
            _check_sum(view)
        read.append((layout, flags, view[begin:]))
    return read


def _check_sum(view: memoryview) -> None:
    checksum = int.from_bytes(view[4:_FIXED], "little")
    if zlib.crc32(view[_FIXED:], zlib.crc32(view[:4])) != checksum:
        raise WireError("corrupt or truncated packet: the checksum does not match; send the packet again")


def _check_alike(layout: Layout, like: Sequence[Array]) -> None:
    got, expected = [shape for _, shape in layout.tensors], [array.shape for array in like]
    floats = tuple(i for i, array in enumerate(like) if array.dtype.kind == "f")
    if got != expected or layout.floats != floats:
        differ = [i for i, (a, b) in enumerate(zip(got, expected, strict=False)) if a != b]
        raise WireError(
            f"packet: got {len(got)} arrays of which {len(layout.floats)} float, expected {len(expected)} and "
            f"{len(floats)}{f', and other shapes, first at array {differ[0]}' if differ else ''}; "
            "sender and receiver need the same model"
        )


def _view(buffer: Buffer) -> memoryview:
    if isinstance(buffer, np.ndarray):  # Flower carries packets as arrays of bytes
        return memoryview(np.ascontiguousarray(buffer).tobytes())
    return memoryview(buffer).cast("B")


def _numbers(layout: Layout, reader: varint.Reader, *, shuffled: bool) -> Floats:
    codec, segments, kept = layout.codec, layout.segments, None
    if codec.sparsifier is not None:
        kept = choice.read(codec.sparsifier, reader, segments.total)
        segments = segments.at(kept)
    payload = reader.rest()
    if shuffled:
        _check_length(codec, segments, payload)
        if len(payload) % codec.number.stride:
            raise WireError("corrupt packet: shuffled, but not in whole values; send the packet again")
        payload = memoryview(unshuffle(payload, codec.number.stride))
    values = numbers(codec, segments, payload)
    if kept is None or codec.sparsifier is None:
        return values
    flat = np.zeros(layout.segments.total, np.float32)
    flat[kept] = choice.amplified(codec.sparsifier, values, flat.size)
    return flat


def numbers(codec: Codec, segments: Segments, payload: bytes | memoryview) -> Floats:
    """Return the values of bytes in the codec's number format: no integers, no positions, not compressed."""
    _check_length(codec, segments, payload)
    return _as_promised(codec, codec.number.decode(memoryview(payload), segments), segments.total)


def _check_length(codec: Codec, segments: Segments, payload: bytes | memoryview) -> None:
    wanted = codec.number.encoded_bytes(segments)
    if len(payload) != wanted:
        raise WireError(
            f"corrupt packet: {wanted} bytes of numbers expected, got {len(payload)}; send the packet again"
        )


def _as_promised(codec: Codec, values: object, count: int) -> Floats:
    """Return what a number format read, or raise if it is no array of so many values."""
    if isinstance(values, np.ndarray) and values.shape == (count,):
        return values
    got = f"values of shape {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
    raise CodecError(f"{codec.text}: got {got} from decode, expected a numpy array ({count},); mend the number format")


def _most_number_bytes(layout: Layout) -> int:
    codec, segments = layout.codec, layout.segments
    if codec.sparsifier is None:
        return codec.number.encoded_bytes(segments)
    kept = codec.sparsifier.most(segments.total)
    # Each kept value may need a scale of its own where it is alone in its tensor or block, so count both apart.
    return choice.most_bytes(codec.sparsifier, segments.total) + _most_kept_bytes(layout, kept)


def _most_kept_bytes(layout: Layout, kept: int) -> int:
    """Return the most bytes for `kept` values: spread over as many tensors as possible, for the most scales."""
    if isinstance(layout.codec.number, BoundsItself):
        return layout.codec.number.most_bytes(kept, layout.segments)
    segments = layout.segments.sizes[np.argsort(-layout.segments.sizes, kind="stable")][:kept]
    if not segments.size:
        return 0
    spread = np.ones(segments.size, np.int64)
    left = kept - segments.size
    for i, size in enumerate(segments.tolist()):
        extra = min(left, size - 1)
        spread[i] += extra
        left -= extra
    return layout.codec.number.encoded_bytes(type(layout.segments)(spread))
