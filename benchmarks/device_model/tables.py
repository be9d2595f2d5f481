"""Print the tables of docs/device-model.md from results.json: devices, vendor families and networks left out.

python benchmarks/device_model/tables.py
"""

from __future__ import annotations

import json
from pathlib import Path

RESULTS = Path(__file__).parent / "results.json"
CPU, MCU, ACCELERATOR = "cpu", "mcu", "accelerator"
ROWS = (
    (CPU, "ncnn-fp32", "ncnn fp32"), (CPU, "ncnn-fp16", "ncnn fp16"), (CPU, "ncnn-int8", "ncnn int8"),
    (CPU, "tflite-fp32", "TFLite to 2021, fp32"), (CPU, "tflite-int8", "TFLite to 2021, int8"),
    (CPU, "xnnpack-fp32", "XNNPACK fp32"), (CPU, "xnnpack-int8", "XNNPACK int8"),
    (CPU, "paddle-lite-fp32", "Paddle-Lite fp32"), (CPU, "paddle-lite-int8", "Paddle-Lite int8"),
    (CPU, "onnxruntime-int8", "ONNX Runtime int8"), (CPU, "opencv-fp32", "OpenCV fp32"),
    (MCU, "mcu-latency", "MCU int8"), (MCU, "mcu-float-latency", "MCU fp32"),
    (ACCELERATOR, "gpu", "GPUs"), (ACCELERATOR, "apple-engine-latency", "Apple engine"),
    (ACCELERATOR, "npu-latency", "NPUs"),
    (CPU, "nets known by layers", "CPU, nets known by layers"), (CPU, "other nets", "CPU, other nets"),
    (MCU, "nets known by layers", "MCU, nets known by layers"), (MCU, "other nets", "MCU, other nets"),
)  # fmt: skip
"""Population, family in the results, name in the table."""
UNITS = ("device", "vendor_family")
FEWEST = 10
"""Points below which a line says nothing."""


def left_out_devices(results):
    """Yield the table of devices and vendor families left out, line by line."""
    for population, family, title in ROWS:
        devices, vendors = (results[population][f"leave_one_{what}_out"] for what in UNITS)
        for count in range(4):
            key = f"{family}, {count} anchors"
            if key not in devices or devices[key]["n"] < FEWEST:
                continue
            d, v = devices[key], vendors[key]
            drawn = devices[f"{family}, {count} drawn anchors"]["mape"] if count else "-"
            yield (
                f"| {title}, {count} | {d['n']} / {d['devices']} | {d['mape']} | {d['median']} "
                f"| {d['within_factor_2']} | {d['bands_hold']} | {drawn} "
                f"| {v['mape']} | {v['within_factor_2']} | {v['bands_hold']} |"
            )


def left_out_nets(results):
    """Yield the lines of the table of networks left out."""
    for population, family, title in ROWS:
        row = results[population]["leave_one_net_out"].get(f"{family}, 1 anchors")
        if row is not None and row["n"] >= FEWEST:
            held = round(row["bands_hold"])
            yield f"| {title} | {row['n']} | {row['mape']} | {row['median']} | {row['within_factor_2']} | {held} |"


def main():
    results = json.loads(RESULTS.read_text())
    print(
        "| family, anchors | points / devices | MAPE % | median % | within 2x % | in the 80 % band % "
        "| MAPE over draws % | vendors out: MAPE % | within 2x % | in band % |\n" + "|---" * 10 + "|"
    )
    print(*left_out_devices(results), sep="\n")
    print("\n| family | n | MAPE % | median % | within 2x % | in the band % |\n|---|---|---|---|---|---|")
    print(*left_out_nets(results), sep="\n")


if __name__ == "__main__":
    main()
