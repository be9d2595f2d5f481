"""Laws of the wire that hold for any arrays."""

import contextlib
import math
import tracemalloc
import zlib

import hypothesis.extra.numpy as hnp
import numpy as np
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedlite.client.stages.base import Sending
from fedlite.client.stages.error_feedback import ErrorFeedback
from fedlite.rng import stream
from fedlite.wire import (
    FORMATS,
    LOSSLESS,
    SPARSIFIERS,
    WireError,
    decode,
    decode_many,
    encode,
    most_bytes,
    packet,
    varint,
)
from fedlite.wire.positions import pack, unpack
from fedlite.wire.varint import Reader

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6)
SMALL = st.floats(-6e4, 6e4, width=32)
FLOATS = hnp.arrays(np.float32, SHAPES, elements=SMALL)
ANY = st.one_of(
    FLOATS,
    hnp.arrays(st.sampled_from([np.int8, np.int64, np.uint16, np.bool_]), SHAPES),
    hnp.arrays(np.float64, SHAPES, elements=SMALL),
)
CODEC = st.tuples(
    st.sampled_from([None, "topk:0.2", "nonzero", "threshold:1.5"]),
    st.sampled_from([*FORMATS, "int4:8", "kmeans:6"]),
    st.sampled_from([None, "zstd", "range"]),
).map(lambda stages: tuple(stage for stage in stages[stages[1] == "lowrank" :] if stage))  # needs whole tensors
quick = settings(max_examples=80, deadline=None)


@quick
@given(st.lists(ANY, max_size=5), CODEC)
def test_any_arrays_come_back_with_their_shapes_and_types_and_within_the_bound(arrays, codec):
    buffer = encode(arrays, codec, stream(1, "any"))
    assert len(buffer) <= most_bytes(arrays, codec)
    received = decode(buffer)
    assert [(a.shape, a.dtype) for a in received] == [(a.shape, a.dtype) for a in arrays]
    for got, was in zip(received, arrays, strict=True):
        if was.dtype.kind != "f":
            np.testing.assert_array_equal(got, was)
        elif was.size and not {"drive", "eden", "lowrank"} & set(codec):  # whose errors are spread over all values
            assert np.abs(got).max() <= np.abs(was).max() * (1 + 2.0**-8) + 2.0**-25


@quick
@given(st.lists(FLOATS, max_size=4), st.sampled_from([("fp32",), ("fp32", "zstd"), ("nonzero",), ("nonzero", "zstd")]))
def test_exact_codecs_return_the_same_numbers(arrays, codec):
    for got, was in zip(decode(encode(arrays, codec)), arrays, strict=True):
        np.testing.assert_array_equal(got, was)


@quick
@given(hnp.arrays(np.float32, st.integers(0, 200), elements=SMALL), st.floats(0.001, 0.9))
def test_top_k_contracts_any_vector(values, fraction):
    received = decode(encode([values], (f"topk:{fraction}",)))[0].astype(np.float64)
    whole = values.astype(np.float64)
    assert ((whole - received) ** 2).sum() <= (1 - fraction) * (whole**2).sum() * (1 + 1e-9)
    assert np.count_nonzero(received) <= math.ceil(round(fraction * values.size, 9))
    np.testing.assert_array_equal(received[received != 0], whole[received != 0])


@quick
@given(st.data(), st.integers(0, 500))
def test_any_positions_read_back(data, count):
    chosen = data.draw(st.sets(st.integers(0, count - 1))) if count else set()
    positions = np.array(sorted(chosen), np.int64)
    reader = Reader(memoryview(pack(positions, count)))
    assert unpack(reader, count).tolist() == positions.tolist()
    assert reader.left == 0


@quick
@given(st.binary(max_size=200))
def test_any_bytes_after_the_checksum_are_an_error_or_arrays(junk):
    try:
        arrays = decode(sealed(junk[0] if junk else 0, junk), most_elements=100_000)
    except WireError:
        return
    assert sum(array.size for array in arrays) <= 100_000


@quick
@given(
    st.lists(hnp.arrays(np.float32, 12, elements=st.floats(-10, 10, width=32)), min_size=1, max_size=8),
    st.lists(st.booleans(), min_size=8, max_size=8),
    st.sampled_from([("topk:0.2",), ("sign",), ("topk:0.2", "int8")]),
)
def test_error_feedback_conserves_whatever_is_lost(updates, lost, codec):
    stage, kept, received = ErrorFeedback(), {}, np.zeros(12)
    for number, (update, gone) in enumerate(zip(updates, lost, strict=False)):
        applied = stage.apply([update], Sending([], 0, 1, kept, stream(0, "unused")))
        decoded = decode(encode(applied.update, codec, stream(3, "lost", number)))
        kept = stage.sent(applied.update, decoded, applied.memory)
        if gone:
            kept = stage.lost(decoded, kept)
        else:
            received += decoded[0]
    np.testing.assert_allclose(received + kept["residual"], np.sum(updates, axis=0, dtype=np.float64), atol=1e-3)


TEXT = st.one_of(
    CODEC.map("+".join),
    st.builds(
        "{}:{}".format,
        st.sampled_from([*FORMATS, *SPARSIFIERS, *LOSSLESS]),
        st.sampled_from(["", "0", "8", "0.1", "1e-4", "1 s", "much", "-3", "1e999", "65536", "9" * 90, "os:system"]),
    ),
    st.text(st.characters(max_codepoint=0x2FF), max_size=20),
)
LENGTH = st.one_of(st.integers(0, 9), st.sampled_from([255, 2**12, 2**16, 2**20, 2**22, 2**40, 2**62]))
TENSOR = st.tuples(st.integers(0, 15), st.lists(LENGTH, max_size=3))
BODY = st.one_of(st.binary(max_size=40), st.builds(bytes, st.integers(0, 40)), st.sampled_from([b"\0", b"\2\0"]))


def sealed(flags, rest):
    """A packet whose checksum holds, as an attacker would send it."""
    start = b"\xf5L\x01" + bytes([flags])
    return start + zlib.crc32(rest, zlib.crc32(start)).to_bytes(4, "little") + rest


def made_up(text, tensors, flags, body, squeeze):
    header = varint.put(len(text.encode())) + text.encode() + varint.put(len(tensors))
    for dtype, shape in tensors:
        header += bytes([dtype << 4 | len(shape)]) + b"".join(map(varint.put, shape))
    if squeeze:
        body = zstandard.ZstdCompressor().compress(body * squeeze)
    return sealed(flags, varint.put(len(header)) + header + body)


@st.composite
def mutated(draw):
    """An honest packet of a few values, changed, cut or doubled somewhere, with a checksum that holds again."""
    arrays = draw(
        st.sampled_from([[np.linspace(-1, 1, 40, dtype=np.float32), np.array(7)], [np.zeros(300, np.float16)]])
    )
    honest = bytearray(encode(arrays, draw(CODEC), stream(1, "mutated")))
    for _ in range(draw(st.integers(1, 4))):
        honest[draw(st.integers(3, len(honest) - 1))] = draw(st.integers(0, 255))
    cut = draw(st.integers(8, len(honest)))
    rest = draw(st.sampled_from([honest[8:], honest[8:cut], honest[8:cut] + honest[8:]]))
    return sealed(honest[3], bytes(rest))


RANDOM = st.builds(
    made_up, TEXT, st.lists(TENSOR, max_size=6), st.integers(0, 255), BODY, st.sampled_from([0, 0, 1, 2**10])
)
BOMB = zstandard.ZstdCompressor().compress(bytes(2**24))
GREEDY = st.builds(
    made_up,
    CODEC.map("+".join),
    st.lists(st.tuples(st.sampled_from([0, 0, 1, 2, 7]), LENGTH.map(lambda n: [n])), min_size=1, max_size=2),
    st.integers(0, 3),
    st.sampled_from([b"\0", b"\2\0", b"\1\0", b"\0" * 40, BOMB]),
    st.just(0),
)
"""Much announced in few bytes, in ways that get past the header: nothing kept, everything kept, a lot of zeros."""

FORGED = st.one_of(RANDOM, GREEDY, mutated())


def peak_bytes(run):
    """Return the most memory that a call held, as tracemalloc counts it; only a `WireError` may come out of it."""
    tracemalloc.start()
    try:
        with contextlib.suppress(WireError):
            run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@settings(max_examples=3000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(FORGED)
def test_a_forged_packet_is_refused_or_small(buffer):
    """At most 64 bytes for each element that a packet of this length is trusted with."""
    allowed = max(packet.FREE_ELEMENTS, packet.ELEMENTS_PER_BYTE * len(buffer))
    assert peak_bytes(lambda: decode(buffer)) <= 64 * allowed


@settings(max_examples=1000, deadline=None)
@given(FORGED)
def test_a_receiver_that_says_what_it_expects_holds_little_more_than_that(buffer):
    """64 bytes for each of 41 elements, 512 for each byte received, and a few kilobytes of Python's own."""
    like = [np.zeros(40, np.float32), np.array(0)]
    assert peak_bytes(lambda: decode(buffer, like=like)) <= 64 * 41 + 512 * len(buffer) + 2**14
    assert peak_bytes(lambda: decode_many([buffer, buffer], like=like)) <= 2 * (64 * 41 + 512 * len(buffer)) + 2**14
