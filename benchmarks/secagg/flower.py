"""What a client sends and receives under Flower's own SecAgg+ and under fedlite's secure aggregation.

    python benchmarks/secagg/flower.py > benchmarks/secagg/flower.md

Flower's workflow runs unmodified (`flower_app`, on a fleet of one kind of phone), one round; its bytes are those of its
encoded messages, the model that goes down left out. fedlite's are those of a whole round of its protocol with as many
shares, the same threshold and 16 bits a number; Flower takes 22 bits in words of 64.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from fedlite.privacy.secagg.rehearsal import rehearse
from fedlite.privacy.secagg.terms import Terms
from fedlite.rng import stream

HERE = Path(__file__).resolve().parent
FLEET = """name: secagg-bytes
fleet:
  devices: {}
  mix: {{pixel-8: 1}}
  rules: {{charging: false, unmetered: false, idle: false}}
"""
ROWS = ((10, 10, 5, 100_000), (50, 15, 8, 100_000), (50, 25, 13, 100_000), (50, 50, 25, 100_000))


def flowers(clients: int, shares: int, threshold: int, length: int) -> tuple[float, float]:
    """Return the mean bytes that a client of Flower's sends, and receives beside the model, in a round."""
    told = f"shares={shares} threshold={threshold} length={length}"
    with tempfile.TemporaryDirectory() as folder:
        out, fleet = Path(folder) / "run", Path(folder) / "fleet.yaml"
        fleet.write_text(FLEET.format(clients), encoding="utf-8")
        command = [sys.executable, "-m", "fedlite", "app", str(HERE / "flower_app"), "--fleet", str(fleet)]
        options = ["--run-config", told, "--out", str(out), "--backend", "local"]
        subprocess.run([*command, *options], check=True, capture_output=True)
        jobs = pl.read_parquet(out / "clients.parquet").filter(pl.col("kind") == "train")
        sums = jobs.group_by("device").agg(pl.col("up_bytes", "down_bytes").sum())
        return float(sums["up_bytes"].mean()), float(sums["down_bytes"].mean()) - 4 * length


def ours(clients: int, shares: int, threshold: int, length: int) -> tuple[float, float]:
    """Return the same of fedlite's."""
    terms = Terms(0, clients, shares - 1, threshold, length, 16, 1.0)
    nothing = np.zeros(length, np.uint32)
    done = rehearse(terms, lambda index: nothing, lambda name: stream(0, "secagg", name))  # noqa: ARG005
    return float(done.up_bytes.sum(axis=0).mean()), float(done.down_bytes.sum(axis=0).mean())


print("# Bytes of Flower's SecAgg+ and of fedlite's secure aggregation, a client and round\n")
print("Made by `python benchmarks/secagg/flower.py > benchmarks/secagg/flower.md`\n")
head = "clients | shares | threshold | numbers | Flower sends, over float32 | fedlite sends | Flower receives beside"
print(f"| {head} the model | fedlite receives |\n|{'--|' * 8}")
for row in ROWS:
    (up, down), (own_up, own_down) = flowers(*row), ours(*row)
    plain = 4 * row[3]
    cells = (*row, f"{up:,.0f} B, {up / plain:.3f}", f"{own_up:,.0f} B, {own_up / plain:.3f}", f"{down:,.0f} B")
    print(f"| {' | '.join(map(str, cells))} | {own_down:,.0f} B |", flush=True)
