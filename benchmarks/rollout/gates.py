"""What gates see, and how often they are wrong: every table of docs/concepts/gates.md.

    OMP_NUM_THREADS=1 python benchmarks/rollout/gates.py

Writes results.md beside this file. Seeds are fixed: the same numbers every time. Gates of counts against a known
baseline are computed exactly and simulated as well, 4,000 waves device by device; the rest is simulated.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from fedlite.rng import stream
from fedlite.rollout.formulas import accuracy_devices, chance_of_seeing
from fedlite.rollout.gates.evidence import Evidence, expected_failures
from fedlite.rollout.gates.exact import Exact
from fedlite.rollout.gates.mann_whitney import MannWhitney
from fedlite.rollout.gates.msprt import Msprt
from fedlite.rollout.gates.sequential import Sequential
from fedlite.rollout.gates.threshold import Threshold
from fedlite.rollout.gates.two_arms import TwoArms
from fedlite.rollout.power import operating
from fedlite.rollout.wave import Wave

HERE = Path(__file__).resolve().parent
WAVES = 4_000
SIZES = (50, 100, 200, 500, 1000, 2000, 5000)


def main() -> None:
    tables = [two_arms(), thresholds(), peeking(), classes(), accuracy(), schedules()]
    text = "# What gates see\n\n`python benchmarks/rollout/gates.py`\n\n" + "\n".join(tables)
    (HERE / "results.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)


def table(title: str, head: list[str], rows: list[list[str]], note: str = "") -> str:
    lines = [f"## {title}\n", *([f"{note}\n"] if note else [])]
    lines += [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines) + "\n"


def simulated(gate, wave: Wave, rate: float) -> float:
    """Return the share of waves, drawn device by device, that the gate stops: no recursion."""
    looks, stopped = wave.seen_at(gate), 0
    for block in range(8):
        rng = stream(0, "gate tables", repr(gate), str(rate), block)
        total = (rng.random((WAVES // 8, wave.n)) < rate).cumsum(-1, dtype=np.int32)[:, looks - 1]
        stopped += int(gate.trips(Evidence(np.broadcast_to(looks, total.shape), total)).any(-1).sum())
    return stopped / WAVES


def both(gate, wave: Wave, rate: float) -> str:
    return f"{operating(gate, wave, rate).power:.3f} ({simulated(gate, wave, rate):.3f})"


def two_arms() -> str:
    changes = [(0.01, 0.02), (0.01, 0.03), (0.01, 0.05), (0.005, 0.01), (0.02, 0.03)]
    rows = []
    for n in SIZES:
        cells = []
        for p0, p1 in changes:
            rng = stream(0, "two arms", n, str((p0, p1)))
            real = []
            for rate in (p1, p0):
                x, y = rng.binomial(n, rate, 40_000), rng.binomial(n, p0, 40_000)
                seen = np.full(40_000, n)
                real.append(TwoArms().trips(Evidence(seen, x, control_n=seen, control_total=y)).mean())
            cells.append(f"{operating(TwoArms(), Wave(n, p0), p1).power:.2f} ({real[0]:.2f}, {real[1]:.3f})")
        rows.append([str(n), *cells])
    head = ["n per arm", *(f"{100 * p0:g} -> {100 * p1:g} %" for p0, p1 in changes)]
    note = "Power by the formula; in brackets what the test does on whole failures: its power, and its false aborts."
    return table("Two arms, one-sided z, alpha 0.05", head, rows, note)


def thresholds() -> str:
    rules = [(20, 0.05), (100, 0.03), (100, 0.05), (500, 0.02), (1000, 0.02)]
    rows = []
    for least, share in rules:
        gate, wave = Threshold(share, least), Wave(5000, 0.01)
        median = operating(gate, wave, 0.03).median_n
        rows.append([f"{least}, {100 * share:g} %", *(both(gate, wave, p) for p in (0.01, 0.03, 0.05)), str(median)])
    head = ["least count, threshold", "1 %", "3 %", "5 %", "median devices to abort at 3 %"]
    return table("Raw threshold after every device, up to 5,000", head, rows, "P(abort), exact (simulated).")


def peeking() -> str:
    rates = (0.01, 0.015, 0.02, 0.03, 0.05)
    gates = {
        "exact binomial every 50 devices, up to 5,000": (Exact(0.01), Wave(5000, 0.01, looks=100)),
        "exact binomial once, at 5,000": (Exact(0.01), Wave(5000, 0.01)),
        "e-process after every device, up to 5,000": (Sequential(0.01), Wave(5000, 0.01)),
        "e-process after every device, up to 500": (Sequential(0.01), Wave(500, 0.01)),
    }
    rows = [[name, *(both(gate, wave, p) for p in rates)] for name, (gate, wave) in gates.items()]
    medians = [str(operating(Sequential(0.01), Wave(5000, 0.01), p).median_n) for p in rates]
    rows.append(["e-process, up to 5,000: median devices to abort", *medians])
    control = [operating(Sequential(), Wave(5000, 0.01), p).power for p in rates]
    rows.append(["e-process against a control arm of 5,000, 100 looks", *(f"{p:.3f}" for p in control)])
    head = ["rule", *(f"{100 * p:g} %" for p in rates)]
    return table("Peeking against always valid, baseline 1 %, alpha 0.05", head, rows, "P(abort), exact (simulated).")


def classes() -> str:
    sizes = (50, 100, 200, 500, 1000)
    rows = [
        [f"{100 * share:g} %, {100 * rate:g} %", *(f"{chance_of_seeing(n, share, rate):.2f}" for n in sizes)]
        for share, rate in ((0.05, 0.2), (0.01, 0.5), (0.01, 1.0))
    ]
    head = ["class share, its failure rate", *map(str, sizes)]
    return table("P(at least 3 failures of a class) in a wave of the whole fleet", head, rows)


def accuracy() -> str:
    rows = []
    for drop in (0.01, 0.02, 0.05):
        n = accuracy_devices(drop, sd=0.08, base=0.85, samples=20)
        wave = Wave(n, 0.85, sd=(0.08**2 + 0.85 * 0.15 / 20) ** 0.5)
        cells = [
            f"{operating(gate, wave, 0.85 - drop).power:.2f}" for gate in (MannWhitney("decrease"), Msprt("decrease"))
        ]
        rows.append([f"{100 * drop:g} points", str(n), *cells])
    note = (
        "20 samples per device, between-device deviation 0.08, base 0.85, alpha 0.05, power 0.8 of a z test of means."
    )
    return table("Accuracy gate", ["drop", "devices per arm", "Mann-Whitney there", "mSPRT there"], rows, note)


def schedules() -> str:
    """No regression, looks after every device or every 25: P(ever abort) at alpha 0.05."""
    rows = []
    for name, drift in (("steady", 0.0), ("drifting tenfold", 1.0)):
        rng = stream(0, "schedules", name)
        n = np.broadcast_to(np.arange(25, 5001, 25), (WAVES, 200))
        rates = 0.02 * 10 ** (drift * np.sin(np.arange(200) / 20.0) / 2.0)
        x, y = (rng.binomial(25, rates, n.shape).cumsum(-1) for _ in range(2))
        failures = Evidence(n, x, control_n=n, control_total=y, expected=expected_failures(n, x, n, y))
        means = 1.0 + 2.0 * drift * np.sin(np.arange(200) / 20.0)
        metric = rng.normal(means[:, None], 1.0, (2, WAVES // 4, 200, 25))
        sums = [(one.sum(-1).cumsum(-1), np.square(one).sum(-1).cumsum(-1)) for one in metric]
        few = n[: WAVES // 4]
        normal = Evidence(few, *sums[0], few, *sums[1])
        found = [Sequential(), TwoArms(), Exact(0.02), Threshold(0.05, 20)]
        cells = [gate.trips(failures).any(-1).mean() for gate in found]
        cells += [gate.trips(normal).any(-1).mean() for gate in (Msprt(sd=1.0), Msprt())]
        rows.append([name, *(f"{cell:.3f}" for cell in cells)])
    head = [
        "baseline 2 %",
        "e-process, two arms",
        "z",
        "exact",
        "threshold 5 % from 20",
        "mSPRT, sd known",
        "mSPRT, not",
    ]
    note = "P(ever abort) without a regression, alpha 0.05, 200 looks, 25 devices of each arm between two."
    return table("Looking often", head, rows, note)


if __name__ == "__main__":
    main()
