"""The very bytes of packets: another release must read what this one sends, and price it by the same length."""

import hashlib

import numpy as np
import pytest

from fedlite.rng import stream
from fedlite.wire import decode, encode, most_bytes, positions

CODECS = {
    "fp32": (939, "e865cdc5702eb875", "a064332c39fba930"),
    "fp16": (499, "578f8cde374eef39", "54cc2c7209f3dea1"),
    "bf16": (499, "4de6a6af610e7a62", "f2387ebd1b6acc55"),
    "int8": (303, "ae3bc9bb1a304f10", "44be924acc63257b"),
    "int4": (193, "cbe9dc9c6aff3889", "9cbef36a8d6a58c4"),
    "int2": (138, "8b8882aef2590ff7", "e41af7332b652fcc"),
    "int8:8": (409, "3c4c2a6f5797e540", "90d05fcbd451316a"),
    "int4:16": (244, "66ccdd850670a15b", "d491142c05d7610f"),
    "int2:8": (244, "043afdaafe400622", "99cae3c081f8c910"),
    "sign": (111, "ff45787ea4866dd6", "5b0aa368baa8b4e2"),
    "nonzero": (930, "32ce379469a9b44d", "a064332c39fba930"),
    "topk:0.1": (170, "3fdeb0656a4b8b29", "d689227124aee970"),
    "topk:0.01+fp16": (82, "a23360dd350ac8b9", "ca5e2c1c5202e201"),
    "topk:0.3+int4:8": (169, "7f99dbd64a702f2b", "8301de65537314ba"),
    "topk:0.5+sign": (124, "63f55ab82e4c2342", "9c144985fd337a88"),
    "nonzero+int2": (170, "86fb56eda3e66c89", "8d82a6fce1be548f"),
    "rtn8": (347, "8a4cee52975a1af0", "4960dc796dc427b4"),
    "rtn4:weights": (679, "5515b232be209240", "6517d6467bdc7f2e"),
    "randk:0.25": (298, "7e2461825db2b92e", "41eb5ea1cefb32ff"),
    "randk:0.5+int4": (152, "380a27f1707c5e50", "cca7ab09db999839"),
    "threshold:1": (130, "fc228093439cf5e5", "2c986c858832f921"),
    "drive": (104, "fc590da208dc8acc", "7cd448fa83dbb0f3"),
    "drive:biased": (111, "e18bcf96a59d00de", "931ef71ceb745da3"),
    "eden:2": (137, "0aea7d9214f53f49", "99bdf92dab1cf995"),
    "eden:4": (201, "1b4ea28b8614a022", "23f9d223f98dcf78"),
}
"""Codec -> length of the packet, digest of the packet, digest of what is read back."""
MOST = {
    "fp32": 939,
    "fp16": 499,
    "bf16": 499,
    "int8": 303,
    "int4": 193,
    "int2": 138,
    "int8:8": 409,
    "int4:16": 244,
    "int2:8": 244,
    "sign": 111,
    "nonzero": 980,
    "topk:0.1": 188,
    "topk:0.01+fp16": 107,
    "topk:0.3+int4:8": 187,
    "topk:0.5+sign": 138,
    "nonzero+int2": 179,
    "fp32+zstd": 944,
    "topk:0.02+int8:8+zstd": 133,
    "topk:0.04+int4:8": 132,
    "topk:0.9+int2:8": 269,
    "rtn8": 347,
    "rtn4:weights": 679,
    "randk:0.25": 298,
    "randk:0.5+int4": 156,
    "threshold:1": 984,
    "drive": 104,
    "drive:biased": 111,
    "eden:2": 137,
    "eden:4": 201,
}
POSITIONS = {
    0.0005: (2, 8, "48963ca122cf27be", 630),
    0.003: (2, 17, "41ce2842e6a2a7d3", 630),
    0.01: (2, 61, "e447fbc133879c25", 630),
    0.03: (2, 128, "a661460845ba445f", 631),
    0.1: (2, 314, "4b6b7b527b6d59b0", 631),
    0.17: (2, 428, "afb7cf39a87d2088", 631),
    0.25: (2, 521, "fef827f668b8d621", 631),
    0.4: (1, 628, "a807c5071ce4498a", 631),
    0.9: (1, 628, "a58939da4834e4f5", 631),
}
"""Share of the positions -> kind, length, digest, largest length."""


def model():
    """A model of awkward shapes and types; magnitudes differ by tensor."""
    rng = stream(17, "golden packets")
    return [
        rng.normal(size=(7, 5)).astype(np.float32),
        np.float32(0.37) * np.ones((), np.float32),
        np.array(12_345_678_901, np.int64),
        np.zeros((0, 3), np.float32),
        np.zeros((4, 3), np.float32),
        (100 * rng.standard_t(3, size=(3, 1, 11))).astype(np.float32),
        np.array([True, False, True]),
        np.array([[-128, 127]], np.int8),
        (1e-3 * rng.normal(size=9)).astype(np.float64),
        rng.normal(size=130).astype(np.float16),
        np.array([1, 65_535], np.uint16),
    ]


def short(data):
    return hashlib.sha256(data).hexdigest()[:16]


@pytest.mark.parametrize("codec", CODECS)
def test_packets_are_the_same_bytes_everywhere(codec):
    packet = encode(model(), codec.split("+"), stream(3, "golden draws"))
    read = b"".join(array.tobytes() for array in decode(packet))
    assert (len(packet), short(packet), short(read)) == CODECS[codec]


@pytest.mark.parametrize("codec", MOST)
def test_the_largest_length_is_stated_to_the_byte(codec):
    assert most_bytes(model(), codec.split("+")) == MOST[codec]


@pytest.mark.parametrize("density", POSITIONS)
def test_positions_are_the_same_bytes_everywhere(density):
    chosen = np.flatnonzero(stream(4, "golden positions").random(5000) < density)
    packed = positions.pack(chosen, 5000)
    assert (packed[0], len(packed), short(packed), positions.most_bytes(chosen.size, 5000)) == POSITIONS[density]
