"""Laws of the wire that hold for any arrays."""

import math

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlite.errors import FedliteError
from fedlite.rng import stream
from fedlite.wire import FORMATS, decode, encode, most_bytes
from fedlite.wire.error_feedback import compress, restore
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
    st.sampled_from([None, "topk:0.2", "nonzero"]),
    st.sampled_from([*FORMATS, "int4:8"]),
    st.sampled_from([None, "zstd"]),
).map(lambda stages: tuple(stage for stage in stages if stage))
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
        elif was.size:
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
    import zlib

    start = b"\xf5L\x01" + junk[:1].ljust(1, b"\0")
    packet = start + zlib.crc32(junk, zlib.crc32(start)).to_bytes(4, "little") + junk
    try:
        arrays = decode(packet, most_elements=100_000)
    except FedliteError:
        return
    assert sum(array.size for array in arrays) <= 100_000


@quick
@given(
    st.lists(hnp.arrays(np.float32, 12, elements=st.floats(-10, 10, width=32)), min_size=1, max_size=8),
    st.lists(st.booleans(), min_size=8, max_size=8),
    st.sampled_from([("topk:0.2",), ("sign",), ("topk:0.2", "int8")]),
)
def test_error_feedback_conserves_whatever_is_lost(updates, lost, codec):
    residual, received = None, np.zeros(12)
    for number, (update, gone) in enumerate(zip(updates, lost, strict=False)):
        buffer, residual = compress([update], residual, codec, stream(3, "lost", number))
        if gone:
            residual = restore(residual, buffer)
        else:
            received += decode(buffer)[0]
    np.testing.assert_allclose(received + residual[0], np.sum(updates, axis=0, dtype=np.float64), atol=1e-3)
