"""How fast each codec encodes and decodes: megabytes of float32 per second of one core.

    OMP_NUM_THREADS=1 python benchmarks/wire/speed.py

Writes speed.json and speed.md beside this file. One update of 1,059,762 values in eight tensors, heavy-tailed
(Student's t with 3 degrees of freedom), from arrays to a sealed packet and back; the codecs take turns, and the least
processor time of all turns counts, for another process only ever adds to it.
"""

from __future__ import annotations

import json
import os
import platform
import time
from pathlib import Path

import numpy as np

from fedlite.rng import stream
from fedlite.wire import LOSSLESS, decode, encode

HERE = Path(__file__).resolve().parent
TURNS = 15
SHAPES = [(32, 3, 3, 3), (32,), (64, 32, 3, 3), (64,), (320, 3200), (320,), (50, 320), (50,)]
PACKED, ENTROPY = 200.0, 50.0
"""Megabytes per second aimed at: packed integers, and whatever has an entropy stage."""
FREE = ("fp32", "fp16", "bf16", "kmeans", "lowrank")
"""Number formats that are no packed integers of a fixed grid: nothing is aimed at without an entropy stage."""
CODECS = [
    "fp32",
    "fp16",
    "bf16",
    "int8",
    "int4",
    "int2",
    "int4:64",
    "rtn8",
    "rtn4",
    "rtn2",
    "sign",
    "drive",
    "drive:biased",
    "eden:2",
    "eden:4",
    "kmeans:16",
    "kmeans:256",
    "lowrank:2",
    "topk:0.1",
    "topk:0.1+fp16",
    "topk:0.1+int8",
    "topk:0.01+fp16",
    "randk:0.1",
    "randk:0.1+int8",
    "threshold:2+fp16",
    "nonzero+int8",
    "fp32+zstd",
    "int8+zstd",
    "int4+zstd",
    "topk:0.1+int8+zstd",
    "fp32+range",
    "bf16+range",
    "int8+range",
    "int4+range",
    "int2+range",
    "rtn8+range",
    "rtn4+range",
    "sign+range",
    "drive+range",
    "topk:0.1+int8+range",
    "kmeans:16+range",
]


def update():
    rng = stream(0, "speed")
    return [(0.01 * rng.standard_t(3, size=shape)).astype(np.float32) for shape in SHAPES]


def seconds(run):
    begun = time.process_time()
    result = run()
    return time.process_time() - begun, result


def measured(arrays):
    least = {codec: [float("inf"), float("inf"), 0] for codec in CODECS}
    for _ in range(TURNS):
        for codec in CODECS:
            encoding, packet = seconds(lambda codec=codec: encode(arrays, codec.split("+"), stream(1, "draws")))
            decoding, _ = seconds(lambda packet=packet: decode(packet, like=arrays))
            best = least[codec]
            least[codec] = [min(best[0], encoding), min(best[1], decoding), len(packet)]
    return least


def aim(codec):
    if codec.rpartition("+")[2] in LOSSLESS:
        return ENTROPY
    number = codec.split("+")[-1].partition(":")[0]
    return 0.0 if number in FREE or ("+" not in codec and number in ("topk", "randk")) else PACKED


def main():
    arrays = update()
    megabytes = 4e-6 * sum(array.size for array in arrays)
    rows = []
    for codec, (encoding, decoding, length) in measured(arrays).items():
        rates = [round(megabytes / taken) for taken in (encoding, decoding)]
        rows.append({"codec": codec, "encode": rates[0], "decode": rates[1], "bytes": length, "aim": aim(codec)})
    about = {"processor": _processor(), "python": platform.python_version(), "numpy": np.__version__, "turns": TURNS}
    (HERE / "speed.json").write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    (HERE / "speed.md").write_text(page(about, rows), encoding="utf-8")


def page(about, rows):
    lines = [
        "# Speed of the codecs",
        "",
        "`OMP_NUM_THREADS=1 python benchmarks/wire/speed.py`: megabytes of float32 per second of one core, from arrays",
        f"to a sealed packet and back, least processor time of {about['turns']} turns. {about['processor']}; Python",
        f"{about['python']}, numpy {about['numpy']}, while other work kept the machine busy.",
        f"Aimed at: {PACKED:.0f} for packed integers, {ENTROPY:.0f} with an entropy stage, both ways.",
        "",
        "| codec | encode | decode | bytes | aimed at | reached |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        reached = "" if not row["aim"] else "yes" if min(row["encode"], row["decode"]) >= row["aim"] else "**no**"
        aimed = f"{row['aim']:.0f}" if row["aim"] else "-"
        cells = (row["codec"], row["encode"], row["decode"], f"{row['bytes']:,}".replace(",", " "), aimed, reached)
        lines.append("| `{}` | {} | {} | {} | {} | {} |".format(*cells))
    return "\n".join(lines) + "\n"


def _processor():
    names = [line for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if "model name" in line]
    return f"{names[0].partition(': ')[2]}, {os.cpu_count()} cores" if names else platform.processor()


if __name__ == "__main__":
    main()
