"""What every codec must do, whatever its stages.

Every stage of the tables is tested, alone and with others, and so are stages that somebody names as `pkg.mod:Name`. A
stage added to a table needs a line in STAGES, which says how it is written and how much it may err.
"""

import math
import zlib

import numpy as np
import pytest

from fedlite.rng import stream
from fedlite.wire import FORMATS, LOSSLESS, SPARSIFIERS, WireError, decode, encode, inspect, most_bytes, parse_codec
from fedlite.wire.sparsifiers.base import Seeded


class Every:
    """A stranger's sparsifier: every n-th value, whatever it is."""

    carries_update = True

    def __init__(self, step):
        self.step = int(step)

    def most(self, count):
        return -(-count // self.step)

    def select(self, values):
        return np.arange(0, values.size, self.step)


class Deflate:
    """A stranger's lossless stage."""

    def compress(self, payload):
        return zlib.compress(payload)

    def decompress(self, payload, limit):
        try:
            return zlib.decompressobj().decompress(payload, limit + 1)  # zlib takes 0 for no limit
        except zlib.error as error:
            raise WireError(f"deflate: {error}") from error


def relative(share, least=0.0):
    """The error of a format that rounds each value for itself."""
    return lambda magnitude, _: np.maximum(magnitude * share, least)


def step(levels):
    """The error of a format that has so many levels between zero and the tensor's largest magnitude."""
    return lambda magnitude, _: np.full(magnitude.size, magnitude.max(initial=0.0) / levels * (1 + 1e-6))


def spread(share):
    """The error of a format that mixes all values with each other, as a share of their 2-norm."""
    return lambda magnitude, norm: np.full(magnitude.size, share * norm)


OWN_NUMBER, OWN_SPARSIFIER, OWN_LOSSLESS = "fp24:Fp24", f"{__name__}:Every:3", f"{__name__}:Deflate"

STAGES = {
    "fp32": (["fp32"], relative(2.0**-24)),  # float64 input is carried as float32
    "fp16": (["fp16"], relative(2.0**-11 * (1 + 2.0**-12), 2.0**-25 * (1 + 2.0**-12))),
    "bf16": (["bf16"], relative(2.0**-8)),
    "int8": (["int8"], step(127)),
    "int4": (["int4", "int4:64"], step(7)),
    "int2": (["int2"], step(1)),
    "rtn8": (["rtn8", "rtn8:weights"], step(2 * 127)),
    "rtn4": (["rtn4"], step(2 * 7)),
    "rtn2": (["rtn2", "rtn2:weights"], step(2 * 1)),
    "kmeans": (["kmeans:8", "kmeans:16"], step(4)),
    "lowrank": (["lowrank:1", "lowrank:2"], spread(1.0)),
    "drive": (["drive", "drive:biased"], spread(0.85)),
    "eden": (["eden:2", "eden:4"], spread(0.45)),
    "sign": (["sign"], lambda magnitude, _: magnitude + magnitude.mean() * (1 + 1e-6)),  # has a sharper law of its own
    OWN_NUMBER: ([OWN_NUMBER], relative(2.0**-15)),
    "topk": (["topk:0.1", "topk:0.01"], None),
    "nonzero": (["nonzero"], None),
    "randk": (["randk:0.25"], None),
    "threshold": (["threshold:0.5", "threshold:2"], None),
    OWN_SPARSIFIER: ([OWN_SPARSIFIER], None),
    "zstd": (["zstd"], None),
    "range": (["range"], None),
    OWN_LOSSLESS: ([OWN_LOSSLESS], None),
}
"""How each stage is written, and how much a number format may err, given the magnitudes of a tensor and the 2-norm of
all that is sent."""

BITS = {"fp32": 32, "fp16": 16, "bf16": 16, "int8": 8, "int4": 4, "int2": 2, "sign": 1, OWN_NUMBER: 24}
BITS |= {"rtn8": 8, "rtn4": 4, "rtn2": 2}
UNSCALED = {"fp32", "fp16", "bf16", OWN_NUMBER}
BLOCK = {"int4:64": 64}
FACTORED = {"lowrank:1": 1 * 12 + 7 + 1 * 14, "lowrank:2": 2 * 12 + 12 + 2 * 14}
"""Numbers sent of the matrices of `model`, (7, 5), (4, 3) and (3, 1, 11); of rank 2 the second goes as it is."""
ROTATED = {"drive": 1, "drive:biased": 1, "eden:2": 2, "eden:4": 4}
BY_ROW = {"rtn8", "rtn4", "rtn2"}
WEIGHTS = {"rtn8:weights": 8, "rtn2:weights": 2}
"""Bits of the three matrices, of 80 values; the others stay float32."""


def written(*names):
    """Every way to write the stages; one that is in a table only is tried as its bare name, and its test fails."""
    return [stage for name in names for stage in STAGES.get(name, ([name],))[0]]


NUMBERS = written(*FORMATS, OWN_NUMBER)
SPARSE = written(*SPARSIFIERS, OWN_SPARSIFIER)
SQUEEZE = written(*LOSSLESS, OWN_LOSSLESS)
CODECS = [
    *((number,) for number in NUMBERS),
    *((sparse,) for sparse in SPARSE),
    *(("topk:0.1", number) for number in NUMBERS[1:] if number not in FACTORED | WEIGHTS),
    *((number, squeeze) for number in NUMBERS for squeeze in SQUEEZE),
    *((sparse, "int8", squeeze) for sparse in SPARSE for squeeze in SQUEEZE),
    (OWN_SPARSIFIER, OWN_NUMBER, OWN_LOSSLESS),
    ("nonzero", "fp32", "zstd"),
    ("topk:0.25", "sign"),
]

every_codec = pytest.mark.parametrize("codec", CODECS, ids="+".join)


def model(scale=1.0):
    """A model of awkward shapes: odd sizes, a scalar, empty tensors, integer and boolean buffers, other float types."""
    rng = stream(11, "codec battery")
    return [
        (scale * rng.normal(size=(7, 5))).astype(np.float32),
        np.float32(scale * 0.37) * np.ones((), np.float32),
        np.array(12_345_678_901, np.int64),
        np.zeros((0, 3), np.float32),
        np.zeros((4, 3), np.float32),
        (scale * rng.standard_t(3, size=(3, 1, 11))).astype(np.float32),
        np.array([True, False, True]),
        np.array([[-128, 127]], np.int8),
        np.full(13, scale, np.float32),
        (scale * rng.normal(size=9)).astype(np.float64),
        np.array([], np.int32),
    ]


def floats(arrays):
    kept = [array.reshape(-1) for array in arrays if array.dtype.kind == "f"]
    return np.concatenate(kept).astype(np.float64) if kept else np.zeros(0)


def sent(arrays, codec, key=0):
    return encode(arrays, codec, stream(5, "draws", key))


def chosen(arrays, sparsifier):
    """Which values a packet sends."""
    whole = floats(arrays).astype(np.float32)
    if isinstance(sparsifier, Seeded):  # they follow from the first eight bytes that are drawn
        sparsifier = sparsifier.seeded(int.from_bytes(stream(5, "draws", 0).bytes(8), "little"))
    kept = np.zeros(whole.size, bool)
    kept[sparsifier.select(whole)] = True
    return kept


def growth(codec, count):
    """By what a value may come back larger than the largest, on purpose."""
    sparsifier = parse_codec(codec).sparsifier
    gain = sparsifier.gain(count) if isinstance(sparsifier, Seeded) else 1.0
    return gain * (4 if (ROTATED | FACTORED).keys() & set(codec) else 1)


def forged(buffer):
    """The same bytes with a checksum that matches again, as an attacker would send them."""
    rest = bytes(buffer[8:])
    return bytes(buffer[:4]) + zlib.crc32(rest, zlib.crc32(bytes(buffer[:4]))).to_bytes(4, "little") + rest


@every_codec
def test_shapes_types_order_and_integers_survive(codec):
    arrays = model()
    received = decode(sent(arrays, codec))
    assert [(a.shape, a.dtype) for a in received] == [(a.shape, a.dtype) for a in arrays]
    for got, was in zip(received, arrays, strict=True):
        if was.dtype.kind != "f":
            np.testing.assert_array_equal(got, was)
        got[...] = 0  # the caller owns what it received


@every_codec
def test_the_error_stays_within_the_bound_of_the_number_format(codec):
    arrays = model()
    parsed = parse_codec(codec)
    number = parsed.stages[0 if parsed.sparsifier is None else 1]
    bound = next(bound for stages, bound in STAGES.values() if number in stages)
    whole = floats(arrays).astype(np.float32)
    kept = np.ones(whole.size, bool) if parsed.sparsifier is None else chosen(arrays, parsed.sparsifier)
    gain = parsed.sparsifier.gain(whole.size) if isinstance(parsed.sparsifier, Seeded) else 1
    position = 0
    for got, was in zip(decode(sent(arrays, codec)), arrays, strict=True):
        if was.dtype.kind != "f" or not was.size:
            continue
        here = kept[position : position + was.size]
        position += was.size
        magnitude = np.abs(was.astype(np.float64)).reshape(-1)
        error = np.abs(got.reshape(-1).astype(np.float64) / np.where(here, gain, 1) - was.reshape(-1))
        slack = 2.0**-23 * magnitude if gain != 1 else 0  # of the multiplication
        assert (error <= np.where(here, bound(magnitude, np.linalg.norm(whole[kept])) + slack, magnitude)).all()


@every_codec
def test_the_same_generator_state_gives_the_same_bytes(codec):
    arrays = model()
    assert sent(arrays, codec) == sent(arrays, codec)
    if parse_codec(codec).stochastic:
        many = [
            stream(1, "draws").normal(size=5000)
        ]  # topk:0.01 of the model is its largest value, which needs no draw
        assert sent(many, codec, key=0) != sent(many, codec, key=1)


@every_codec
def test_sending_does_not_change_the_sender_s_arrays(codec):
    arrays, before = model(), model()
    sent(arrays, codec)
    for array, was in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, was)


@every_codec
def test_the_length_is_the_declared_header_and_the_packed_bits(codec):
    arrays = model()
    buffer = sent(arrays, codec)
    info = inspect(buffer)
    assert len(buffer) == info.header_bytes + info.body_bytes
    assert len(buffer) <= most_bytes(arrays, codec)
    if len(codec) > 1 or codec[0] not in NUMBERS:
        return
    integers = sum(a.nbytes for a in arrays if a.dtype.kind != "f")
    tensors = [a for a in arrays if a.dtype.kind == "f" and a.size]
    sizes = [a.size for a in tensors]
    block = BLOCK.get(codec[0])
    scales = sum(math.ceil(size / block) for size in sizes) if block else len(sizes)
    if codec[0] in BY_ROW:
        scales = sum(len(a) if a.ndim > 1 else 1 for a in tensors)
    if codec[0] in FACTORED:
        assert info.body_bytes == integers + 4 * (sum(sizes) - (35 + 12 + 33) + FACTORED[codec[0]])
        return
    if codec[0] in WEIGHTS:
        assert info.body_bytes == integers + 4 * (sum(sizes) - 80 + 3) + 80 * WEIGHTS[codec[0]] // 8
        return
    if codec[0].startswith("kmeans"):
        size = int(codec[0].partition(":")[2])
        shared = [count for count in sizes if count > 2 * size]
        places = math.ceil(math.log2(size) * sum(shared) / 8)
        assert info.body_bytes == integers + 4 * (sum(sizes) - sum(shared) + size * len(shared)) + places
        return
    if codec[0] in ROTATED:  # 113 values are one chunk of 256
        assert info.body_bytes == integers + 8 + 4 + math.ceil(ROTATED[codec[0]] * 256 / 8)
        return
    name = next(name for name, (stages, _) in STAGES.items() if codec[0] in stages)
    packed = math.ceil(BITS[name] * sum(sizes) / 8)
    assert info.body_bytes == integers + (0 if name in UNSCALED else 4 * scales) + packed


@every_codec
def test_a_length_that_the_content_cannot_change_is_known_exactly_and_any_other_is_bounded(codec):
    parsed = parse_codec(codec)
    for arrays in (model(), model(1e-3), [np.zeros_like(array) for array in model()], []):
        length, bound = len(sent(arrays, codec)), most_bytes(arrays, codec)
        if parsed.sparsifier is None and parsed.lossless is None:
            assert length == bound
        assert length <= bound


def updates():
    """Vectors of many shapes of distribution, each cut into two tensors."""
    rng = stream(6, "updates")
    for draw in range(60):
        flat = [rng.normal(size=301), rng.standard_t(2, size=301), rng.uniform(0.9, 1, 301)][draw % 3]
        flat = (flat * 10.0 ** rng.integers(-3, 3)).astype(np.float32)
        yield [flat[:100].reshape(10, 10), flat[100:]]


@pytest.mark.parametrize("codec", [codec for codec in CODECS if not parse_codec(codec).lengthens], ids="+".join)
def test_a_codec_that_says_it_never_lengthens_never_does(codec):
    for key, update in enumerate(updates()):
        assert (floats(decode(sent(update, codec, key))) ** 2).sum() <= (floats(update) ** 2).sum()


@pytest.mark.parametrize("codec", [codec for codec in CODECS if parse_codec(codec).linear], ids="+".join)
def test_sums_of_what_a_linear_codec_sends_are_what_it_sends_of_sums(codec):
    # Whole numbers, whose sums are exact.
    first, second = (stream(7, "linear", i).integers(-1000, 1000, 300).astype(np.float32) for i in range(2))
    [one], [other], [both] = (decode(sent([values], codec)) for values in (first, second, first + second))
    assert np.array_equal(one + other, both)


def test_the_plain_codec_alone_is_linear():
    assert [codec for codec in CODECS if parse_codec(codec).linear] == [("fp32",)]


@every_codec
def test_a_codec_carries_a_model_exactly_if_it_says_so(codec):
    """Within a quarter of each tensor's largest magnitude; a codec that leaves too little is caught leaving it."""
    worst = 0.0
    even = [np.linspace(-1, 1, 41, dtype=np.float32), np.ones(50, np.float32), np.eye(4, dtype=np.float32)]
    for key, arrays in enumerate([even, *updates()]):
        for got, was in zip(decode(sent(arrays, codec, key)), arrays, strict=True):
            worst = max(worst, float(np.abs(got - was).max() / np.abs(was).max()))
    assert (worst <= 1 / 4) == (parse_codec(codec).only_for_updates is None)


@every_codec
def test_zeros_stay_exactly_zero(codec):
    received = decode(sent([np.zeros((5, 3), np.float32), np.zeros(2, np.float32)], codec))
    assert all((array == 0).all() for array in received)


@every_codec
@pytest.mark.parametrize(
    "arrays", [[], [np.zeros(0, np.float32)], [np.array(3, np.int32)]], ids=["none", "empty", "integer"]
)
def test_nothing_to_send_is_a_packet_too(codec, arrays):
    received = decode(sent(arrays, codec))
    assert len(received) == len(arrays)
    for got, was in zip(received, arrays, strict=True):
        np.testing.assert_array_equal(got, was)


@every_codec
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused(codec, value):
    arrays = [np.ones((3, 4), np.float32), np.array([1.0, value, 2.0], np.float32)]
    with pytest.raises(WireError, match="1 of 15 values that are NaN or infinite"):
        sent(arrays, codec)


@every_codec
@pytest.mark.parametrize("value", [3e38, 1e-44, 6e4])
def test_extreme_magnitudes_neither_overflow_nor_crash(codec, value):
    array = np.array([value, -value, 0, value / 3], np.float32)
    if "fp16" in codec and value > 65504:
        with pytest.raises(WireError, match="at most 65504; use bf16 or fp32"):
            sent([array], codec)
        return
    received = decode(sent([array], codec))[0]
    assert np.isfinite(received).all()
    assert float(np.abs(received).max()) <= float(np.abs(array).max()) * 1.01 * growth(codec, array.size)


@every_codec
def test_a_large_odd_model_survives(codec):
    arrays = [stream(1, "large").normal(size=100_003).astype(np.float32), np.ones((1, 1, 1, 3), np.float32)]
    received = decode(sent(arrays, codec))
    assert [a.shape for a in received] == [a.shape for a in arrays]
    assert np.abs(received[0]).max() <= np.abs(arrays[0]).max() * 1.01 * growth(codec, 100_006)


@every_codec
def test_memory_layout_and_byte_order_of_the_input_do_not_matter(codec):
    array = stream(2, "layout").normal(size=(6, 8)).astype(np.float32)
    plain = sent([array, np.arange(5)], codec)
    assert sent([np.asfortranarray(array), np.arange(10)[::2] // 2], codec) == plain
    assert sent([array.astype(">f4"), np.arange(5).astype(">i8")], codec) == plain


@every_codec
def test_a_byte_array_as_flower_carries_it_decodes_alike(codec):
    buffer = sent(model(), codec)
    for form in (bytearray(buffer), memoryview(buffer), np.frombuffer(buffer, np.uint8)):
        for got, was in zip(decode(form), decode(buffer), strict=True):
            assert got.tobytes() == was.tobytes()


@every_codec
def test_a_truncated_packet_is_refused(codec):
    buffer = sent(model(), codec)
    for length in [*range(min(60, len(buffer))), *range(60, len(buffer), 37), len(buffer) - 1]:
        with pytest.raises(WireError, match=r"corrupt|truncated|not a packet"):
            decode(buffer[:length])
    with pytest.raises(WireError, match="corrupt"):
        decode(buffer + b"\0")


@every_codec
def test_every_flipped_bit_is_noticed(codec):
    buffer = sent([np.linspace(-1, 1, 30, dtype=np.float32), np.array([7])], codec)
    for place in range(8 * len(buffer)):
        damaged = bytearray(buffer)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises(WireError):
            decode(damaged)


@every_codec
def test_a_forged_packet_gives_an_error_or_arrays_but_never_a_crash(codec):
    """With a matching checksum anything may stand inside; only a WireError may come out, and no large allocation."""
    buffer = sent([np.linspace(-1, 1, 300, dtype=np.float32), np.array([7])], codec)
    rng = stream(3, "forgery", "+".join(codec))
    for trial in range(400):
        damaged = bytearray(buffer)
        for _ in range(1 + trial % 4):
            damaged[4 + int(rng.integers(len(damaged) - 4))] = int(rng.integers(256))
        if trial % 5 == 0:
            del damaged[int(rng.integers(8, len(damaged))) :]
        try:
            arrays = decode(forged(damaged), most_elements=10_000)
        except WireError:
            continue
        assert sum(array.size for array in arrays) <= 10_000


UNBIASED = [
    ("drive",),
    ("eden:2",),
    ("eden:4",),
    ("randk:0.5", "drive"),
    ("int8",),
    ("int4",),
    ("int2",),
    ("int4:16",),
    ("randk:0.25",),
    ("randk:0.5", "int4"),
]


@pytest.mark.parametrize("codec", UNBIASED, ids="+".join)
def test_stochastic_codecs_are_unbiased_within_four_standard_errors(codec):
    array = np.array([0.9, -0.5, 0.31, 1e-3, -0.007, 0.0, 0.123, -1.0] * 4, np.float32)
    draws = 4000
    rng = stream(9, "unbiased", *codec)
    total = np.zeros(array.size)
    squares = np.zeros(array.size)
    for _ in range(draws):
        value = decode(encode([array], codec, rng))[0].astype(np.float64)
        total += value
        squares += value**2
    mean = total / draws
    error = np.sqrt(np.maximum(squares / draws - mean**2, 0) / draws)
    assert (np.abs(mean - array) <= 4 * error + 1e-6).all()


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("shape", ["normal", "heavy", "ties", "one"])
def test_top_k_is_a_contraction(fraction, shape):
    rng = stream(4, "contraction", shape)
    update = {
        "normal": rng.normal(size=1000),
        "heavy": rng.standard_cauchy(size=1000),
        "ties": np.ones(1000),
        "one": np.eye(1, 1000)[0],
    }[shape].astype(np.float32)
    received = decode(encode([update], (f"topk:{fraction}",)))[0]
    k = math.ceil(fraction * 1000)
    assert np.count_nonzero(received) == (1 if shape == "one" else k)
    left, whole = update.astype(np.float64) - received, update.astype(np.float64)
    assert (left**2).sum() <= (1 - k / 1000) * (whole**2).sum()


def test_scaled_sign_loses_exactly_the_variance_of_the_magnitudes():
    update = stream(4, "sign").normal(size=501).astype(np.float32)
    left = update.astype(np.float64) - decode(encode([update], ("sign",)))[0]
    magnitude = np.abs(update.astype(np.float64))
    assert (left**2).sum() == pytest.approx((magnitude**2).sum() - 501 * magnitude.mean() ** 2, rel=1e-6)


@pytest.mark.parametrize("name", [*FORMATS, *SPARSIFIERS, *LOSSLESS])
def test_the_battery_knows_every_stage_of_the_tables(name):
    assert name in STAGES, f"{name!r} is in a table: say in STAGES how it is written and how much it may err"
    assert any(stage in codec for codec in CODECS for stage in STAGES[name][0])


@pytest.mark.parametrize("stage", [OWN_NUMBER, OWN_SPARSIFIER, OWN_LOSSLESS])
def test_the_battery_runs_on_stages_that_are_in_no_table(stage):
    assert sum(stage in codec for codec in CODECS) >= 3


def test_a_forged_size_is_refused_before_anything_is_allocated():
    """Headers that announce exabytes, in each dimension form; tracemalloc would see a gigabyte."""
    import tracemalloc

    from fedlite.wire import varint

    tracemalloc.start()
    for codec in (b"fp32", b"int2", b"topk:0.1+int8", b"nonzero+fp32+zstd"):
        for dims in ([2**40], [2**31, 2**31, 2**31], [0, 2**62], [2**62, 2**62, 2**62, 2**62]):
            header = varint.put(len(codec)) + codec + b"\x01" + bytes([len(dims)]) + b"".join(map(varint.put, dims))
            packet = b"\xf5L\x01\0" + b"\0" * 4 + varint.put(len(header)) + header + b"\0" * 16
            with pytest.raises(WireError, match="elements, expected at most"):
                decode(forged(packet))
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
