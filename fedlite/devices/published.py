"""Networks that benchmark tables name without giving a graph: their terms, found by name in any of its spellings.

`data/published_nets.csv` is written by `benchmarks/device_model/nets.py` from published layer tables and traced
reference code (`exact`), or, where there is neither, from a relative scaled to the published multiply-accumulates; the
column `origin` says which. Another input size scales everything but the fully connected weights by the area; a width
that the table lacks scales its nearest relative.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from fedlite.devices.features import ACTIVATIONS, CALLS, DEPTHWISE, LAYERS, LINEAR, TERMS

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Net:
    """A network of the literature."""

    name: str
    family: str
    """Name without width and size, such as "mobilenetv2"."""
    width: float
    side: float
    """Side of the square input in pixels, 0 where the input is no image."""
    terms: NDArray[np.float64]
    params: float
    macs: float
    exact: bool
    """Whether the terms were counted layer by layer."""
    origin: str

    def at(self, side: float) -> Net:
        """Return the network on images of another side."""
        if not side or not self.side or abs(side / self.side - 1.0) < _SAME_SIDE:
            return self
        return self._scaled(self.width, side, (side / self.side) ** 2)

    def with_width(self, width: float) -> Net:
        """Return the network with its channels scaled to another width multiplier."""
        return self._scaled(width, self.side, 1.0)

    def _scaled(self, width: float, side: float, area: float) -> Net:
        channels = width / self.width
        factors = np.full(len(TERMS), channels**2 * area)
        factors[DEPTHWISE] = factors[ACTIVATIONS] = channels * area
        factors[LINEAR] = channels
        factors[[LAYERS, CALLS]] = 1.0
        macs = self.macs * channels**2 * area
        return replace(
            self, width=width, side=side, terms=self.terms * factors, macs=macs, params=self.params * channels**2,
            exact=self.exact and channels == 1.0,
        )  # fmt: skip


_SAME_SIDE = 0.01
_BRACKETS = re.compile(r"\(.*?\)")
_PUNCTUATION = re.compile(r"[^a-z0-9.]+")
_UNDERSCORED = re.compile(r"[ _-](?:x(\d)|(0))_(\d+)(?!\d)")
_WIDTH = re.compile(r"(?<![\d.])(\d\.\d+)x?(?![\d.])")
_SIDE = re.compile(r"(?<=[ _-])(96|1[0-9]\d|2[0-9]\d|3[0-9]\d|4[0-9]\d|5[0-9]\d|6[0-9]\d)(?:x\d+)?$")
_AREA = re.compile(r"\b(\d{2,4})x(\d{2,4})\b")
_DECORATION = re.compile(
    r"\b(keras|pytorch|mxnet|torchvision|imagenet|coco|tfs|fft|image|st|detection|classification|per channel|"
    r"per tensor|s8 v1|cifar ?10 transfer)\b"
)
_VERSIONED = ("squeezenet", "inceptionv", "yolo")
"""Families whose decimals are versions, not widths."""


def normalised(name: str) -> str:
    """Return a name without case, brackets and punctuation: "MobileNet_V1_1.0_224" -> "mobilenetv11.0224"."""
    return _PUNCTUATION.sub("", _BRACKETS.sub("", name.lower()))


@lru_cache(maxsize=8192)
def identity(name: str) -> tuple[str, float, float]:
    """Return (family, width multiplier, side of the input or 0) of a name in any spelling.

    >>> identity("MobileNetV2 0.35 128 (Keras)")
    ('mobilenetv2', 0.35, 128.0)
    """
    text = _UNDERSCORED.sub(lambda m: f" {m[1] or m[2]}.{m[3]}", _BRACKETS.sub(" ", name.lower()).strip())
    text = _DECORATION.sub(" ", text.replace("_", " ").replace("-", " ")).strip()
    area = _AREA.search(text)
    if area is not None:  # "YoloV8 640x640 nano"
        return _with_side(f"{text[: area.start()]} {text[area.end() :]}", float(area[1]))
    side = _SIDE.search(text)
    counts_layers = side is not None and int(side[1]) in _DEPTHS and _DEEP.search(text[: side.start()])
    if side is not None and not counts_layers:
        text = text[: side.start()].strip()
    else:
        side = None
    width = 1.0
    match = _WIDTH.search(text)
    compact = normalised(text)
    if match is not None and not compact.startswith(_VERSIONED):
        width = float(match[1])
        text = text[: match.start()] + " " + text[match.end() :]
    family = normalised(text)
    family = _SPELLINGS.get(family, family)
    return family, width, float(side[1]) if side else 0.0


def _with_side(text: str, side: float) -> tuple[str, float, float]:
    family, width, _ = identity(text)
    return family, width, side


_DEPTHS = (101, 102, 121, 152, 161, 169, 201)
"""Numbers in names that count layers where one of these families stands before them."""
_DEEP = re.compile(r"(resnet|resnext|densenet|dla|fcn|v2|regnet) ?$")

_SPELLINGS = {
    "mobilenet": "mobilenetv1", "resnetv250": "resnet50v2", "resnet50v1": "resnet50", "resnet101v1": "resnet101",
    "resnet152v1": "resnet152", "resnet18v1": "resnet18", "resnet34v1": "resnet34", "resnetv2101": "resnet101v2",
    "resnetv18": "resnet8", "resnetv132": "resnet32", "squeezenet": "squeezenet1.1", "squeezenetv1.0": "squeezenet1.0",
    "squeezenetv1.1": "squeezenet1.1", "inceptionv1": "googlenet", "vgg11bn": "vgg11", "vgg13bn": "vgg13",
    "vgg16bn": "vgg16", "vgg19bn": "vgg19", "shufflenetv2swish": "shufflenetv2",
    "efficientnetv2s": "efficientnetv2s", "vit": "vitb16",
    "shufflenetv2x": "shufflenetv2", "resnet50pp": "resnet50", "proxyless": "proxylessnasnet",
}  # fmt: skip


@cache
def _table() -> dict[tuple[str, float], Net]:
    text = (resources.files("fedlite.devices") / "data" / "published_nets.csv").read_text(encoding="utf-8")
    table: dict[tuple[str, float], Net] = {}
    for row in csv.DictReader(line for line in text.splitlines() if not line.startswith("#")):
        terms = np.array([float(row[term]) for term in TERMS])
        family, width, _ = identity(row["name"])
        net = Net(
            row["name"], family, width, float(row["side"]), terms, float(row["params"]), float(row["macs"]),
            row["exact"] == "1", row["origin"],
        )  # fmt: skip
        for alias in [row["name"], *row["aliases"].split("|")]:
            if alias:
                table.setdefault(identity(alias)[:2], net)
    return table


@lru_cache(maxsize=8192)
def find(name: str, side: float = 0.0) -> Net | None:
    """Return the network of that name on images of a side, or None if no table knows it.

    Parameters
    ----------
    name : str
        In any spelling; a size in it wins over `side`.
    side : float
        Side of the input in pixels; 0 for the network's own.
    """
    family, width, told = identity(name)
    net = _table().get((family, width))
    if net is None:
        relatives = [known for (other, _), known in sorted(_table().items()) if other == family and known.exact]
        if not relatives or not _WIDTHS[0] <= width <= _WIDTHS[1]:
            return None
        net = min(relatives, key=lambda known: abs(np.log(known.width / width))).with_width(width)
    return net.at(told or side)


def of_workload(name: str, macs: float, side: float) -> Net | None:
    """Return the published network that a traced model is: the same family and, within 10 %, the same work."""
    family = identity(name)[0]
    for (other, _), net in sorted(_table().items()):
        if other == family:
            scaled = net.at(side)
            if abs(macs / scaled.macs - 1.0) < _SAME_WORK:
                return scaled
    return None


_SAME_WORK = 0.1
_WIDTHS = (0.1, 4.0)
"""Width multipliers that a number in a name may stand for."""


def names() -> list[str]:
    """Return the names of all known networks."""
    return sorted({net.name for net in _table().values()})


_KINDS: tuple[tuple[str, str], ...] = (
    (
        r"vit|clip|former|transformer|bert|detr|sam2|wavlm|trocr|whisper|llama|segment.?anything|sequencer|swin",
        "vitb16",
    ),
    (
        (
            r"mobile|mediapipe|movenet|posenet|blaze|ghost|efficient|lite|lcnet|shuffle|nano|yunet|selfie|esnet|pico|tiny|"
            r"fd|depth|face|foot|gaze|lc "
        ),
        "mobilenetv2",
    ),
    (r"vgg|sr|esrgan|style|unet|super|quicksr|xlsr", "vgg16"),
)
"""Words of a network's name -> the relative whose mix of operators it is taken to have."""
_MACS_PER_PARAMETER = 120.0
"""Of a convolutional classifier at 224 pixels: 85 to 160 from MobileNetV2 to ResNet-50."""
_LAYERS_OF = {"vitb16": 100.0, "mobilenetv2": 60.0, "vgg16": 20.0, "resnet50": 60.0}


def identify(name: str, macs: float | None = None, params: float | None = None, side: float = 0.0) -> Net:
    """Return the network that a table's row names, or a stand-in for it.

    Parameters
    ----------
    name : str
        In any spelling.
    macs, params : float, optional
        What the row tells; a name whose usual variant differs in work gives way to the variant that fits.
    side : float
        Side of the input in pixels, 0 if not told.
    """
    net = find(name, side)
    if net is None:
        return _stand_in(name, macs, params, side)
    if macs is None or abs(macs / net.macs - 1.0) < _SAME_VARIANT:
        return net
    family = [known.at(side) for (other, _), known in sorted(_table().items()) if other == net.family]
    close = min(family, key=lambda known: abs(np.log(known.macs / macs)))
    if abs(macs / close.macs - 1.0) < _SAME_VARIANT:
        return close
    terms = net.terms * (macs / net.macs)
    terms[[LAYERS, CALLS]] = net.terms[[LAYERS, CALLS]]
    return replace(net, name=f"{net.name}*", terms=terms, macs=macs, exact=False)


_SAME_VARIANT = 0.25
"""Two counts of one network differ by so much: heads, biases and squeeze-excitation are counted or not."""


def _stand_in(name: str, macs: float | None, params: float | None, side: float) -> Net:
    """Return a network that nobody drew: its work, told or guessed, in the mix of operators its name suggests."""
    family, _, told = identity(name)
    side = told or side
    area = ((side or 224.0) / 224.0) ** 2
    work = macs or area * (_MACS_PER_PARAMETER * params if params else _USUAL_MACS)
    relative = next((kind for words, kind in _KINDS if re.search(words, name.lower())), "resnet50")
    base = _table()[relative, 1.0]
    terms = base.terms * (work / base.macs)
    terms[ACTIVATIONS] = base.terms[ACTIVATIONS] * (work / base.macs) ** 0.75
    terms[LAYERS] = min(_LAYERS_OF[relative], max(2.0, _LAYERS_OF[relative] * (work / 1e8) ** 0.25))
    terms[CALLS] = 1.0
    return Net(family, family, 1.0, side, terms, params or 0.0, work, exact=False, origin="stand-in")


_USUAL_MACS = 5e8
"""Of a mobile network at 224 pixels, where a row tells nothing but its input."""
