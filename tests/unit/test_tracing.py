"""Traced workloads: published multiply-accumulates, closed forms, and nets of every kind."""

from __future__ import annotations

import csv
from dataclasses import replace
from functools import cache
from importlib.resources import files

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from fedlite.devices.features import TERMS
from fedlite.devices.training import per_sample_terms, per_step_terms
from fedlite.devices.workload import OpClass
from fedlite.learning.models import build
from fedlite.learning.tracing import TraceError, trace


@cache
def workload(name, shape, classes, **params):
    return trace(build(name, input_shape=shape, num_classes=classes, seed=0, **params), shape, name=name)


def of_ncnn(model):
    """(kind, channels in and out, macs, weights, output elements) of each layer of a net of ncnn's benchmark."""
    text = files("fedlite.devices").joinpath("data/workload_layers.csv").read_text()
    rows = [
        row
        for row in csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
        if row["model"] == model
    ]
    return [
        (
            {"ConvolutionDepthWise": "depthwise", "InnerProduct": "linear"}.get(row["type"], "conv"),
            int(row["in_channels"]),
            int(row["out_channels"]),
            int(row["macs"]),
            int(row["weights"]),
            int(row["output_elements"]),
        )
        for row in rows
    ]


def of_trace(traced):
    kinds = {OpClass.DEPTHWISE: "depthwise", OpClass.LINEAR: "linear"}
    return [
        (kinds.get(x.op, "conv"), x.in_channels, x.out_channels, x.macs, x.weights, x.out_elements)
        for x in traced.layers
        if x.macs
    ]


@pytest.mark.parametrize(
    ("name", "shape", "classes", "macs"),
    [
        # torchvision's model cards: 1.81, 4.09 and 0.30 G; the whole numbers are the closed forms.
        ("resnet18", (3, 224, 224), 1000, 1_814_073_344),
        pytest.param("resnet50", (3, 224, 224), 1000, 4_089_184_256, marks=pytest.mark.slow),
        ("mobilenet-v2", (3, 224, 224), 1000, 300_774_272),
        # Howard et al. 2019, table 3: 56 M.
        ("mobilenet-v3-small", (3, 224, 224), 1000, 56_510_400),
        # Ma et al. 2018, table 8: 41 and 146 M.
        ("shufflenet-v2-x0.5", (3, 224, 224), 1000, 40_476_448),
        ("shufflenet-v2-x1.0", (3, 224, 224), 1000, 144_907_992),
        # Tan, Le 2019, table 2: 0.39 G; the authors' page of Lite0 says 407 M, 6 % more than its products.
        ("efficientnet-b0", (3, 224, 224), 1000, 385_814_752),
        ("efficientnet-lite0", (3, 224, 224), 1000, 385_187_552),
        # Howard et al. 2017, table 4: 569 M.
        ("mobilenet-v1", (3, 224, 224), 1000, 568_740_352),
        # Ratios to ResNet-8 in MLPerf Tiny's reference nets: 12.5, 2.66 and 0.264 M.
        ("resnet8", (3, 32, 32), 10, 12_501_632),
        ("ds-cnn", (1, 49, 10), 12, 2_656_768),
        ("autoencoder", (640,), 0, 264_192),
        # LeCun 1998 on 32x32: 117,600 + 240,000 + 48,000 + 10,080 + 840.
        ("lenet5", (1, 28, 28), 10, 416_520),
        # 80 steps of both layers' weights, and the classifier.
        ("char-lstm", (80,), 80, 80 * 4 * 256 * (8 + 256 + 256 + 256) + 256 * 80),
        # Per block and position 4 x 64 x 64 and 2 x 64 x 256, two products of each pair of positions; the classifier.
        ("char-transformer", (80,), 68, 2 * 80 * (4 * 64 * 64 + 2 * 64 * 256 + 2 * 80 * 64) + 64 * 68),
    ],
)
def test_macs_equal_the_published_ones(name, shape, classes, macs):
    assert workload(name, shape, classes).macs == macs


def test_visual_wake_words_macs_equal_the_published_ones():
    """MLPerf Tiny: 7.4897 M."""
    assert workload("mobilenet-v1", (3, 96, 96), 2, alpha=0.25).macs == 7_489_664


def test_mobilenet_equals_the_ncnn_layer_table_layer_by_layer():
    ours, theirs = of_trace(workload("mobilenet-v1", (3, 224, 224), 1000)), of_ncnn("mobilenet")

    assert ours == theirs


def test_resnet50_equals_the_ncnn_layer_table_with_strides_in_the_first_convolution():
    ours = of_trace(workload("resnet50", (3, 224, 224), 1000, stride_first=True))

    assert sorted(ours) == sorted(of_ncnn("resnet50"))


def test_resnet18_equals_the_ncnn_table_but_for_its_needless_first_projection():
    ours = sorted(of_trace(workload("resnet18", (3, 224, 224), 1000)))
    theirs = sorted(of_ncnn("resnet18"))
    theirs.remove(("conv", 64, 64, 12_845_056, 4_096, 200_704))

    assert ours == theirs


def test_mobilenet_v2_equals_the_ncnn_table_but_for_its_needless_first_expansion():
    ours = sorted(of_trace(workload("mobilenet-v2", (3, 224, 224), 1000)))
    theirs = sorted(of_ncnn("mobilenet_v2"))
    theirs.remove(("conv", 32, 32, 12_845_056, 1_024, 401_408))

    assert ours == theirs


def test_squeezenet_equals_the_ncnn_table_but_for_the_padding_of_its_classifier():
    ours, theirs = of_trace(workload("squeezenet1.1", (3, 227, 227), 1000)), of_ncnn("squeezenet")

    assert ours[:-1] == theirs[:-1]
    assert (ours[-1][3], theirs[-1][3]) == (512_000 * 14 * 14, 512_000 * 16 * 16)


def test_every_layer_of_a_small_net_has_its_closed_form():
    traced = workload("cnn1d", (6, 100), 7)
    conv, relu, conv2, _, _, linear = traced.layers

    assert (conv.op, conv.macs, conv.params, conv.weights) == (OpClass.CONV_OTHER, 46 * 32 * 54, 1_760, 1_728)
    assert (conv.kernel, conv.stride, conv.in_channels, conv.out_channels) == (9, 2, 6, 32)
    assert (conv.in_elements, conv.out_elements) == (600, 46 * 32)
    assert (relu.op, relu.macs, relu.in_elements, relu.out_elements) == (OpClass.ELEMENTWISE, 0, 1_472, 1_472)
    assert (conv2.macs, conv2.in_elements) == (20 * 64 * 32 * 7, 1_472)
    assert (linear.op, linear.macs, linear.params, linear.weights) == (OpClass.LINEAR, 448, 455, 448)
    # The input, the two rectified maps and the pooled features; the mean and the sums keep nothing.
    assert traced.saved_elements == 600 + 1_472 + 1_280 + 64
    # The first rectification: its input and its output.
    assert traced.peak_activation_elements == 2 * 1_472


def test_in_place_activations_need_no_second_buffer():
    def net(inplace):
        return nn.Sequential(nn.Linear(10, 100), nn.ReLU(inplace=inplace), nn.Linear(100, 10))

    assert trace(net(inplace=False), (10,), name="two").peak_activation_elements == 200
    assert trace(net(inplace=True), (10,), name="one").peak_activation_elements == 110


def test_a_narrow_model_has_the_work_of_what_is_left():
    full = workload("mlp", (64,), 10, hidden=(64,))
    half = trace(build("mlp", input_shape=(64,), num_classes=10, width=0.5, seed=0), (64,), name="half")

    assert (full.macs, half.macs) == (64 * 64 + 640, 64 * 32 + 320)


def test_a_masked_model_saves_no_multiplication_and_its_parameters_count_once():
    model = build("mlp", input_shape=(64,), num_classes=10, seed=0)
    plain = trace(model, (64,), name="plain")
    prune.l1_unstructured(model[1], "weight", 0.9)
    masked = trace(model, (64,), name="masked")

    assert masked.macs == plain.macs
    assert masked.params == plain.params
    assert masked.macs_by_op()[OpClass.LINEAR] == plain.macs_by_op()[OpClass.LINEAR]


def test_a_low_rank_model_has_the_work_of_its_factors():
    model = nn.Sequential(nn.Linear(64, 4, bias=False), nn.Linear(4, 64))

    assert trace(model, (64,), name="rank 4").macs == 2 * 64 * 4


def test_composed_weights_are_charged_for_their_composition():
    class Composed(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = nn.Parameter(torch.ones(8, 2)), nn.Parameter(torch.ones(2, 6))

        def forward(self, x):
            return x @ (self.left @ self.right).T

    traced = trace(Composed(), (6,), name="composed")

    assert traced.macs == 8 * 2 * 6 + 6 * 8
    assert traced.params == 8 * 2 + 2 * 6


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_recurrent_layers_are_one_layer_however_torch_runs_them(kind, gates, dtype):
    """Single precision may run fused, double precision never does."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = kind(6, 32, num_layers=2, batch_first=True)
            self.head = nn.Linear(32, 5)

        def forward(self, x):
            return self.head(self.rnn(x)[0][:, -1])

    traced = trace(Net().to(dtype), (50, 6), name="net")
    recurrent = [x for x in traced.layers if x.op is OpClass.RECURRENT]

    assert [x.macs for x in recurrent] == [50 * gates * 32 * (6 + 32 + 32 + 32)]
    assert recurrent[0].steps == 50
    assert recurrent[0].saved_elements > 0
    assert traced.macs == recurrent[0].macs + 32 * 5


def test_functional_operators_are_seen():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3, padding=1, groups=1)
            self.unused = nn.Linear(3, 3)

        def forward(self, x):
            y = torch.relu(self.conv(x))
            return torch.einsum("bchw,bchw->bc", y, y + 1)

    traced = trace(Net(), (3, 6, 6), name="net")

    assert [x.name for x in traced.layers if x.op is OpClass.ELEMENTWISE][:2] == ["relu", "add"]
    assert traced.macs_by_op()[OpClass.CONV3X3] == 36 * 8 * 27
    assert traced.macs_by_op()[OpClass.LINEAR] == 8 * 36
    assert traced.params == sum(p.numel() for p in Net().parameters())


def test_attention_is_counted():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    traced = trace(layer, (10, 16), name="encoder")

    assert traced.macs == 10 * (16 * 48 + 16 * 16 + 2 * 16 * 32) + 2 * 10 * 10 * 16


def test_dropout_is_charged_for_its_mask():
    plain = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 2))
    dropped = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Dropout(0.5), nn.Linear(64, 2))
    gain = trace(dropped, (4,), name="b").saved_elements - trace(plain, (4,), name="a").saved_elements

    # The dropped activations and the mask (which torch keeps as numbers or as truth values).
    assert 64 + 64 // 4 <= gain <= 64 + 64


def test_integer_pooling_indices_count_by_their_bytes():
    model = nn.Sequential(nn.Conv2d(1, 4, 1), nn.MaxPool2d(2))

    # The image, the pool's input, and a 64-bit index per output.
    assert trace(model, (1, 8, 8), name="pool").saved_elements == 64 + 256 + 2 * 64


def test_tracing_leaves_the_model_as_it_was():
    model = build("resnet8", input_shape=(3, 16, 16), num_classes=10, seed=0, norm="batch").train()
    model[4].eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    modes = [m.training for m in model.modules()]
    random_state = torch.get_rng_state()
    trace(model, (3, 16, 16), name="resnet8")

    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert [m.training for m in model.modules()] == modes
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_batch_normalisation_of_single_values_is_traced():
    """A batch of one would be refused where the maps have shrunk to one pixel."""
    assert workload("mobilenet-v2", (3, 32, 32), 10, norm="batch").saved_elements > 0


def test_an_unfit_shape_is_refused_with_the_reason():
    model = build("lenet5", input_shape=(1, 28, 28), num_classes=10, seed=0)
    with pytest.raises(TraceError, match=r"got input shape \(3, 28, 28\) for Sequential.*channels"):
        trace(model, (3, 28, 28), name="lenet5")


class Composed(nn.Module):
    """A weight that is a product of two, as FedPara's, before it meets the samples."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Parameter(torch.ones(6, 2)), nn.Parameter(torch.ones(2, 5))

    def forward(self, x):
        return x @ torch.relu(self.left @ self.right).T


def test_what_is_computed_from_weights_alone_counts_once_for_a_batch_of_any_size():
    found = trace(Composed(), (5,), name="composed")
    assert [(layer.per_step, layer.macs, layer.params) for layer in found.layers] == [
        (True, 60, 0),
        (True, 0, 0),
        (False, 30, 22),
    ]
    alone = per_sample_terms(replace(found, layers=found.layers[2:]))
    np.testing.assert_array_equal(per_sample_terms(found), alone)
    once = per_step_terms(found)
    assert once[TERMS.index("conv1x1")] == pytest.approx(60e-6)
    # 12 numbers read and 30 written by the product; ReLU reads and writes 30 each, at a quarter.
    assert once[TERMS.index("activations")] == pytest.approx(4e-6 * (42 + 60 / 4))


def test_a_parameter_whose_shape_alone_is_read_stays_where_it_is_used():
    class Noisy(nn.Linear):
        def forward(self, x):
            return nn.functional.linear(x, self.weight + 0 * torch.ones_like(self.weight), self.bias)

    found = trace(Noisy(4, 3), (4,), name="noisy")
    assert found.params == 15
    assert [layer.params for layer in found.layers if not layer.per_step] == [15]
