"""Networks that are small enough to be written out: layer by layer, from the reference code that the sources name.

MLPerf Tiny's four (mlcommons/tiny), MobileNets, the classifiers and detectors of STMicroelectronics' model zoo
(image_classification/src/models and object_detection/src/models of stm32ai-modelzoo) and the fully connected nets of
bharathsudharsan's benchmark, whose published multiply-accumulates and parameters these layers meet exactly.
"""

from __future__ import annotations

import itertools

from fedlite.devices.workload import Layer, OpClass

ZOO_CLASSES = 101
"""Of the model zoo's classifiers (food-101); flowers has 5, a difference of less than a percent of the work."""
BOXES = 30
"""Outputs per cell of its detectors: five anchors with four corners, a score and one class (person)."""


def op_of(kind: str, kernel: int, stride: int) -> OpClass:
    if kind == "InnerProduct":
        return OpClass.LINEAR
    if kind == "ConvolutionDepthWise":
        return OpClass.DEPTHWISE
    if kernel == 1:
        return OpClass.CONV1X1
    return OpClass.CONV3X3 if kernel == 3 and stride == 1 else OpClass.CONV_OTHER


def make(
    kind: str, kernel: int, stride: int, cin: int, cout: int, weights: int, macs: int, ins: int, outs: int
) -> Layer:
    groups = 1
    if kind == "ConvolutionDepthWise":
        groups = max(1, round(cin * cout * kernel * kernel / weights))
    op = op_of(kind, kernel, stride)
    return Layer("", op, macs, weights, weights, ins, outs, 0, kernel, stride, cin, cout, groups)


def conv(kernel, stride, cin, cout, out_hw, in_hw, *, depthwise=False, taps=None) -> Layer:
    taps = taps or kernel * kernel
    weights = taps * cin * (1 if depthwise else cout)
    kind = "ConvolutionDepthWise" if depthwise else "Convolution"
    return make(kind, kernel, stride, cin, cout, weights, weights * out_hw, cin * in_hw, cout * out_hw)


def fc(cin: int, cout: int) -> Layer:
    return make("InnerProduct", 0, 0, cin, cout, cin * cout, cin * cout, cin, cout)


def chain(side: int, channels: int, *steps: tuple) -> list[Layer]:
    """Return layers one after the other on a square image, padded to keep its side.

    Steps are (kernel, stride, output channels) of a dense convolution, (kernel, stride) of a depthwise one,
    ("pool", s), ("se", squeezed channels) for a squeeze-and-excitation and ("fc", outputs) after a global pooling.
    """
    layers = []
    for step in steps:
        if step[0] == "pool":
            side = -(-side // step[1])
        elif step[0] == "fc":
            layers.append(fc(channels, step[1]))
        elif step[0] == "se":
            layers += [conv(1, 1, channels, step[1], 1, 1), conv(1, 1, step[1], channels, 1, 1)]
        else:
            kernel, stride, *out = step
            after = -(-side // stride)
            cout = out[0] if out else channels
            layers.append(conv(kernel, stride, channels, cout, after**2, side**2, depthwise=not out))
            side, channels = after, cout
    return layers


def separable(*plan: tuple[int, int]) -> list[tuple]:
    """Return the steps of depthwise-separable blocks (output channels, stride)."""
    return [step for out, stride in plan for step in ((3, stride), (1, 1, out))]


def mobilenet_v1(width: float, side: int, channels: int = 3, classes: int = 1001) -> list[Layer]:
    plan = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    blocks = separable(*((int(out * width), stride) for out, stride in plan))
    return chain(side, channels, (3, 2, int(32 * width)), *blocks, ("fc", classes))


def fd_mobilenet(widths: list[float]) -> list[Layer]:
    plan = [(64, 2), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 4, (1024, 1)]
    blocks = separable(*((int(out * w), stride) for (out, stride), w in zip(plan, widths[1:], strict=True)))
    return chain(224, 3, (3, 2, int(32 * widths[0])), *blocks, ("fc", ZOO_CLASSES))


def resnet_v1(blocks: int) -> list[Layer]:
    """Return the residual net on images of 32 x 32 with so many blocks in each of its three stages."""
    layers = chain(32, 3, *[(3, 1, 16)] * (1 + 2 * blocks))
    for cin, cout, side in ((16, 32, 32), (32, 64, 16)):
        rest = [(3, 1, cout)] * (2 * blocks - 1)
        layers += [*chain(side, cin, (3, 2, cout), *rest), *chain(side, cin, (1, 2, cout))]
    return [*layers, fc(64, 10)]


def st_efficientnet_lc() -> list[Layer]:
    """Return an EfficientNet-B0 of 0.45 times the channels that expands threefold."""
    steps: list[tuple] = [(3, 2, 16)]
    cin = 16
    plan = [(1, 8, 1, 3, 1), (2, 16, 2, 3, 3), (2, 24, 2, 5, 3), (3, 40, 2, 3, 3), (3, 48, 1, 5, 3), (4, 88, 2, 5, 3),
            (1, 144, 1, 3, 3)]  # fmt: skip
    for repeats, cout, stride, kernel, expand in plan:
        for first in (True, *[False] * (repeats - 1)):
            steps += [(1, 1, cin * expand)] if expand > 1 else []
            steps += [(kernel, stride if first else 1), ("se", max(1, cin // 4)), (1, 1, cout)]
            cin = cout
    return chain(224, 3, *steps, (1, 1, 576), ("fc", ZOO_CLASSES))


def ds_cnn() -> list[Layer]:
    layers = [conv(10, 2, 1, 64, 125, 490, taps=40)]
    for _ in range(4):
        layers += [conv(3, 1, 64, 64, 125, 125, depthwise=True), conv(1, 1, 64, 64, 125, 125)]
    return [*layers, fc(64, 12)]


def connected(*widths: int) -> list[Layer]:
    return [fc(a, b) for a, b in itertools.pairwise(widths)]


TABLES = {"Iris": (4, 3), "Wine": (13, 3), "Breast cancer": (30, 2), "Digits": (64, 10)}
"""Inputs and classes of the data that the fully connected nets were trained on."""


def drawn_nets() -> dict[str, tuple[int, list[Layer]]]:
    """Return {name: (side of the input or 0, layers)}."""
    darknet = [step for out in (16, 32, 64, 128, 256) for step in ((3, 1, out), ("pool", 2))]
    st_widths = [0.5, 0.75, 0.625, 0.5, 0.375, *[0.25] * 7]
    nets = {
        "resnet8": (32, resnet_v1(1)),
        "resnet32": (32, resnet_v1(5)),
        "ds-cnn": (0, ds_cnn()),
        "autoencoder": (0, connected(640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640)),
        "mobilenet_v1_0.25_96": (96, mobilenet_v1(0.25, 96, 3, 2)),
        "person_detect": (96, mobilenet_v1(0.25, 96, 1, 2)),
        "fdmobilenet_0.25": (224, fd_mobilenet([0.25] * 12)),
        "st_fdmobilenet_v1": (224, fd_mobilenet(st_widths)),
        "st_efficientnet_lc_v1": (224, st_efficientnet_lc()),
        "st_yolo_lc_v1": (192, chain(
            192, 3, (3, 2, 16), (3, 2, 32), (3, 2, 64), (3, 2, 128),
            *separable((256, 1), (256, 1), (128, 1), (256, 1)), (1, 1, BOXES),
        )),
        "tiny_yolo_v2": (416, chain(416, 3, *darknet, (3, 1, 512), (3, 1, 1024), (3, 1, 512), (1, 1, BOXES))),
        "st_mnist_byclass_v1": (28, chain(28, 1, (3, 2, 16), (3, 1), (3, 1, 32), (3, 2), (1, 1, 64), ("fc", 36))),
        "cnn2d_st_handposture": (8, [conv(3, 1, 2, 8, 36, 64), fc(72, 32), fc(32, 8)]),
    }  # fmt: skip
    nets |= {f"mobilenet_v1_{w}": (224, mobilenet_v1(w, 224)) for w in (0.25, 0.5, 0.75)}
    for table, (ins, classes) in TABLES.items():
        for depth in (1, 10):
            nets[f"FC {depth} x 10 {table}"] = (0, connected(ins, *[10] * depth, classes))
        nets[f"FC 10+50 {table}"] = (0, connected(ins, 10, 50, classes))
    return nets
