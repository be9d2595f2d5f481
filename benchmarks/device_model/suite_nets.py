"""Write data/suite_nets.csv: the networks of the MNN training suite, as that suite builds them.

    python benchmarks/device_model/suite_nets.py

They share names with famous networks and are others: AlexNet has ungrouped convolutions and one hidden linear layer
(30 M parameters, not 61), SqueezeNet is version 1.0, GoogLeNet has neither normalisation nor activation functions, and
all but MobileNetV2 end in ten classes. Layer sizes are read from tools/train/source/models of
UbiquitousLearning/Benchmark-On-Device-Training@1b3cfeb577.
"""

from __future__ import annotations

import csv
from pathlib import Path

import torch
from torch import nn

from fedlite.devices import memory
from fedlite.devices.features import TERMS
from fedlite.devices.training import per_sample_terms
from fedlite.learning.models import build
from fedlite.learning.tracing import trace

FILE = Path(__file__).parent / "data" / "suite_nets.csv"
SHAPE = (3, 224, 224)
CLASSES = 10


class Beside(nn.Module):
    """Branches of one input, concatenated."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(batch) for branch in self.branches], 1)


def conv(into: int, out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(into, out, kernel, stride, padding=kernel // 2)


def pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, 2, padding=1)


def alexnet() -> nn.Module:
    smaller = nn.MaxPool2d(3, 2)
    return nn.Sequential(
        nn.Conv2d(3, 96, 11, 4), nn.ReLU(), smaller,
        conv(96, 256, 5), nn.ReLU(), smaller,
        conv(256, 384, 3), nn.ReLU(), conv(384, 384, 3), nn.ReLU(), conv(384, 256, 3), smaller,
        nn.Flatten(), nn.Linear(256 * 5 * 5, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, CLASSES),
    )  # fmt: skip


def fire(into: int, squeeze: int, expand: int) -> nn.Module:
    return nn.Sequential(conv(into, squeeze, 1), Beside(conv(squeeze, expand, 1), conv(squeeze, expand, 3)))


def squeezenet() -> nn.Module:
    return nn.Sequential(
        conv(3, 96, 7, 2), pool(), fire(96, 16, 64), fire(128, 16, 64), fire(128, 32, 128), pool(),
        fire(256, 32, 128), fire(256, 48, 192), fire(384, 48, 192), fire(384, 64, 256), pool(),
        fire(512, 64, 256), conv(512, CLASSES, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip


def inception(into: int, one: int, three: tuple[int, int], five: tuple[int, int], pooled: int) -> nn.Module:
    return Beside(
        conv(into, one, 1),
        nn.Sequential(conv(into, three[0], 1), conv(three[0], three[1], 3)),
        nn.Sequential(conv(into, five[0], 1), conv(five[0], five[1], 5)),
        nn.Sequential(nn.MaxPool2d(3, 1, padding=1), conv(into, pooled, 1)),
    )


def googlenet() -> nn.Module:
    return nn.Sequential(
        conv(3, 64, 7, 2), pool(), conv(64, 192, 3), pool(),
        inception(192, 64, (96, 128), (16, 32), 32), inception(256, 128, (128, 192), (32, 96), 64), pool(),
        inception(480, 192, (96, 208), (16, 48), 64), inception(512, 160, (112, 224), (24, 64), 64),
        inception(512, 128, (128, 256), (24, 64), 64), inception(512, 112, (144, 288), (32, 64), 64),
        inception(528, 256, (160, 320), (32, 128), 128), pool(),
        inception(832, 256, (160, 320), (32, 128), 128), inception(832, 384, (192, 384), (48, 128), 128),
        nn.AvgPool2d(7), conv(1024, CLASSES, 1), nn.Flatten(),
    )  # fmt: skip


def nets() -> dict[str, nn.Module]:
    """Return the suite's networks by its names (LeNet-5 is left out: the suite's differs from anybody's)."""
    return {
        "AlexNet": alexnet(),
        "GoogLeNet": googlenet(),
        "SqueezeNet": squeezenet(),
        "MobileNetV2 (4 classes)": build("mobilenet-v2", input_shape=SHAPE, num_classes=4, seed=0),
    }


def main() -> None:
    with FILE.open("w", newline="") as file:
        file.write("# Written by benchmarks/device_model/suite_nets.py: networks of the MNN training suite.\n")
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["net", "macs", "params", "linear_params", "weighted_layers", "moving_bytes", *TERMS])
        for name, model in nets().items():
            work = trace(model, SHAPE, name=name)
            layers = sum(layer.params > 0 for layer in work.layers)
            linear = memory.linear_params(work)
            terms = (f"{term:.6g}" for term in per_sample_terms(work))
            out.writerow([name, work.macs, work.params, linear, layers, round(memory.moving_bytes(work)), *terms])


if __name__ == "__main__":
    main()
