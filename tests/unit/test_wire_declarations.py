"""What a stage declares decides where it may stand; its name decides nothing, and silence is read as caution."""

from types import SimpleNamespace

import numpy as np
import pytest

from fedlite.errors import FedliteError
from fedlite.scenario.loader import parse_scenario
from fedlite.wire import FORMATS, SPARSIFIERS, CodecError, check_downlink, codec
from fedlite.wire.formats.fp32 import Fp32

CLIPPED = """
name: clipped
fleet: {devices: 20, mix: consumer-phones}
training: {rounds: 1, clients_per_round: 10}
task: {data: digits, model: mlp}
privacy: {mechanism: client-fixed-clipping, clipping_norm: 1.0, noise_multiplier: 1.0}
wire: {up: CODEC}
"""


@pytest.fixture
def register(monkeypatch):
    """Put a stage into a table for one test."""

    def put(table, stage):
        monkeypatch.setitem(table, stage.text, lambda _: stage)
        codec._parse.cache_clear()

    yield put
    codec._parse.cache_clear()


def first_half(**declared):
    """A sparsifier by another name that leaves out half of the values."""
    return SimpleNamespace(
        text="half", carries_update=False, most=lambda n: n, select=lambda v: np.arange(v.size // 2), **declared
    )


class Silent:
    """float32 that says neither what it carries nor whether it lengthens."""

    text, carries_update, stochastic, stride = "silent", False, False, 4
    encoded_bytes, encode, decode = Fp32().encoded_bytes, Fp32().encode, Fp32().decode


class Shrinking(Silent):
    text, lengthens, carries_model = "shrinking", False, True


@pytest.mark.parametrize("declared", [{}, {"carries_model": False}], ids=["silent", "declared"])
def test_a_sparsifier_of_any_name_that_does_not_carry_a_model_stays_off_the_downlink(register, declared):
    register(SPARSIFIERS, first_half(**declared))
    with pytest.raises(CodecError, match=r"downlink: got 'half'.*whole model"):
        check_downlink(("half", "fp16"))


def test_a_stage_that_carries_a_model_may_go_down(register):
    register(SPARSIFIERS, first_half(carries_model=True))
    register(FORMATS, Shrinking())
    assert check_downlink(("half", "shrinking")).text == "half+shrinking"


def test_a_number_format_that_does_not_say_stays_off_the_downlink(register):
    register(FORMATS, Silent())
    with pytest.raises(CodecError, match="downlink: got 'silent'"):
        check_downlink(("silent", "zstd"))


@pytest.mark.parametrize("stages", ["silent", "fp16", "sign", "topk:0.1+int8"])
def test_after_clipping_on_the_client_a_codec_that_may_lengthen_is_refused(register, stages):
    register(FORMATS, Silent())
    with pytest.raises(FedliteError, match=r"wire.up: got the codec .* after clipping on the client"):
        parse_scenario(CLIPPED.replace("CODEC", stages))


@pytest.mark.parametrize("stages", ["shrinking", "topk:0.1+shrinking+zstd", "nonzero", "fp32"])
def test_after_clipping_on_the_client_a_codec_that_never_lengthens_passes(register, stages):
    register(FORMATS, Shrinking())
    assert parse_scenario(CLIPPED.replace("CODEC", stages)).wire.up
