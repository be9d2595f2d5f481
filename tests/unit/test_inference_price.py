"""The latency of a net whose layers compute in several precisions."""

from __future__ import annotations

import pytest

from fedlite.devices import compute
from fedlite.errors import FedliteError
from fedlite.learning.models import build
from fedlite.learning.tracing import trace
from fedlite.pricing import inference, inference_memory
from fedlite.scenario.profiles import load_profile

PHONE = load_profile("pixel-4")
SHAPE = (3, 224, 224)
NET = trace(build("mobilenet-v2", input_shape=SHAPE, num_classes=1000, seed=0), SHAPE, name="mobilenet-v2")
DENSE = [layer.name for layer in NET.layers if layer.weights]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_one_precision_is_priced_as_the_whole_net(precision):
    named = dict.fromkeys(DENSE, precision)
    assert inference(PHONE, NET, named) == compute.inference_s(PHONE, NET, precision=precision)
    assert inference(PHONE, NET, {}) == compute.inference_s(PHONE, NET)


def test_the_more_layers_are_integers_the_faster():
    whole = float(compute.inference_s(PHONE, NET).value)
    last = {"head": "int8"} if "head" in DENSE else {DENSE[-1]: "int8"}
    half = dict.fromkeys(DENSE[: len(DENSE) // 2], "int8")
    found = [float(inference(PHONE, NET, named).value) for named in (last, half)]
    assert found[1] < found[0] < whole


def test_the_parts_of_a_mixture_add_up_to_shares_of_one():
    """A net is cut in two both ways round: what one part gets of fp32, the other leaves."""
    half = set(DENSE[: len(DENSE) // 2])
    one = inference(PHONE, NET, {name: "int8" for name in DENSE if name in half})
    other = inference(PHONE, NET, {name: "int8" for name in DENSE if name not in half})
    whole, integer = (float(compute.inference_s(PHONE, NET, precision=p).value) for p in ("fp32", "int8"))
    assert float(one.value) + float(other.value) == pytest.approx(whole + integer, rel=0.02)
    assert float(one.low) < float(one.value) < float(one.high)


def test_a_precision_that_a_device_has_not_is_refused():
    with pytest.raises(FedliteError, match="int3"):
        inference(PHONE, NET, {DENSE[0]: "int3"})


def test_memory_follows_the_precision_of_each_layer():
    whole, integer = (float(inference_memory(PHONE, NET, dict.fromkeys(DENSE, p)).value) for p in ("fp32", "int8"))
    assert integer == whole / 4
    some = set(DENSE[: len(DENSE) // 2])
    integers = sum(layer.params for layer in NET.layers if layer.name in some)
    mixed = float(inference_memory(PHONE, NET, dict.fromkeys(some, "int8")).value)
    assert whole - 3.3 * integers < mixed < whole - 3.0 * integers  # normalisation goes with its convolution
