"""What articles say of sizes, on the nets that they say it of.

SoftServe, "Deep learning model compression and optimization": static quantisation makes MobileNetV2, ResNet50 and
SqueezeNet 3 to 4 times smaller; dynamic quantisation does nothing for SqueezeNet; `torch.nn.utils.prune` saves nothing;
clustering makes models 10 to 15 times smaller.
"""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from torch.nn.utils import prune

from fedlite.compression.part import PartError
from fedlite.delivery.base import Artefact, Calibration, delivered
from fedlite.delivery.clustering import Clustering
from fedlite.delivery.dynamic_quantization import DynamicQuantization
from fedlite.delivery.entropy_coding import EntropyCoding
from fedlite.delivery.static_quantization import StaticQuantization
from fedlite.learning.models import build
from fedlite.learning.tracing import trace
from fedlite.rng import stream

SHAPE = (3, 64, 64)
ROWS = Calibration(stream(0, "rows").normal(size=(2, *SHAPE)).astype(np.float32), lambda _: 0.0, stream(0, "delivery"))


def net(name):
    norm = {} if name == "squeezenet1.1" else {"norm": "batch"}
    return build(name, input_shape=SHAPE, num_classes=1000, seed=0, **norm).eval()


def smaller(name, *deliveries):
    start = Artefact.of(net(name))
    return len(start.file()) / len(delivered(start, deliveries, ROWS).file())


@pytest.mark.parametrize("name", ["mobilenet-v2", "resnet50", "squeezenet1.1"])
def test_static_quantisation_makes_files_three_to_four_times_smaller(name):
    assert 3.0 < smaller(name, StaticQuantization(rows=2)) < 4.0


@pytest.mark.parametrize(("name", "factor"), [("mobilenet-v2", 1.37), ("resnet18", 1.03), ("resnet50", 1.06)])
def test_dynamic_quantisation_gains_what_linear_layers_weigh(name, factor):
    """The factors that torch's own dynamic quantisation was measured to have on these nets."""
    assert smaller(name, DynamicQuantization()) == pytest.approx(factor, abs=0.01)


def test_dynamic_quantisation_has_nothing_to_do_in_squeezenet():
    with pytest.raises(PartError, match="got a net without linear or recurrent layers, so that nothing of it would"):
        smaller("squeezenet1.1", DynamicQuantization())


def test_torchs_own_pruning_saves_neither_bytes_nor_work():
    def bytes_of(module):
        file = io.BytesIO()
        torch.save(module.state_dict(), file)
        return len(file.getvalue())

    plain, pruned = net("mobilenet-v2"), net("mobilenet-v2")
    chosen = [(module, "weight") for module in pruned.modules() if isinstance(module, torch.nn.Conv2d)]
    prune.global_unstructured(chosen, pruning_method=prune.L1Unstructured, amount=0.9)
    assert bytes_of(pruned) > 1.6 * bytes_of(plain)  # weights and masks, until it is made permanent
    for module, name in chosen:
        prune.remove(module, name)
    zeros = sum(int((module.weight == 0).sum()) for module, _ in chosen) / sum(m.weight.numel() for m, _ in chosen)
    assert zeros == pytest.approx(0.9, abs=0.001)
    assert len(Artefact.of(pruned).file()) == len(Artefact.of(plain).file())
    assert trace(pruned, SHAPE, name="x").macs == trace(plain, SHAPE, name="x").macs


def test_clustering_needs_eight_values_or_fewer_and_a_coder_for_ten_to_fifteen_times():
    """16 values take 4 bits, 8 times; with 4 values and an entropy coder the file is in the range that is claimed."""
    assert smaller("squeezenet1.1", Clustering(16)) == pytest.approx(8.0, abs=0.2)
    assert 10.0 < smaller("squeezenet1.1", Clustering(4), EntropyCoding()) < 25.0
