"""Write fedlite/devices/data/published_nets.csv: the terms of every network that the measurement collection names.

    python benchmarks/device_model/nets.py

Exact for the 15 nets of the ncnn benchmark (layer tables made from the .param graphs of Tencent/ncnn@a4d2ea1d), the
nets written out in `drawn_nets.py` and the networks that `traced_nets.py` traced. A net without any of these is a
stand-in: the op mix of its relative, scaled to the published multiply-accumulates; only the fitted net offset makes
such a net trustworthy.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from drawn_nets import drawn_nets, make

from fedlite.devices.features import ACTIVATIONS, CALLS, LAYERS, TERMS, layer_terms
from fedlite.devices.published import identity

if TYPE_CHECKING:
    from fedlite.devices.workload import Layer

TRACED = Path(__file__).parent / "data" / "traced_nets.csv"
DATA = Path(__file__).resolve().parents[2] / "fedlite" / "devices" / "data"


def table_nets() -> dict[str, list[Layer]]:
    nets: dict[str, list[Layer]] = defaultdict(list)
    with (DATA / "workload_layers.csv").open() as file:
        for r in csv.DictReader(line for line in file if not line.startswith("#")):
            numbers = [int(r[k] or 0) for k in ("kernel", "stride", "in_channels", "out_channels", "weights", "macs")]
            nets[r["model"]].append(make(r["type"], *numbers, int(r["input_elements"]), int(r["output_elements"])))
    return dict(nets)


def terms_of(layers: list[Layer]) -> np.ndarray:
    terms = np.sum([layer_terms(layer) for layer in layers], axis=0)
    terms[CALLS] = 1.0
    return terms


# name -> (relative, published MMAC, weighted layers, params in millions, side); MACs as in the collections'
# macs_millions column where they have them, else (marked ~) from the usual reference implementations, unverified.
STAND_INS = {
    "inception_v2": ("googlenet", 2000, 70, 11.2, 224),
    "nasnet_mobile": ("efficientnet_b0", 564, 196, 5.3, 224),
    "resnet_v2_101": ("resnet101", 17600, 105, 44.6, 299),  # ~
    "resnet50_v2": ("resnet50", 3490, 54, 25.6, 224),
    "ssd_mobilenet_v1_0.75": ("mobilenet", 700, 47, 4.6, 300),  # ~
    "ssd_mobilenet_v2": ("mobilenet_v2", 800, 75, 6.1, 300),  # ~
    "ssdlite_320_mobilenet_v3_large": ("mobilenet_v3_large", 580, 90, 3.44, 320),
    "ssd_mobilenet_v3_large": ("mobilenet_v3_large", 510, 90, 3.2, 320),  # ~
    "mcunet-vww0": ("mobilenet_v2", 6.0, 45, 0.37, 64),
    "mcunet-vww1": ("mobilenet_v2", 11.6, 45, 0.43, 80),
    "mcunet-vww2": ("mobilenet_v2", 55.8, 45, 0.64, 144),
    "mcunet-in0": ("mobilenet_v2", 6.4, 45, 0.75, 48),
    "mcunet-in1": ("mobilenet_v2", 12.8, 45, 0.64, 96),
    "mcunet-in2": ("mobilenet_v2", 67.3, 54, 0.73, 160),
    "mcunet-in3": ("mobilenet_v2", 81.8, 54, 0.74, 176),
    "mcunet-in4": ("mobilenet_v2", 125.9, 54, 1.73, 160),
    "proxyless-w0.3-r176": ("proxylessnasnet", 38.3, 62, 0.75, 176),
    "esnet_0.25": ("shufflenet_v2", 30.85, 60, 2.83, 224),
    "esnet_0.5": ("shufflenet_v2", 67.31, 60, 3.25, 224),
    "esnet_0.75": ("shufflenet_v2", 123.74, 60, 3.87, 224),
    "esnet": ("shufflenet_v2", 197.33, 60, 4.64, 224),
    "shufflenet_v2_0.25": ("shufflenet_v2_0.5", 18.95, 56, 0.61, 224),
    "shufflenet_v2_0.33": ("shufflenet_v2_0.5", 24.04, 56, 0.65, 224),
    "yolo11n": ("mobilenet_v2", 3250, 90, 2.6, 640),
    "yolo11s": ("resnet18", 10750, 90, 9.4, 640),
    "yolo11m": ("resnet18", 34000, 120, 20.1, 640),
    "yolo11l": ("resnet18", 43450, 170, 25.3, 640),
    "yolo11x": ("resnet18", 97450, 170, 56.9, 640),
    "yolov8n": ("resnet18", 4350, 64, 3.2, 640),
    "yolov8s": ("resnet18", 14300, 64, 11.2, 640),
    "yolov8m": ("resnet18", 39450, 84, 25.9, 640),
    "yolov5n": ("resnet18", 2250, 60, 1.9, 640),  # ~
    "yolov5s": ("resnet18", 8250, 60, 7.2, 640),  # ~
    "yolov7tiny": ("resnet18", 6600, 58, 6.2, 640),
    "yolov10n": ("mobilenet_v2", 3350, 100, 2.3, 640),  # ~
    "yolov6n": ("resnet18", 5570, 60, 4.7, 640),  # ~
    "yoloxnano": ("mobilenet_v2", 540, 90, 0.91, 416),
    "yoloxtiny": ("resnet18", 3225, 90, 5.06, 416),
    "yoloxs": ("resnet18", 13400, 90, 8.97, 640),
    "yolov9comp": ("resnet18", 51050, 150, 25.3, 640),
    "yolofastestv2": ("shufflenet_v2", 106, 70, 0.25, 352),
    "yoloxnano0.5/0.4": ("mobilenet_v2", 1700, 120, 2.3, 416),  # ~
    "yolov2": ("darknet", 14700, 23, 50.7, 416),  # ~
    "yolov3tiny": ("darknet", 2780, 13, 8.8, 416),  # ~
    "yolov4tiny": ("darknet", 3450, 21, 6.1, 416),  # ~
    "yolov4full": ("darknet", 64200, 110, 64.4, 608),  # ~
    "nanodet": ("shufflenet_v2", 720, 80, 0.95, 320),
    "nanodetplusm": ("shufflenet_v2", 1520, 90, 1.17, 416),  # ~
    "picodet": ("shufflenet_v2", 730, 90, 0.99, 320),  # ~
    "deeplab_v3": ("mobilenet_v2", 700, 70, 2.1, 257),  # ~
    "posenet": ("mobilenet", 450, 40, 3.3, 257),  # ~
    "movenet": ("mobilenet_v2", 270, 90, 2.3, 192),  # ~
    "humanseg": ("mobilenet_v2", 300, 70, 1.9, 192),  # ~
    "pp_humanseg": ("mobilenet_v2", 90, 70, 1.9, 192),  # ~
    "mobilefacenet_fer": ("mobilenet_v2", 220, 50, 0.99, 112),  # ~
    "sface": ("mobilenet_v2", 600, 50, 9.0, 150),  # ~
    "yunet_face_det": ("mobilenet_v2", 12, 40, 0.075, 139),  # ~
    "youtureid": ("resnet50", 2600, 54, 24.0, 181),  # ~
    "mediapipe_handpose": ("mobilenet_v2", 290, 60, 1.0, 224),  # ~
    "yolo26n": ("mobilenet_v2", 2700, 90, 2.4, 640),  # ~
    "yolo26s": ("resnet18", 10350, 90, 9.5, 640),  # ~
    "yolo26m": ("resnet18", 34100, 120, 20.4, 640),  # ~
    "yolo26l": ("resnet18", 43200, 170, 24.8, 640),  # ~
    "yolo26x": ("resnet18", 96950, 170, 55.7, 640),  # ~
    "style_transfer_candy": ("vgg16", 60000, 16, 1.7, 640),  # ~
    "ssd_mobilenet_v1_0.25": ("mobilenet_v1_0.25", 80, 47, 0.5, 224),  # ~
    "ssd_mobilenet_v2_0.35_fpn-lite": ("mobilenet_v2_0.35", 300, 80, 1.0, 224),  # ~
    "resnet8_hybrid": ("ds-cnn", 7.9, 30, 0.1, 32),  # counted from its reference code; half of it is binary
    "1d_ds-cnn_streaming_wakeword": ("ds-cnn", 0.5, 8, 0.03, 0),  # ~
    "person_detect_v2": ("mobilenet_v1_0.25", 7.2, 28, 0.21, 96),
}

ALIASES = {
    "mobilenet": ["mobilenetv1"],
    "googlenet": ["Inception_V1", "Inception v1"],
    "autoencoder": ["FC-AutoEncoder"],
    "mobilenet_v1_0.25_96": ["vww"],
    "nasnet_mobile": ["NASNet mobile"],
    "ssd_mobilenet_v1_0.75": ["SSD MobileNet v1 0.75 depth"],
    "ssd_mobilenet_v2": ["Mobilenet V2 SSD COCO", "SSD Mobilenet V2 COCO"],
    "proxylessnasnet": ["proxyless"],
    "yolo11n": ["YOLOv11-Detection"],
    "yolov8n": ["YOLOv8-Detection", "YoloV8 nano"],
    "yolov8s": ["YoloV8 small"],
    "yolov10n": ["YOLOv10-Detection"],
    "yolov6n": ["Yolo-v6", "YoloV6 nano"],
    "yolov7tiny": ["Yolo-v7", "YoloV7 tiny"],
    "yoloxs": ["Yolo-X", "YoloX small"],
    "regnet_x_3_2gf": ["RegNet"],
    "regnet_y_800mf": ["RegNet-Y-800MF"],
    "r3d_18": ["ResNet-3D"],
    "mc3_18": ["ResNet-Mixed-Convolution"],
    "r2plus1d_18": ["ResNet-2Plus1D"],
    "vit_b_16": ["VIT", "vit_base_patch16"],
    "vit_b_32": ["CLIP_VIT_BASE_PATCH32_IMAGE", "CLIP_VIT_BASE_PATCH32"],
    "sequencer2d_s": ["Sequencer2D"],
    "efficientformer_l1": ["EfficientFormer"],
    "densenet121": ["DenseNet"],
    "nanodetplusm": ["NanoDet Plus"],
    "picodet": ["PP-PicoDet"],
    "yolov3tiny": ["YoloV3 tiny"],
    "yolov4tiny": ["YoloV4 tiny"],
    "yolov4full": ["YoloV4 full"],
    "yoloxnano": ["YoloX nano", "st_yolo_x_nano 0.33/0.25"],
    "yoloxnano0.5/0.4": ["st_yolo_x_nano 0.5/0.4"],
    "yoloxtiny": ["YoloX tiny"],
    "resnet8_hybrid": ["ST ResNet 8 Hybrid v1", "ST ResNet 8 Hybrid v2", "ST ResNet 8 Hybrid v3"],
    "dla102x": ["DLA-102-X"],
    "mnasnet_0.5": ["MNASNet05"],
    "mobilenet_v3_large_minimalistic": ["MobileNetV3 Large minimalistic"],
    "ds-cnn": ["DS-CNN (Speech Commands)"],
    "resnet8": ["ResNet v1 8", "ResNet-8 (CIFAR-10)"],
}


def read_traced():
    """Return {name: (terms, macs, params, side)} of the networks that `traced_nets.py` counted."""
    with TRACED.open() as file:
        return {
            row["name"]: (
                np.array([float(row.get(term) or 1.0) for term in TERMS]),
                float(row["macs"]), float(row["params"]), float(row["side"]),
            )
            for row in csv.DictReader(line for line in file if not line.startswith("#"))
        }  # fmt: skip


SIDES = {"squeezenet": 227, "alexnet": 227}
"""Of layer tables, where the input is not 224 pixels wide."""


def main() -> None:
    drawn = {name: (SIDES.get(name, 224), layers, "layer table") for name, layers in table_nets().items()}
    drawn |= {name: (*net, "reference model written out") for name, net in drawn_nets().items()}
    rows = {}
    for name, (side, layers, origin) in drawn.items():
        macs, params = sum(x.macs for x in layers), sum(x.weights for x in layers)
        rows[name] = (terms_of(layers), macs, params, side, 1, origin)
    traced = read_traced()
    for name, (terms, macs, params, side) in traced.items():
        if identity(name)[:2] not in {identity(known)[:2] for known in rows}:
            rows[name] = (terms, macs, params, side, 1, "traced from torchvision or timm")
    rows["darknet"] = (*rows["resnet18"][:4], 0, "stand-in: resnet18")
    for name, (relative, mmac, layers, params, side) in STAND_INS.items():
        terms, total = rows[relative][0], rows[relative][1]
        scaled = terms * (mmac * 1e6 / total)
        scaled[ACTIVATIONS] = terms[ACTIVATIONS] * (mmac * 1e6 / total) ** 0.75
        scaled[LAYERS], scaled[CALLS] = layers, 1.0
        rows[name] = (scaled, mmac * 1e6, params * 1e6, side, 0, f"stand-in: {relative} scaled to published MACs")
    with (DATA / "published_nets.csv").open("w", newline="") as file:
        file.write("# Written by benchmarks/device_model/nets.py; see there for the origin of each net.\n")
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["name", "aliases", "side", "macs", "params", *TERMS, "exact", "origin"])
        for name, (terms, macs, params, side, exact, origin) in sorted(rows.items()):
            numbers = [f"{x:.6g}" for x in terms]
            out.writerow([name, "|".join(ALIASES.get(name, [])), side, int(macs), int(params), *numbers, exact, origin])
    print(f"{len(rows)} nets")


if __name__ == "__main__":
    main()
