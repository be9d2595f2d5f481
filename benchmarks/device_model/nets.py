"""Write fedlite/devices/data/published_nets.csv: the terms of every network that the measurement collection names.

    python benchmarks/device_model/nets.py

Exact for the 15 nets of the ncnn benchmark (layer tables made from the .param graphs of Tencent/ncnn@a4d2ea1d) and the
four MLPerf Tiny nets (layers written out below from the reference models of mlcommons/tiny). Width and resolution
variants scale the layers of their base net. A net without a public layer table is a stand-in: the op mix of its
relative, scaled to the published multiply-accumulates; only the fitted net offset makes such a net trustworthy.
"""

from __future__ import annotations

import csv
import itertools
from collections import defaultdict
from pathlib import Path

import numpy as np

from fedlite.devices.features import ACTIVATIONS, LAYERS, TERMS, layer_terms
from fedlite.devices.workload import Layer, OpClass

DATA = Path(__file__).resolve().parents[2] / "fedlite" / "devices" / "data"


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


def table_nets() -> dict[str, list[Layer]]:
    nets: dict[str, list[Layer]] = defaultdict(list)
    with (DATA / "workload_layers.csv").open() as file:
        for r in csv.DictReader(line for line in file if not line.startswith("#")):
            numbers = [int(r[k] or 0) for k in ("kernel", "stride", "in_channels", "out_channels", "weights", "macs")]
            nets[r["model"]].append(make(r["type"], *numbers, int(r["input_elements"]), int(r["output_elements"])))
    return dict(nets)


def conv(kernel, stride, cin, cout, out_hw, in_hw, *, depthwise=False, taps=None) -> Layer:
    taps = taps or kernel * kernel
    weights = taps * cin * (1 if depthwise else cout)
    kind = "ConvolutionDepthWise" if depthwise else "Convolution"
    return make(kind, kernel, stride, cin, cout, weights, weights * out_hw, cin * in_hw, cout * out_hw)


def fc(cin: int, cout: int) -> Layer:
    return make("InnerProduct", 0, 0, cin, cout, cin * cout, cin * cout, cin, cout)


def tiny_nets() -> dict[str, list[Layer]]:
    resnet8 = [conv(3, 1, 3, 16, 1024, 1024), conv(3, 1, 16, 16, 1024, 1024), conv(3, 1, 16, 16, 1024, 1024)]
    for cin, cout, hw in ((16, 32, 256), (32, 64, 64)):
        resnet8 += [
            conv(3, 2, cin, cout, hw, 4 * hw),
            conv(3, 1, cout, cout, hw, hw),
            conv(1, 2, cin, cout, hw, 4 * hw),
        ]
    resnet8.append(fc(64, 10))
    dscnn = [conv(10, 2, 1, 64, 125, 490, taps=40)]
    for _ in range(4):
        dscnn += [conv(3, 1, 64, 64, 125, 125, depthwise=True), conv(1, 1, 64, 64, 125, 125)]
    dscnn.append(fc(64, 12))
    widths = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640]
    autoencoder = [fc(a, b) for a, b in itertools.pairwise(widths)]
    return {
        "resnet8": resnet8,
        "ds-cnn": dscnn,
        "autoencoder": autoencoder,
        "mobilenet_v1_0.25_96": mobilenet_v1(0.25, 96, 3, 2),
        "person_detect": mobilenet_v1(0.25, 96, 1, 2),
    }


def mobilenet_v1(width: float, size: int, channels: int = 3, classes: int = 1001) -> list[Layer]:
    plan = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)] + [(512, 1)] * 5 + [(1024, 2), (1024, 1)]
    hw, cin = (size // 2) ** 2, int(32 * width)
    layers = [conv(3, 2, channels, cin, hw, size * size)]
    for out, stride in plan:
        cout, after = int(out * width), hw // stride**2
        layers += [conv(3, stride, cin, cin, after, hw, depthwise=True), conv(1, 1, cin, cout, after, after)]
        hw, cin = after, cout
    return [*layers, fc(cin, classes)]


def scaled(layers: list[Layer], width: float, size: float) -> list[Layer]:
    """Scale every layer by channel width and image size; a depthwise or first convolution has one scaled side only."""
    out = []
    for index, layer in enumerate(layers):
        one_sided = layer.op is OpClass.DEPTHWISE or index == 0 or layer.op is OpClass.LINEAR
        channels, area = width if one_sided else width**2, 1.0 if layer.op is OpClass.LINEAR else size**2
        macs, weights = round(layer.macs * channels * area), round(layer.weights * channels)
        ins, outs = round(layer.in_elements * width * area), round(layer.out_elements * width * area)
        groups = layer.groups
        out.append(
            Layer(
                "",
                layer.op,
                macs,
                weights,
                weights,
                ins,
                outs,
                0,
                layer.kernel,
                layer.stride,
                layer.in_channels,
                layer.out_channels,
                groups,
            )
        )
    return out


def terms_of(layers: list[Layer]) -> np.ndarray:
    return np.sum([layer_terms(layer) for layer in layers], axis=0)


# name -> (relative, published MMAC, weighted layers, params in millions); MACs as in the collection's macs_millions
# column where it has them, else (marked ~) from the usual reference implementations, unverified.
STAND_INS = {
    "mobilenet_v3_small": ("mobilenet_v3", 56, 54, 2.5),
    "mobilenet_v3_large": ("mobilenet_v3", 219, 64, 5.4),
    "inception_v2": ("googlenet", 2000, 70, 11.2),
    "inception_v3": ("googlenet", 5720, 95, 23.8),
    "inception_v4": ("googlenet", 12300, 150, 42.6),
    "inception_resnet_v2": ("googlenet", 13200, 245, 55.8),
    "densenet": ("resnet50", 2870, 121, 8.0),  # ~
    "nasnet_mobile": ("efficientnet_b0", 564, 196, 5.3),
    "nasnet_large": ("efficientnet_b0", 23800, 260, 88.9),
    "resnet_v2_101": ("resnet50", 7800, 105, 44.5),  # ~
    "ssd_mobilenet_v1_0.75": ("mobilenet", 700, 47, 4.6),  # ~
    "ssd_mobilenet_v2": ("mobilenet_v2", 800, 75, 6.1),  # ~
    "mcunet-vww0": ("mobilenet_v2", 6.0, 45, 0.37),
    "mcunet-vww1": ("mobilenet_v2", 11.6, 45, 0.43),
    "mcunet-vww2": ("mobilenet_v2", 55.8, 45, 0.64),
    "mcunet-in0": ("mobilenet_v2", 6.4, 45, 0.75),
    "mcunet-in1": ("mobilenet_v2", 12.8, 45, 0.64),
    "mcunet-in2": ("mobilenet_v2", 67.3, 54, 0.73),
    "mcunet-in3": ("mobilenet_v2", 81.8, 54, 0.74),
    "mcunet-in4": ("mobilenet_v2", 125.9, 54, 1.73),
    "proxyless-w0.3-r176": ("proxylessnasnet", 38.3, 62, 0.75),
}

ALIASES = {
    "mobilenet": ["mobilenetv1", "MobileNet v1", "MobileNet v1 1.0X", "MobileNet_V1_1.0_224"],
    "mobilenet_v2": ["MobileNet v2 1.0X", "MobileNet_V2_1.0_224", "MobileNetV2", "MobileNet v2"],
    "mobilenet_v3": [],
    "mobilenet_v3_large": ["MobileNet v3 Large"],
    "mobilenet_v3_small": ["MobileNet v3 Small"],
    "mobilenet_v1_0.25_96": ["MobileNetV1-0.25"],
    "googlenet": ["Inception_V1", "Inception v1"],
    "mnasnet": ["MnasNet_1.0_224"],
    "resnet8": ["ResNet-8"],
    "autoencoder": ["FC-AutoEncoder"],
    "nasnet_mobile": ["NASNet mobile"],
    "nasnet_large": ["NASNet large"],
    "ssd_mobilenet_v1_0.75": ["SSD MobileNet v1 0.75 depth"],
    "squeezenet": ["SqueezeNet1.1"],
    "proxylessnasnet": ["proxyless"],
}


def main() -> None:
    base = table_nets()
    nets = {name: (layers, "layer table") for name, layers in base.items()}
    nets |= {name: (layers, "reference model written out") for name, layers in tiny_nets().items()}
    for width in (0.25, 0.5, 0.75, 1.0):
        for size in (128, 160, 192, 224):
            if (width, size) != (1.0, 224):
                nets[f"mobilenet_v1_{width}_{size}"] = (mobilenet_v1(width, size), "reference model written out")
    for width, size in ((0.5, 224), (0.75, 224), (1.0, 96), (1.0, 128), (1.0, 160), (1.0, 192), (1.3, 224)):
        nets[f"mnasnet_{width:.2f}_{size}" if width < 1 else f"mnasnet_{width}_{size}"] = (
            scaled(base["mnasnet"], width, size / 224),
            "layer table scaled in width and size",
        )
    rows = [(n, terms_of(ls), sum(x.weights for x in ls), sum(x.macs for x in ls), o) for n, (ls, o) in nets.items()]
    for name, (relative, mmac, layers, params) in STAND_INS.items():
        total = sum(x.macs for x in base[relative])
        terms = terms_of(base[relative]) * (mmac * 1e6 / total)
        terms[ACTIVATIONS] = terms_of(base[relative])[ACTIVATIONS] * (mmac * 1e6 / total) ** 0.75
        terms[LAYERS] = layers
        rows.append((name, terms, params * 1e6, mmac * 1e6, f"stand-in: {relative} scaled to published MACs"))
    with (DATA / "published_nets.csv").open("w", newline="") as file:
        file.write("# Written by benchmarks/device_model/nets.py; see there for the origin of each net.\n")
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["name", "aliases", "macs", "params", *TERMS, "origin"])
        for name, terms, params, macs, origin in sorted(rows, key=lambda row: row[0]):
            out.writerow(
                [name, "|".join(ALIASES.get(name, [])), int(macs), int(params), *(f"{x:.6g}" for x in terms), origin]
            )
    print(f"{len(rows)} nets")


if __name__ == "__main__":
    main()
