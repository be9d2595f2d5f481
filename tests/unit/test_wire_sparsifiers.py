"""Random-k and the threshold: what they promise, against plain arithmetic."""

import numpy as np
import pytest

from fedlite.rng import stream
from fedlite.wire import CodecError, WireError, decode, encode, inspect, most_bytes, parse_codec
from fedlite.wire.sparsifiers.randk import RandK


def update(n=1000, kind="normal"):
    rng = stream(3, "update", kind)
    drawn = {
        "normal": rng.normal(size=n),
        "heavy": rng.standard_cauchy(size=n),
        "even": np.ones(n),
        "one": np.eye(1, n)[0],
    }
    return drawn[kind].astype(np.float32)


def test_random_k_sends_k_values_scaled_and_a_seed_of_eight_bytes():
    values = update()
    packet = encode([values], ("randk:0.1",), stream(1, "randk"))
    received = decode(packet)[0]
    kept = received != 0
    assert np.count_nonzero(kept) == 100
    np.testing.assert_array_equal(received[kept], values[kept] * np.float32(10))
    assert inspect(packet).body_bytes == 8 + 4 * 100
    assert len(packet) == most_bytes([values], ("randk:0.1",))


def test_every_value_is_drawn_equally_often_and_so_is_every_pair():
    drawn = np.zeros((6000, 8))
    for seed in range(6000):
        drawn[seed, RandK(0.5, seed).select(np.zeros(8, np.float32))] = 1
    assert (drawn.sum(axis=1) == 4).all()
    error = np.sqrt(0.25 / 6000)
    assert np.abs(drawn.mean(axis=0) - 0.5).max() < 4 * error
    pairs = (drawn.T @ drawn / 6000)[np.triu_indices(8, 1)]
    assert np.abs(pairs - 4 / 8 * 3 / 7).max() < 4 * error


def test_its_error_is_n_over_k_less_one():
    values = update(200)
    errors = []
    for draw in range(2000):
        left = decode(encode([values], ("randk:0.25",), stream(2, "error", draw)))[0] - values
        errors.append(float((left.astype(np.float64) ** 2).sum() / (values.astype(np.float64) ** 2).sum()))
    assert np.mean(errors) == pytest.approx(3, abs=4 * np.std(errors) / np.sqrt(2000))


def test_equal_keys_go_by_position():
    class Alike:
        def __init__(self, key):
            pass

        def random_raw(self, count):
            return np.full(count, 7, np.uint64)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np.random, "Philox", Alike)
        assert RandK(0.3).select(np.zeros(10, np.float32)).tolist() == [1, 3, 5]  # keys 7, 0, 7, 0, ...


def test_what_is_scaled_beyond_float32_is_its_largest_value():
    received = decode(encode([np.full(10, -3e38, np.float32)], ("randk:0.1",), stream(1, "large")))[0]
    assert received.min() == np.finfo(np.float32).min


def test_a_fraction_with_many_digits_is_the_one_that_the_receiver_reads():
    codec = parse_codec(["randk:0.123456789"])
    assert codec.text == "randk:0.123457+fp32"
    assert codec.sparsifier == parse_codec(codec.text.split("+")).sparsifier


def test_random_k_needs_a_generator_and_says_that_it_may_lengthen():
    with pytest.raises(WireError, match=r"randk:0.1\+fp32: the choice is random, got no generator; pass rng="):
        encode([update()], ("randk:0.1",))
    assert parse_codec(["randk:0.1"]).lengthens
    assert parse_codec(["randk:0.1"]).stochastic
    assert not parse_codec(["threshold:1"]).lengthens


@pytest.mark.parametrize("kind", ["normal", "heavy", "even", "one"])
@pytest.mark.parametrize("deviations", [0.01, 0.5, 1, 2, 10])
def test_a_threshold_leaves_out_what_is_below_it_and_nothing_else(kind, deviations):
    values = update(kind=kind)
    received = decode(encode([values], (f"threshold:{deviations}",)))[0]
    least = deviations * np.sqrt(np.mean(values.astype(np.float64) ** 2))
    np.testing.assert_array_equal(received, np.where(np.abs(values) >= least * (1 - 1e-7), values, 0))
    left = np.linalg.norm(received.astype(np.float64) - values)
    assert left <= min(1, deviations) * np.linalg.norm(values.astype(np.float64))
    assert np.count_nonzero(received) <= values.size / deviations**2


def test_values_that_are_all_at_the_threshold_are_all_sent():
    for value in (1, 0.1, 3e38, 1e-45):
        array = np.full(7, value, np.float32)
        assert decode(encode([array], ("threshold:1",)))[0].tolist() == array.tolist()
        assert not decode(encode([array], ("threshold:1.01",)))[0].any()
    assert decode(encode([np.float32([0, 0, 5, 0])], ("threshold:2",)))[0].tolist() == [0, 0, 5, 0]


@pytest.mark.parametrize("argument", ["", ":", ":much", ":0", ":1e9", ":-1", ":nan", ":1_0", ":200"])
def test_a_threshold_that_means_nothing_is_refused(argument):
    with pytest.raises(CodecError, match=r"threshold: got .*write for example 'threshold:2'"):
        parse_codec([f"threshold{argument}"])


@pytest.mark.parametrize("argument", ["", ":1", ":0", ":1 s"])
def test_a_share_that_means_nothing_is_refused(argument):
    with pytest.raises(CodecError, match=r"randk: "):
        parse_codec([f"randk{argument}"])
