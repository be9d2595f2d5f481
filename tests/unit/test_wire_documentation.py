"""docs/concepts/compression.md states numbers and shows a codec; both are what the code does."""

import inspect
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from fedlite.rng import stream
from fedlite.wire import FORMATS, LOSSLESS, SPARSIFIERS, codec, decode, encode, parse_codec

PAGE = (Path(__file__).parents[2] / "docs" / "concepts" / "compression.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([a-z0-9:. +]+)` \| ([\d ]+) \| ([\d.]+) \| ([\d.]+) \|$", re.MULTILINE)
SHAPES = [(32, 1, 3, 3), (32,), (64, 32, 3, 3), (64,), (256, 1024), (256,), (10, 256), (10,)]


@dataclass(frozen=True)
class Fp24:
    """float32 without its lowest byte: relative error below 2**-15, and never longer."""

    text: str = "fp24"
    carries_update: bool = False
    carries_model: bool = True
    lengthens: bool = False
    stochastic: bool = False
    stride: int = 3

    def encoded_bytes(self, segments):
        return 3 * segments.total

    def encode(self, values, segments, rng):
        del segments, rng  # this format needs neither scales nor randomness
        return values.astype("<f4").view(np.uint8).reshape(-1, 4)[:, 1:].tobytes()

    def decode(self, payload, segments):
        words = np.zeros((segments.total, 4), np.uint8)
        words[:, 1:] = np.frombuffer(payload, np.uint8).reshape(-1, 3)
        return words.view("<f4").reshape(-1).astype(np.float32)


@pytest.fixture(scope="module")
def update():
    rng = stream(0, "example")
    return [(0.01 * rng.standard_t(3, size=shape)).astype(np.float32) for shape in SHAPES]


@pytest.mark.parametrize(("stages", "length", "factor", "error"), ROW.findall(PAGE))
def test_the_table_of_sizes_is_what_the_codecs_give(update, stages, length, factor, error):
    buffer = encode(update, stages.split(" + "), stream(1, "draws"))
    stated = int(length.replace(" ", ""))
    # Another version of the compression library may find a few bytes more or less; everything else is exact.
    assert len(buffer) == (pytest.approx(stated, rel=0.02) if "zstd" in stages else stated)
    assert len(encode(update, ("fp32",))) / len(buffer) == pytest.approx(float(factor), rel=0.01, abs=0.051)
    lost = sum(float(((a - b) ** 2).sum()) for a, b in zip(decode(buffer), update, strict=True))
    relative = (lost / sum(float((a**2).sum()) for a in update)) ** 0.5
    assert relative == pytest.approx(float(error), rel=0.06)


def test_the_table_has_all_its_rows():
    assert len(ROW.findall(PAGE)) == 17


def test_the_codec_on_the_page_is_the_one_tested_here_and_needs_one_line(monkeypatch):
    assert inspect.getsource(Fp24).strip() in PAGE
    monkeypatch.setitem(FORMATS, "fp24", partial(codec._plain, Fp24()))
    arrays = [stream(2, "fp24").normal(size=(9, 7)).astype(np.float32), np.array(3)]
    for stages in (("fp24",), ("nonzero", "fp24"), ("topk:0.5", "fp24", "zstd")):
        received = decode(encode(arrays, stages))
        sent = received[0] != 0
        assert (np.abs(received[0] - arrays[0])[sent] <= 2.0**-15 * np.abs(arrays[0])[sent]).all()
        assert received[1] == 3
        assert parse_codec(stages).text in "fp24 nonzero+fp24 topk:0.5+fp24+zstd"
    codec._parse.cache_clear()


def test_every_stage_is_explained():
    for name in (*FORMATS, *SPARSIFIERS, *LOSSLESS):
        assert f"`{name}" in PAGE
