"""Write data/traced_nets.csv: the terms of public networks, traced layer by layer from their reference code.

    pip install torchvision timm
    python benchmarks/device_model/traced_nets.py

Only this script needs the two packages: its output is committed, and `nets.py` reads that. Weights are never loaded;
the layers of a network without weights are those of the network with them. MACs and layers are counted by the tracer
that users' own models go through (`fedlite.learning.tracing`).
"""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

import timm
import torch
from torch import nn
from torchvision import models as tv
from torchvision.models.mobilenetv3 import MobileNetV3, _mobilenet_v3_conf

from fedlite.devices.features import TERMS, workload_terms
from fedlite.devices.workload import Workload
from fedlite.learning.tracing import _forward, _layers

FILE = Path(__file__).parent / "data" / "traced_nets.csv"
VIDEO = (3, 16, 112, 112)

TORCHVISION = {
    "vgg11": 224, "vgg13": 224, "vgg19": 224, "resnet34": 224, "resnet101": 224, "resnet152": 224, "densenet121": 224,
    "densenet161": 224, "densenet169": 224, "densenet201": 224, "inception_v3": 299, "googlenet": 224,
    "squeezenet1_0": 224, "resnext50_32x4d": 224, "resnext101_32x8d": 224, "wide_resnet50_2": 224,
    "convnext_tiny": 224, "convnext_small": 224, "convnext_base": 224, "regnet_x_3_2gf": 224, "regnet_y_400mf": 224,
    "regnet_y_800mf": 224, "vit_b_16": 224, "vit_b_32": 224, "swin_t": 224, "swin_s": 224, "swin_b": 224,
    "efficientnet_v2_s": 384, "shufflenet_v2_x0_5": 224, "shufflenet_v2_x1_0": 224, "shufflenet_v2_x1_5": 224,
    "shufflenet_v2_x2_0": 224, "mnasnet0_5": 224, "mnasnet0_75": 224, "mnasnet1_3": 224,
}  # fmt: skip
"""Name in torchvision -> side of the input image."""
WITHOUT_HEAD = {
    "deeplabv3_mobilenet_v3_large": 224, "deeplabv3_resnet50": 224, "deeplabv3_resnet101": 224, "fcn_resnet50": 224,
    "fcn_resnet101": 224, "lraspp_mobilenet_v3_large": 224,
}  # fmt: skip
"""Segmentation nets, which return a dictionary."""
CLIPS = ("r3d_18", "mc3_18", "r2plus1d_18")
EFFICIENTNETS = {"b0": 224, "b1": 240, "b2": 288, "b3": 300, "b4": 380, "b5": 456}
TIMM = {
    "ghostnet_050": 224, "ghostnet_100": 224, "ghostnet_130": 224, "lcnet_050": 224, "lcnet_100": 224,
    "tf_mobilenetv3_large_minimal_100": 224, "tf_mobilenetv3_small_minimal_100": 224, "resnest14d": 224,
    "resnest26d": 224, "resnest50d": 224, "resnest101e": 256, "dla102x": 224, "xception71": 299, "inception_v4": 299,
    "inception_resnet_v2": 299, "hrnet_w18": 224, "hrnet_w32": 224, "sequencer2d_s": 224, "efficientformer_l1": 224,
    "mobileone_s0": 224, "mobileone_s1": 224, "mobileone_s2": 224, "mobileone_s3": 224, "mobileone_s4": 224,
    "fastvit_t8": 256, "fastvit_sa12": 256, "tf_efficientnet_lite0": 224, "tf_efficientnet_lite1": 240,
    "tf_efficientnet_lite2": 260, "tf_efficientnet_lite3": 300, "tf_efficientnet_lite4": 380, "nasnetalarge": 331,
    "mobilenetv4_conv_small": 224, "mobilenetv4_conv_medium": 256, "vit_tiny_patch16_224": 224, "levit_128s": 224,
    "vit_small_patch16_224": 224, "mobilevit_s": 256, "mobilevit_xs": 256, "tinynet_a": 192,
}  # fmt: skip
NAMES = {
    "squeezenet1_0": "squeezenet_v1.0", "resnext50_32x4d": "resnext50", "resnext101_32x8d": "resnext101",
    "wide_resnet50_2": "wideresnet50", "tf_mobilenetv3_large_minimal_100": "mobilenet_v3_large_minimalistic",
    "tf_mobilenetv3_small_minimal_100": "mobilenet_v3_small_minimalistic", "ghostnet_050": "ghostnet_0.5",
    "ghostnet_100": "ghostnet", "ghostnet_130": "ghostnet_1.3", "lcnet_050": "lcnet_0.5", "lcnet_100": "lcnet",
    "shufflenet_v2_x0_5": "shufflenet_v2_0.5", "shufflenet_v2_x1_0": "shufflenet_v2",
    "shufflenet_v2_x1_5": "shufflenet_v2_1.5", "shufflenet_v2_x2_0": "shufflenet_v2_2.0", "resnest14d": "resnest14",
    "mnasnet0_5": "mnasnet_0.5", "mnasnet0_75": "mnasnet_0.75", "mnasnet1_3": "mnasnet_1.3",
    "resnest26d": "resnest26", "resnest50d": "resnest50", "resnest101e": "resnest101", "dla102x": "dla102x",
    "mobilenetv4_conv_small": "mobilenet_v4_small", "mobilenetv4_conv_medium": "mobilenet_v4_medium",
    "nasnetalarge": "nasnet_large", "googlenet": "googlenet_torchvision",
}  # fmt: skip
"""Reference name -> our name where they differ."""


class Output(nn.Module):
    """A network whose dictionary, tuple or data class is reduced to its main tensor."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        out = self.inner(batch)
        return out["out"] if isinstance(out, dict) else out[0] if isinstance(out, tuple) else out


def cases():
    """Yield (our name, model, input shape)."""
    for name, side in TORCHVISION.items():
        extra = {"aux_logits": False, "init_weights": False} if name in ("inception_v3", "googlenet") else {}
        yield NAMES.get(name, name), tv.get_model(name, weights=None, **extra), (3, side, side)
    for name, side in WITHOUT_HEAD.items():
        yield name, Output(tv.get_model(name, weights=None, weights_backbone=None)), (3, side, side)
    for name in CLIPS:
        yield name, tv.get_model(name, weights=None), VIDEO
    for size, side in EFFICIENTNETS.items():
        yield f"efficientnet_{size}", tv.get_model(f"efficientnet_{size}", weights=None), (3, side, side)
    for width in (0.25, 0.35, 0.5, 0.75, 1.3, 1.4, 1.5, 2.0):
        yield f"mobilenet_v2_{width}", tv.mobilenet_v2(width_mult=width), (3, 224, 224)
    for arch in ("large", "small"):
        for width in (0.35, 0.5, 0.75, 1.0, 1.25):
            setting, last = _mobilenet_v3_conf(f"mobilenet_v3_{arch}", width_mult=width)
            name = f"mobilenet_v3_{arch}" + ("" if width == 1.0 else f"_{width}")
            yield name, MobileNetV3(setting, last), (3, 224, 224)
    for name, side in TIMM.items():
        yield NAMES.get(name, name.replace("tf_", "")), timm.create_model(name, pretrained=False), (3, side, side)


def main() -> None:
    warnings.simplefilter("ignore")
    with FILE.open("w", newline="") as file:
        file.write(
            "# Written by benchmarks/device_model/traced_nets.py torchvision (BSD-3-Clause), timm (Apache-2.0).\n"
        )
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["name", "side", "macs", "params", *TERMS])
        for name, model, shape in cases():
            layers = _layers(_forward(model, torch.zeros((1, *shape))), {})  # what autograd saves is not asked for
            work = Workload(name, shape, tuple(layers), 0)
            out.writerow([name, shape[-1], work.macs, work.params, *(f"{x:.6g}" for x in workload_terms(work))])
            print(name, f"{work.macs / 1e6:.0f} MMAC {work.params / 1e6:.2f} M", flush=True)


if __name__ == "__main__":
    main()
