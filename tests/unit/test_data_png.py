"""The PNG decoder against an encoder written from the standard's formulas, pixel by pixel."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from fedlite.learning.data.dataset import DatasetError
from fedlite.learning.data.png import decode_png


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def predicted(kind, left, up, corner):
    if kind == 4:
        estimate = left + up - corner
        return min((abs(estimate - left), 0, left), (abs(estimate - up), 1, up), (abs(estimate - corner), 2, corner))[2]
    return (0, left, up, (left + up) // 2)[kind]


def encode_png(pixels, filters, form=(8, 2, 0, 0, 0)):
    height, width, channels = pixels.shape
    body = bytearray()
    value = lambda y, x, c: int(pixels[y, x, c]) if y >= 0 and x >= 0 else 0
    for y in range(height):
        body.append(filters[y])
        for x in range(width):
            for c in range(channels):
                neighbours = value(y, x - 1, c), value(y - 1, x, c), value(y - 1, x - 1, c)
                body.append((value(y, x, c) - predicted(filters[y], *neighbours)) % 256)
    header = struct.pack(">IIBBBBB", width, height, *form)
    packed = zlib.compress(bytes(body))
    half = len(packed) // 2
    data = chunk(b"IHDR", header) + chunk(b"IDAT", packed[:half]) + chunk(b"IDAT", packed[half:]) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (7, 4), (4, 7), (11, 11)])
def test_every_filter_is_undone(shape):
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    filters = [int(kind) for kind in rng.integers(0, 5, shape[0])]
    assert np.array_equal(decode_png(encode_png(pixels, filters), "x"), pixels)


@pytest.mark.parametrize("kind", range(5))
def test_each_filter_alone_is_undone(kind):
    pixels = np.random.default_rng(kind).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    assert np.array_equal(decode_png(encode_png(pixels, [kind] * 6), "x"), pixels)


def test_a_changed_byte_is_noticed():
    data = bytearray(encode_png(np.zeros((2, 2, 3), np.uint8), [0, 0]))
    data[45] ^= 1
    with pytest.raises(DatasetError, match="checksum"):
        decode_png(bytes(data), "x")


def test_other_kinds_of_picture_are_refused():
    grey = encode_png(np.zeros((2, 2, 1), np.uint8), [0, 0], form=(8, 0, 0, 0, 0))
    with pytest.raises(DatasetError, match="8-bit RGB"):
        decode_png(grey, "x")
    with pytest.raises(DatasetError, match="expected a PNG"):
        decode_png(b"GIF89a", "x")


def test_a_cut_picture_is_refused():
    pixels = np.zeros((2, 2, 3), np.uint8)
    whole = encode_png(pixels, [0, 0])
    taller = whole.replace(whole[8:33], chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 3, 8, 2, 0, 0, 0)))
    with pytest.raises(DatasetError, match="cut short"):
        decode_png(taller, "x")
