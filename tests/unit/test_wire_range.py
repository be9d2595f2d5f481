"""The range stage: how short it gets, and what it does with damaged content."""

import math

import numpy as np
import pytest

from fedlite.rng import stream
from fedlite.wire import CodecError, WireError, decode, encode, inspect, parse_codec
from fedlite.wire.bits import pack
from fedlite.wire.formats.base import Fields
from fedlite.wire.lossless.range import Range

STAGE = Range()


def symbols(bits, spread, count=200_000):
    """Integers of so many bits, peaked in the middle."""
    drawn = stream(1, "symbols", bits, str(spread)).standard_t(3, size=count) * spread * 2**bits
    return np.clip(np.rint(drawn + 2 ** (bits - 1)), 0, 2**bits - 1).astype(np.uint8)


def entropy_bytes(drawn):
    counts = np.bincount(drawn)
    share = counts[counts > 0] / drawn.size
    return float(-(share * np.log2(share)).sum()) * drawn.size / 8


@pytest.mark.parametrize("spread", [0.003, 0.02, 0.1, 0.5])
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 8])
def test_its_length_is_the_entropy_and_one_percent_and_the_table(bits, spread):
    drawn = symbols(bits, spread)
    payload = pack(drawn, bits)
    squeezed = STAGE.compress_fields(payload, Fields(drawn.size, bits))
    alphabet = int(drawn.max()) - int(drawn.min()) + 1
    overhead = alphabet + 16  # a byte a symbol of the table; lengths, kinds and the coder's last words
    assert len(squeezed) <= min(entropy_bytes(drawn) * 1.01 + overhead, len(payload) + 16)
    assert STAGE.decompress(memoryview(squeezed), len(payload)) == payload


@pytest.mark.parametrize("stages", [("int8",), ("int4",), ("int2",), ("rtn4",), ("topk:0.2", "int4")], ids="+".join)
def test_behind_integers_it_codes_them_and_not_bytes(stages):
    values = (0.01 * stream(2, "values").standard_t(3, size=100_000)).astype(np.float32)
    plain, squeezed = (encode([values], one, stream(3, "draws")) for one in (stages, (*stages, "range")))
    bits = int(stages[-1][-1])
    kept = 20_000 if len(stages) > 1 else values.size
    fields = np.frombuffer(plain, np.uint8)[-math.ceil(kept * bits / 8) :]
    whole = np.unpackbits(fields, bitorder="little").reshape(-1, bits) @ (1 << np.arange(bits))
    rest = len(plain) - fields.size
    assert len(squeezed) <= entropy_bytes(whole[:kept]) * 1.01 + rest + 2**bits + 24
    assert inspect(squeezed).compressed
    np.testing.assert_array_equal(decode(squeezed)[0], decode(plain)[0])
    if stages == ("int4",):
        assert len(squeezed) < 0.9 * len(encode([values], (*stages, "zstd"), stream(3, "draws")))


def test_bytes_without_fields_get_a_table_for_each_block():
    low, high = (stream(4, "blocks", side).integers(side, side + 4, size=2**16, dtype=np.uint8) for side in (0, 200))
    payload = low.tobytes() + high.tobytes()
    squeezed = STAGE.compress(payload)
    assert len(squeezed) <= 1.01 * len(payload) / 4 + 2 * 8 + 16
    assert STAGE.decompress(memoryview(squeezed), len(payload)) == payload
    # Hardly compressible blocks, too: 180 of 256 values keep 94 % of their length.
    many = stream(6, "blocks").integers(180, size=2**16, dtype=np.uint8)
    assert len(STAGE.compress(many.tobytes())) <= entropy_bytes(many) * 1.01 + 180 + 16
    weights = [stream(5, "weights").normal(size=50_000).astype(np.float32)]
    assert len(encode(weights, ("fp32", "range"))) < 0.93 * len(encode(weights, ("fp32",)))


def test_what_cannot_be_shorter_stays_as_it_is():
    noise = stream(6, "noise").bytes(10_000)
    assert len(STAGE.compress(noise)) == len(noise) + 2 + 1 + 1 + 1
    assert not inspect(
        encode([np.frombuffer(noise, np.float16)[:0], np.frombuffer(noise, np.uint8)], ("range",))
    ).compressed


def test_one_symbol_takes_no_code():
    payload = bytes(100_000)
    squeezed = STAGE.compress_fields(payload, Fields(800_000, 1))
    assert len(squeezed) < 12
    assert STAGE.decompress(memoryview(squeezed), len(payload)) == payload
    assert STAGE.decompress(memoryview(STAGE.compress(b"")), 0) == b""


def test_truncated_content_is_an_error_at_any_length():
    payload = pack(symbols(4, 0.05, 3000), 4)
    squeezed = STAGE.compress_fields(payload, Fields(3000, 4))
    for length in range(len(squeezed)):
        with pytest.raises(WireError):
            STAGE.decompress(memoryview(squeezed[:length]), len(payload))
    with pytest.raises(WireError, match="content that no sender makes"):
        STAGE.decompress(memoryview(squeezed + b"\0"), len(payload))
    with pytest.raises(WireError, match=r"content of 1500 bytes, expected 0 to 1499"):
        STAGE.decompress(memoryview(squeezed), len(payload) - 1)


def test_changed_content_is_an_error_or_other_symbols_of_the_same_number():
    payload = pack(symbols(3, 0.05, 4000), 3)
    squeezed = STAGE.compress_fields(b"head" + payload, Fields(4000, 3))
    rng, errors = stream(7, "damage"), 0
    for _ in range(1500):
        damaged = bytearray(squeezed)
        damaged[int(rng.integers(len(damaged)))] ^= int(rng.integers(1, 256))
        try:
            content = STAGE.decompress(memoryview(damaged), len(payload) + 4)
        except WireError:
            errors += 1
            continue
        assert len(content) <= len(payload) + 4
    assert errors > 1400  # the coder ends where it began, or the change is noticed


def test_a_bomb_is_refused_before_it_is_unpacked():
    bomb = STAGE.compress(bytes(2**16)).replace(bytes([128, 128, 4]), bytes([255] * 6 + [1]), 1)
    with pytest.raises(WireError, match="expected 0 to 160"):
        STAGE.decompress(memoryview(bomb), 160)


def test_it_takes_no_argument():
    assert parse_codec(["int4", "range"]).text == "int4+range"
    with pytest.raises(CodecError, match="range: got an argument '9', expected none; write 'range'"):
        parse_codec(["range:9"])


def test_counts_are_told_within_a_sixteenth():
    from fedlite.wire.lossless.range import _FREQUENCIES

    steps = np.diff(_FREQUENCIES[1:]) / _FREQUENCIES[1:-1]
    assert (steps[7:] <= 1 / 8).all()
    assert _FREQUENCIES[-1] > 2**33
    assert math.isclose(steps[-1], 1 / 14)
