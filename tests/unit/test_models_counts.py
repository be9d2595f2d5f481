"""Parameter counts of the zoo equal the published ones."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fedlite.errors import UnknownNameError
from fedlite.learning.models import MODELS, build
from fedlite.learning.models.shufflenet_v2 import ShuffleUnit

PUBLISHED = [
    # LeCun 1998 in its modern form; McMahan's and LEAF's follow-ups quote the same 61,706.
    ("lenet5", (1, 28, 28), 10, {}, 61_706),
    # The PyTorch beginner tutorial's net of the same layers on CIFAR-10.
    ("lenet5", (3, 32, 32), 10, {}, 62_006),
    # Closed form of 64-64-10: 64 x 64 + 64 + 64 x 10 + 10.
    ("mlp", (64,), 10, {}, 4_810),
    # McMahan et al. 2017, section 3: the 2NN and the CNN of MNIST.
    ("mlp", (1, 28, 28), 10, {"hidden": (200, 200)}, 199_210),
    ("cnn", (1, 28, 28), 10, {"kernel": 5, "hidden": 512}, 1_663_370),
    # conv32-conv64-pool-fc256-fc10 on 8x8 digits.
    ("cnn", (1, 8, 8), 10, {"pools": (1, 2), "hidden": 256}, 283_786),
    # The watch net of seven classes: 6*9*32+32 + 32*7*64+64 + 64*7+7.
    ("cnn1d", (6, 100), 7, {}, 16_615),
    # MLPerf Tiny keyword spotting: 24,908 in Keras, of which 1,152 are running statistics.
    ("ds-cnn", (1, 49, 10), 12, {}, 24_908 - 1_152),
    # MLPerf Tiny image classification: 78,666 in Keras, of which 480 are running statistics.
    ("resnet8", (3, 32, 32), 10, {}, 78_666 - 480),
    # The same with two more heads, of 16 and 32 maps.
    ("resnet8-exits", (3, 32, 32), 10, {}, 78_666 - 480 + 17 * 10 + 33 * 10),
    # Closed form: 9*16+16 + 9*16*32+32 + 9*32*64+64 and heads of 4*16, 4*32 and 4*64 numbers.
    ("cnn-exits", (1, 8, 8), 10, {}, 23_296 + 4 * 112 * 10 + 30),
    # Closed form: 3x3 kernels from 1 to 16, 32, 64 and 128 channels, two numbers a channel, and 15 numbers a cell.
    ("detector", (1, 32, 32), 240, {}, 99_327),
    # Closed form: 11*24 and 3 blocks of 2*24*72 + (25+4)*72 + 2*24, and a head of 24 numbers.
    ("elastic", (1, 8, 8), 10, {}, 11 * 24 + 3 * (2 * 24 * 72 + 29 * 72 + 2 * 24) + 25 * 10),
    # MLPerf Tiny anomaly detection: 269,992 in Keras, of which 2,064 are running statistics.
    ("autoencoder", (640,), 0, {}, 269_992 - 2_064),
    # Keras Applications MobileNet: 4,253,864, of which 21,888 are running statistics.
    ("mobilenet-v1", (3, 224, 224), 1000, {}, 4_253_864 - 21_888),
    # torchvision model cards.
    ("mobilenet-v2", (3, 224, 224), 1000, {}, 3_504_872),
    ("squeezenet1.1", (3, 224, 224), 1000, {}, 1_235_496),
    ("resnet18", (3, 224, 224), 1000, {}, 11_689_512),
    ("resnet50", (3, 224, 224), 1000, {}, 25_557_032),
    ("mobilenet-v3-small", (3, 224, 224), 1000, {}, 2_542_856),
    ("shufflenet-v2-x0.5", (3, 224, 224), 1000, {}, 1_366_792),
    ("shufflenet-v2-x1.0", (3, 224, 224), 1000, {}, 2_278_604),
    ("efficientnet-b0", (3, 224, 224), 1000, {}, 5_288_548),
    # Keras Hub's preset of it.
    ("efficientnet-lite0", (3, 224, 224), 1000, {}, 4_652_008),
    # The 3x3-stem ResNet-18 of CIFAR-10.
    ("resnet18", (3, 32, 32), 10, {"stem": "small"}, 11_173_962),
    # Reddi et al. 2021 (90 characters).
    ("char-lstm", (80,), 90, {}, 820_522),
    # Closed form: 68 + 80 embeddings of 64; twice 2 norms, 4 x (64 x 64 + 64), 64 x 256 + 256, 256 x 64 + 64; a norm, a
    # classifier. GPT-2's published count is held below.
    ("char-transformer", (80,), 68, {}, 148 * 64 + 2 * (256 + 4 * 4_160 + 16_640 + 16_448) + 128 + 65 * 68),
]


def parameters(model):
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize(("name", "shape", "classes", "params", "count"), PUBLISHED)
def test_parameter_count_equals_the_published_one(name, shape, classes, params, count):
    model = build(name, input_shape=shape, num_classes=classes, seed=0, **params)

    assert parameters(model) == count


def test_every_model_has_a_published_count_in_this_file():
    assert {row[0] for row in PUBLISHED} == set(MODELS)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("ds-cnn", (1, 49, 10)),
        *((name, (3, 32, 32)) for name in MODELS if "net-v" in name or name.startswith(("resnet", "eff"))),
        ("autoencoder", (64,)),
    ],
)
def test_group_and_batch_normalisation_have_equal_counts(name, shape):
    counts = {
        norm: parameters(build(name, input_shape=shape, num_classes=10, seed=0, norm=norm))
        for norm in ("group", "batch")
    }

    assert counts["group"] == counts["batch"]


@pytest.mark.parametrize(
    "name", [name for name in MODELS if "net-v" in name or name.startswith(("resnet", "eff", "ds"))]
)
def test_the_default_normalisation_keeps_no_running_statistics(name):
    model = build(name, input_shape=(3, 32, 32), num_classes=10, seed=0)

    assert list(model.buffers()) == []


@pytest.mark.parametrize(("alpha", "millions"), [(0.35, 1.66), (0.5, 1.95), (0.75, 2.61), (1.0, 3.47), (1.4, 6.06)])
def test_mobilenet_v2_multipliers_round_as_the_published_nets(alpha, millions):
    """The table of the authors' model page counts weights and leaves normalisation out."""
    model = build("mobilenet-v2", input_shape=(3, 224, 224), num_classes=1001, seed=0, alpha=alpha)
    weights = sum(p.numel() for p in model.parameters() if p.dim() > 1)

    assert weights / 1e6 == pytest.approx(millions, abs=0.012)


@pytest.mark.parametrize(("alpha", "millions"), [(0.25, 0.5), (0.5, 1.3), (0.75, 2.6), (1.0, 4.2)])
def test_mobilenet_v1_multipliers_equal_the_paper(alpha, millions):
    """Howard et al. 2017, table 6."""
    model = build("mobilenet-v1", input_shape=(3, 224, 224), num_classes=1000, seed=0, alpha=alpha)

    assert round(parameters(model) / 1e6, 1) == millions


def test_the_transformer_at_gpt_2s_sizes_has_its_published_count_and_a_classifier_of_its_own():
    """Radford et al. 2019, the small net: 124,439,808 parameters, its classifier being its embedding."""
    sizes = {"features": 768, "heads": 12, "layers": 12, "hidden": 3_072}
    with torch.device("meta"):
        model = build("char-transformer", input_shape=(1_024,), num_classes=50_257, seed=0, **sizes)

    assert parameters(model) - 50_257 * (768 + 1) == 124_439_808


def test_visual_wake_words_net_equals_its_keras_count():
    """MLPerf Tiny: 221,794, of which 2,736 convolution biases (idle before normalisation) and 5,472 statistics."""
    model = build("mobilenet-v1", input_shape=(3, 96, 96), num_classes=2, seed=0, alpha=0.25)

    assert parameters(model) == 221_794 - 2_736 - 5_472


def rows_of_zeros(name, side, stem):
    model = build(name, input_shape=(1, side, side), num_classes=10, seed=0, stem=stem).eval()
    layer = next(module for module in reversed(model) if isinstance(module, nn.AdaptiveAvgPool2d))
    seen = []
    layer.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0].shape[-1]))
    with torch.no_grad():
        model(torch.zeros(1, 1, side, side))
    return seen[0]


@pytest.mark.parametrize(
    ("name", "small"),
    [
        ("mobilenet-v2", 2),
        ("mobilenet-v3-small", 2),
        ("efficientnet-b0", 2),
        ("efficientnet-lite0", 2),
        ("shufflenet-v2-x0.5", 4),
        ("resnet18", 4),
    ],
)
def test_the_stem_for_small_images_leaves_more_of_them(name, small):
    assert [rows_of_zeros(name, 28, stem) for stem in ("imagenet", "small")] == [1, small]
    with pytest.raises(UnknownNameError, match="imagenet, small"):
        rows_of_zeros(name, 28, "tiny")


def test_a_shuffle_deals_the_maps_of_both_halves_in_turn():
    unit = ShuffleUnit(8, 8, 1, "batch").eval()
    x = torch.rand(1, 8, 3, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        y = unit(x)
        torch.testing.assert_close(y[:, 0::2], x[:, :4])
        torch.testing.assert_close(y[:, 1::2], unit.branch(x[:, 4:]))


def test_a_shrinking_unit_has_all_maps_on_both_sides():
    unit = ShuffleUnit(8, 16, 2, "batch").eval()
    x = torch.rand(1, 8, 6, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        y = unit(x)
        assert y.shape == (1, 16, 3, 3)
        torch.testing.assert_close(y[:, 0::2], unit.beside(x))
        torch.testing.assert_close(y[:, 1::2], unit.branch(x))
