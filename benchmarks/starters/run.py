"""What `fedlite init --goal energy` saves: joules to 70 % of the digits, of the same fleet, with both goals.

    OMP_NUM_THREADS=1 python benchmarks/starters/run.py

Writes results.md beside this file. A run has rounds enough to get there; a fleet's difference is paired by seed.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from fedlite.report.noise import paired
from fedlite.runner import Settings, run
from fedlite.scenario.loader import load_scenario
from fedlite.scenario.starter import FLEETS, starter

TARGET, ROUNDS, SEEDS = 0.7, 25, tuple(range(1, 7))


def joules(fleet: str, goal: str, seed: int) -> float:
    """Return what a run had spent when a test first had the target."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "starter.yaml"
        path.write_text(starter(fleet, "digits", goal), encoding="utf-8")
        scenario = load_scenario(path, {"seed": seed, "training.rounds": ROUNDS})
        rounds = run(scenario, out=Path(folder) / "run", settings=Settings("local")).rounds
    there = rounds["accuracy"].ge(TARGET).arg_max()
    if there is None or not rounds["accuracy"][there] >= TARGET:
        raise SystemExit(f"{fleet}, {goal}, seed {seed}: not there after {ROUNDS} rounds")
    return float(rounds["energy_j"][: there + 1].sum())


def main() -> None:
    rows = []
    for fleet in FLEETS:
        spent = {goal: {seed: joules(fleet, goal, seed) for seed in SEEDS} for goal in ("accuracy", "energy")}
        saved = paired(spent["accuracy"], spent["energy"])
        means = [sum(found.values()) / len(SEEDS) for found in spent.values()]
        told = "yes" if saved.is_told_apart else "not told apart"
        ends = f"{saved.mean:.2f} J ({saved.low:.2f} to {saved.high:.2f})"
        rows.append(f"| {fleet} | {means[0]:.2f} J | {means[1]:.2f} J | {ends} | {told} |")
        print(rows[-1], flush=True)
    page = [
        "# What `fedlite init --goal energy` saves",
        "",
        f"`OMP_NUM_THREADS=1 python benchmarks/starters/run.py`: joules of all devices to {TARGET:.0%} of the digits,",
        f"mean over seeds {SEEDS[0]} to {SEEDS[-1]}; saved with its 95 % interval, paired by seed.",
        "",
        "| fleet | `--goal accuracy` | `--goal energy` | saved | told apart |",
        "|---|---:|---:|---:|---|",
        *rows,
        "",
    ]
    Path(__file__).with_name("results.md").write_text("\n".join(page), encoding="utf-8")


if __name__ == "__main__":
    main()
