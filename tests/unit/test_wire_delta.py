"""Differences of packets: exact for any two of one layout, short where numbers moved little, refused where wrong."""

from __future__ import annotations

import numpy as np
import pytest

from fedlite import wire
from fedlite.rng import stream

FORMATS = ("fp32", "fp16", "bf16", "int8", "int4", "int2", "sign")


def model(rng, scale=0.1):
    return [
        (scale * rng.standard_normal((40, 9))).astype(np.float32),
        np.array(7),
        (scale * rng.standard_normal(13)).astype(np.float32),
    ]


def packet(arrays, name):
    return wire.encode(arrays, (name,), stream(5, "dice"))


def moved(arrays, rng, by):
    return [a + (by * rng.standard_normal(a.shape)).astype(np.float32) if wire.is_float(a) else a + 1 for a in arrays]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("by", [0.0, 1e-4, 1.0])
def test_the_newer_packet_comes_back_to_the_bit(name, by):
    rng = stream(1, "delta")
    old = model(rng)
    held, new = packet(old, name), packet(moved(old, rng, by), name)
    assert wire.decode_delta(wire.encode_delta(new, held), held) == new


def test_any_bytes_of_one_length_come_back():
    rng = stream(2, "bytes")
    for length in range(12):
        held, new = rng.bytes(length), rng.bytes(length)
        assert wire.decode_delta(wire.encode_delta(new, held), held) == new


def test_differences_of_either_sign_and_around_the_whole_word_are_small():
    held = np.array([5, 5, 0, 2**32 - 1] * 500, "<u4").tobytes()
    new = np.array([6, 4, 2**32 - 1, 0] * 500, "<u4").tobytes()
    assert len(wire.encode_delta(new, held)) < 60
    assert wire.decode_delta(wire.encode_delta(new, held), held) == new


@pytest.mark.parametrize(("name", "least"), [("fp32", 1.25), ("fp16", 1.6), ("int8", 3.0)])
def test_what_moved_by_a_hundredth_is_shorter_than_the_whole_through_zstd(name, least):
    rng = stream(3, "delta")
    old = [(0.1 * rng.standard_normal((128, 128))).astype(np.float32)]
    new = moved(old, rng, 1e-3)
    whole = wire.encode(new, (name, "zstd"), stream(5, "dice"))
    assert len(whole) / len(wire.encode_delta(packet(new, name), packet(old, name))) > least


def test_a_difference_to_another_version_is_refused():
    rng = stream(4, "delta")
    old = model(rng)
    held, new, other = packet(old, "fp16"), packet(moved(old, rng, 0.1), "fp16"), packet(moved(old, rng, 0.2), "fp16")
    with pytest.raises(wire.WireError, match="another version"):
        wire.decode_delta(wire.encode_delta(new, held), other)


def test_packets_of_two_layouts_have_no_difference():
    old = model(stream(4, "delta"))
    with pytest.raises(wire.WireError, match="one layout"):
        wire.encode_delta(packet(old, "fp16"), packet(old, "fp32"))


def test_every_truncation_and_every_flipped_byte_is_told_or_harmless():
    """What gets through the frame is a packet with a checksum of its own."""
    rng = stream(6, "delta")
    old = model(rng)
    held, new = packet(old, "fp16"), packet(moved(old, rng, 0.01), "fp16")
    delta = wire.encode_delta(new, held)
    for end in range(len(delta)):
        with pytest.raises(wire.WireError):
            wire.decode(wire.decode_delta(delta[:end], held), like=old)
    for place in range(len(delta)):
        broken = bytearray(delta)
        broken[place] ^= 0x11
        try:
            found = wire.decode(wire.decode_delta(bytes(broken), held), like=old)
        except wire.WireError:
            continue
        for a, b in zip(found, wire.decode(new), strict=True):
            np.testing.assert_array_equal(a, b)
