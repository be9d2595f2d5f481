"""docs/concepts/compression.md states numbers and shows a codec; both are what the code does."""

import importlib
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from fedlite.rng import stream
from fedlite.wire import FORMATS, LOSSLESS, SPARSIFIERS, CodecError, check_downlink, codec, decode, encode, parse_codec

FOLDER = Path(__file__).parents[2] / "docs" / "concepts"
PAGE = (FOLDER / "compression.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([a-z0-9:. +]+)` \| ([\d ]+) \| ([\d.]+) \| ([\d.]+) \|$", re.MULTILINE)
SHAPES = [(32, 1, 3, 3), (32,), (64, 32, 3, 3), (64,), (256, 1024), (256,), (10, 256), (10,)]


@pytest.fixture
def fp24(monkeypatch):
    """The module that the page names."""
    link, file = re.search(r"\[`(fp24\.py)`\]\((\S+)\)", PAGE).groups()
    path = (FOLDER / file).resolve()
    assert path.name == link
    monkeypatch.syspath_prepend(str(path.parent))
    return importlib.import_module("fp24")


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
    assert len(ROW.findall(PAGE)) == 38


def test_the_codec_of_the_page_keeps_its_word_and_needs_one_line_in_the_table(fp24, monkeypatch):
    monkeypatch.setitem(FORMATS, "fp24", partial(codec._plain, fp24.Fp24()))
    arrays = [stream(2, "fp24").normal(size=(9, 7)).astype(np.float32), np.array(3)]
    for stages in (("fp24",), ("nonzero", "fp24"), ("topk:0.5", "fp24", "zstd")):
        received = decode(encode(arrays, stages))
        sent = received[0] != 0
        assert (np.abs(received[0] - arrays[0])[sent] <= 2.0**-15 * np.abs(arrays[0])[sent]).all()
        assert received[1] == 3
        assert parse_codec(stages).text in "fp24 nonzero+fp24 topk:0.5+fp24+zstd"
    codec._parse.cache_clear()


def test_the_codec_of_the_page_is_named_as_the_page_says_and_takes_no_argument(fp24):
    up, down = re.search(r'^wire: \{up: "(\S+)", down: "(\S+)"\}$', PAGE, re.MULTILINE).groups()
    assert fp24.__name__ in up
    assert parse_codec(up.split("+")).text == up
    assert check_downlink([down]).text == down
    with pytest.raises(CodecError, match=r"'fp24:Fp24:9', which refuses the argument '9' .*TypeError"):
        parse_codec(["fp24:Fp24:9"])


def test_every_stage_is_explained():
    for name in (*FORMATS, *SPARSIFIERS, *LOSSLESS):
        assert f"`{name}" in PAGE
