"""Is a masked weight a zero or no answer? A mean that counts masked clients' zeros against a mean over the holders.

    OMP_NUM_THREADS=1 python benchmarks/masked_mean/run.py

Writes results.json and results.md beside this file. Twenty clients of the digits data, some of which hold 60 % of the
weights at zero; everything else is equal, seed by seed. The rule that fedlite does not have is made here by making
the masks unknown to the server: it then takes every masked client's zeros for values.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from statistics import mean
from unittest.mock import patch

from fedlite.compression.constraint.base import Constraint
from fedlite.compression.constraint.magnitude import Magnitude
from fedlite.runner import Settings, run
from fedlite.scenario.loader import parse_scenario

HERE = Path(__file__).resolve().parent
SEEDS = (1, 2, 3, 4, 5)
SHARES = (25, 50, 75, 100)
SCENARIO = """
name: masked-mean
seed: {seed}
fleet:
  devices: 20
  mix: {mix}
  rules: {{charging: false, unmetered: false, idle: false}}
task:
  data: digits
  partition: {{kind: dirichlet, alpha: 0.5}}
  clients: 20
  model: {{name: mlp, options: {{hidden: [24]}}}}
training:
  rounds: 8
  clients_per_round: 20
  local: {{epochs: 2, batch_size: 16, lr: 0.1}}
clients:
  - for: {{profile: pi-4b}}
    plan: {{sparsity: 0.6}}
"""
RULES = {"zeros are values": Constraint.held, "mean over holders": Magnitude.held}


def accuracies(masked_share: int, seed: int, held: object) -> list[float]:
    """Return the accuracy after every round; `masked_share` per cent of the devices are masked."""
    shares = {"pi-4b": masked_share, "pixel-4": 100 - masked_share}
    mix = ", ".join(f"{name}: {share} %" for name, share in shares.items() if share)
    scenario = parse_scenario(SCENARIO.format(seed=seed, mix=f"{{{mix}}}"))
    with tempfile.TemporaryDirectory() as folder, patch.object(Magnitude, "held", held):
        rounds = run(scenario, out=Path(folder) / "run", settings=Settings("local")).rounds
        return [float(value) for value in rounds["accuracy"].to_list()]


def measured() -> list[dict[str, object]]:
    """Return one record per share of masked devices and rule."""
    records: list[dict[str, object]] = []
    for share in SHARES:
        for rule, held in RULES.items():
            curves = {seed: accuracies(share, seed, held) for seed in SEEDS}
            last = [curve[-1] for curve in curves.values()]
            print(f"{share} % masked, {rule}: {mean(last):.3f} ({min(last):.3f} to {max(last):.3f})")
            records.append({"masked_percent": share, "rule": rule, "accuracy_by_round": curves})
    return records


def page(records: list[dict[str, object]]) -> str:
    """Return the results as Markdown."""
    lines = [
        "# A mask is not a value",
        "",
        "`OMP_NUM_THREADS=1 python benchmarks/masked_mean/run.py`: accuracy after 8 rounds, mean (range) over 5 seeds.",
        "",
        "| devices with 60 % of the weights masked | zeros are values | mean over holders | difference, seed by seed |",
        "|---|---|---|---|",
    ]
    for share in SHARES:
        old, new = (
            [curve[-1] for curve in record["accuracy_by_round"].values()]
            for record in records
            if record["masked_percent"] == share
        )
        gains = [b - a for a, b in zip(old, new, strict=True)]
        lines.append(f"| {share} % | {_text(old)} | {_text(new)} | {_text(gains, '+.3f')} |")
    return "\n".join(lines) + "\n"


def _text(values: list[float], form: str = ".3f") -> str:
    return f"{mean(values):{form}} ({min(values):{form}} to {max(values):{form}})"


if __name__ == "__main__":
    found = measured()
    (HERE / "results.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (HERE / "results.md").write_text(page(found), encoding="utf-8")
