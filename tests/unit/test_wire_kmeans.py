"""Shared values: against plain Lloyd over all distances, and what they promise."""

import math

import numpy as np
import pytest

from fedlite.rng import stream
from fedlite.wire import CodecError, check_downlink, decode, encode, inspect, most_bytes, parse_codec
from fedlite.wire.clusters import _start, codebook, nearest


def weights(kind, n=3000):
    rng = stream(1, "weights", kind)
    drawn = {
        "normal": rng.normal(size=n),
        "heavy": rng.standard_t(2, size=n),
        "pruned": np.where(rng.random(n) < 0.8, 0, rng.normal(size=n)),
        "shifted": rng.exponential(size=n) + 5,
    }
    return drawn[kind].astype(np.float32)


def slow_lloyd(values, size):
    """The same steps over an (n, K) table of distances."""
    values = values.astype(np.float64)
    reach = np.abs(values).max() * 0.249
    centres = _start(np.sort(values), size, reach)
    for _ in range(100):
        owner = np.abs(values[:, None] - centres[None]).argmin(axis=1)
        moved = centres.copy()
        for k in range(size):
            mine = values[owner == k]
            if mine.size:
                moved[k] = mine.mean()
                if size >= 5:
                    moved[k] = np.clip(moved[k], mine.max() - reach, mine.min() + reach)
        if np.allclose(moved, centres, rtol=0, atol=1e-13):
            break
        centres = moved
    return np.sort(centres)


@pytest.mark.parametrize("kind", ["normal", "heavy", "pruned", "shifted"])
@pytest.mark.parametrize("size", [2, 4, 5, 16, 21])
def test_the_codebook_is_lloyd_s(kind, size):
    values = weights(kind)
    centres = codebook(values, size)
    np.testing.assert_allclose(centres, slow_lloyd(values, size), rtol=1e-4, atol=1e-4)
    table = np.abs(values[:, None].astype(np.float64) - centres[None])
    chosen = table[np.arange(values.size), nearest(values, centres)]
    np.testing.assert_allclose(chosen, table.min(axis=1), atol=1e-6)
    if size >= 5:
        assert chosen.max() <= np.abs(values).max() / 4 * (1 + 1e-6)


def error(values, size):
    left = (decode(encode([values], (f"kmeans:{size}",)))[0] - values).astype(np.float64)
    return np.mean(left**2) / np.var(values.astype(np.float64))


def test_the_error_of_normal_weights_is_near_to_the_best():
    """The best leave 0.1175 and 0.0095 of the variance (Max 1960); keeping the largest weights costs a seventh."""
    values = weights("normal", 200_000)
    assert error(values, 4) == pytest.approx(0.1175, rel=0.01)
    assert 0.0095 < error(values, 16) < 0.0110


@pytest.mark.parametrize("size", [2, 8, 10, 16, 256])
def test_length_is_codebooks_and_packed_places(size):
    tensors = [weights("normal", 3000).reshape(30, 100), weights("heavy", 701), weights("normal", 2 * size)]
    packet = encode(tensors, (f"kmeans:{size}",))
    places = math.ceil(math.log2(size))
    assert inspect(packet).body_bytes == 4 * (2 * size + 2 * size) + math.ceil(places * 3701 / 8)
    assert len(packet) == most_bytes(tensors, (f"kmeans:{size}",))
    np.testing.assert_array_equal(decode(packet)[2], tensors[2])  # too few to share


def test_a_clustered_model_goes_through_as_it_is():
    values = np.array([-2, -0.5, 0, 1, 3e38, 1e-40], np.float32)[stream(2, "places").integers(6, size=500)]
    np.testing.assert_array_equal(decode(encode([values], ("kmeans:8", "zstd")))[0], values)


def test_deep_compression_of_a_pruned_model_keeps_its_zeros():
    values = weights("pruned", 100_000)
    packet = encode([values], ("nonzero", "kmeans:16", "range"))
    received = decode(packet)[0]
    np.testing.assert_array_equal(received == 0, values == 0)
    assert len(packet) < 4 * values.size / 15
    assert len(packet) <= most_bytes([values], ("nonzero", "kmeans:16", "range"))


def test_a_bound_holds_however_the_kept_values_lie():
    for seed in range(30):
        rng = stream(3, "spread", seed)
        tensors = [
            (rng.normal(size=n) * (rng.random(n) < rng.random())).astype(np.float32) for n in (5, 9, 40, 300, 1000)
        ]
        for codec in (("nonzero", "kmeans:4"), ("threshold:0.5", "kmeans:16"), ("topk:0.1", "kmeans:8")):
            assert len(encode(tensors, codec)) <= most_bytes(tensors, codec)


def test_few_values_stay_off_the_downlink():
    assert check_downlink(["kmeans:5"]).text == "kmeans:5"
    assert parse_codec(["kmeans"]).text == "kmeans:16"
    with pytest.raises(CodecError, match="downlink: got 'kmeans:4'"):
        check_downlink(["kmeans:4"])


@pytest.mark.parametrize("argument", ["1", "257", "", "many", "-3", "9" * 50])
def test_another_number_of_values_is_refused(argument):
    with pytest.raises(CodecError, match=r"kmeans: got .* values, expected a whole number from 2 to 256; write"):
        parse_codec([f"kmeans:{argument}"])
