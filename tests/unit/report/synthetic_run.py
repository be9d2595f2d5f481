"""Write a run directory as `fedlite run` does, from dice instead of training."""

from __future__ import annotations

import json
import math

import numpy as np
import polars as pl

NAN = float("nan")
CLASSES = [
    # profile, tier, plan, access, devices, train_s, compute_j, capacity_j, ram_bytes
    ("pixel-8-pro", "phone-flagship", "full", "wifi", 6, 4.0, 9.0, 68_000.0, 1_500_000_000),
    ("galaxy-a14", "phone-low", "full", "lte", 8, 16.0, 21.0, 66_000.0, 600_000_000),
    ("watch-w5", "wearable", "half-int8", "wifi", 4, 40.0, 12.0, 4_300.0, 120_000_000),
    ("raspberry-pi-4", "sbc", "full", "ethernet", 2, 7.0, 30.0, float("nan"), 900_000_000),
    ("stm32h7", "mcu", "tiny-int4", "nb-iot", 3, 300.0, 2.5, 9_000.0, 700_000),
]
OUTCOMES = ["arrived", "late", "surplus", "battery_empty", "unplugged", "out_of_memory"]
WEIGHTS = [0.8, 0.07, 0.05, 0.03, 0.03, 0.02]
SCENARIO = """\
name: {name}
seed: {seed}
fleet:
  mix: home-fleet
  devices: 28
task:
  data: watch
  model: cnn1d
training:
  rounds: {rounds}
  cohort: 10
  lr: {lr}
wire:
  up: [int8, zstd]
"""


def write_run(
    path, *, rounds=12, seed=7, name="watch-fleet", evaluated=True, all_failed=False, zero_energy=False,
    fairness=True, epsilon=None, classes=None, nothing=False, lr=0.02, level=0.75, cohort=10, battery=True,
):  # fmt: skip
    """Write the directory and return its path."""
    rng = np.random.default_rng(seed)
    classes = CLASSES if classes is None else classes
    path.mkdir(parents=True)
    clients = pl.DataFrame(
        [] if nothing else _jobs(rng, classes, rounds, cohort, all_failed, zero_energy, battery), schema=_CLIENT_SCHEMA
    )
    per_round = _rounds(clients, rounds, evaluated, level, rng)
    clients.write_parquet(path / "clients.parquet")
    per_round.write_parquet(path / "rounds.parquet")
    _evaluation(rng, 40 if fairness else 0, level).write_parquet(path / "evaluation.parquet")
    fleet = _fleet(clients, classes)
    fleet.write_parquet(path / "fleet.parquet")
    (path / "scenario.yaml").write_text(SCENARIO.format(name=json.dumps(name), seed=seed, rounds=rounds, lr=lr))
    (path / "summary.json").write_text(json.dumps(_summary(path, name, seed, clients, per_round, fleet, epsilon)))
    (path / "manifest.json").write_text(
        json.dumps(
            {
                "format": 1,
                "fedlite": "0.1.0",
                "seed": seed,
                "engine": "2 Ray actors",
                "trainer_modes": ["batched", "sequential"],
                "libraries": {"torch": "2.13.0", "flwr": "1.41.0"},
                "data": {"name": "watch", "licence": "BSD-3-Clause"},
                "noise_multiplier": None,
            }
        )
    )
    return path


_INTEGERS = (
    "round",
    "device",
    "down_bytes",
    "up_bytes",
    "down_raw_bytes",
    "up_raw_bytes",
    "peak_bytes",
    "examples",
    "steps",
)
_TEXTS = ("kind", "profile", "tier", "plan", "access", "outcome")
_FLOATS = (
    *("start_s", "down_s", "train_s", "up_s", "end_s", "compute_j", "radio_j", "tail_j", "energy_j", "energy_low_j"),
    *("energy_high_j", "battery_j", "mains_j", "battery_before_j", "battery_after_j", "loss"),
)
_CLIENT_SCHEMA = {
    **dict.fromkeys(_INTEGERS, pl.Int64), **dict.fromkeys(_TEXTS, pl.String), **dict.fromkeys(_FLOATS, pl.Float64),
    "metered": pl.Boolean,
}  # fmt: skip


def _jobs(rng, classes, rounds, cohort, all_failed, zero_energy, battery):
    devices = [(index, item) for index, item in enumerate(_spread(classes)) if item[1] != "mcu"]
    rows, clock = [], 0.0
    for turn in range(1, rounds + 1):
        ends = []
        for choice in rng.choice(len(devices), size=min(cohort, len(devices)), replace=False):
            outcome = "out_of_memory" if all_failed else str(rng.choice(OUTCOMES, p=WEIGHTS))
            row = _job(rng, turn, *devices[choice], clock, outcome, zero_energy, battery)
            ends.append(row["end_s"])
            rows.append(row)
        clock = max(ends) + 60.0
        rows += [_evaluation_job(row) for row in rows[-2:]]
    return rows


def _job(rng, turn, device, item, clock, outcome, zero_energy, battery):
    profile, tier, plan, access, _, train_s, compute_j, capacity_j, ram = item
    trained, sent = outcome != "out_of_memory", outcome in {"arrived", "late", "surplus"}
    down_s = float(rng.uniform(0.5, 4)) if outcome != "out_of_memory" else 0.0
    train = float(train_s * rng.lognormal(0, 0.3)) if trained else 0.0
    up_s = float(rng.uniform(1, 9)) if sent else 0.0
    compute = 0.0 if zero_energy else compute_j * (train / train_s)
    radio = 0.0 if zero_energy else 0.4 * down_s + 0.8 * up_s
    energy = compute + radio
    mains = math.isnan(capacity_j) or not battery
    before = float("nan") if mains else capacity_j * float(rng.uniform(0.4, 1.0))
    return {
        "round": turn, "kind": "train", "device": device, "profile": profile, "tier": tier, "plan": plan,
        "access": access,
        "outcome": outcome, "start_s": clock, "down_s": down_s, "train_s": train, "up_s": up_s,
        "end_s": clock + down_s + train + up_s, "compute_j": compute, "radio_j": radio, "tail_j": 0.25 * radio,
        "energy_j": energy,
        "energy_low_j": 0.7 * energy, "energy_high_j": 1.5 * energy, "battery_j": 0.0 if mains else energy,
        "mains_j": energy if mains else 0.0, "down_bytes": 40_000 if down_s else 0, "up_bytes": 11_000 if up_s else 0,
        "down_raw_bytes": 40_000 if down_s else 0, "up_raw_bytes": 40_000 if up_s else 0, "metered": access == "lte",
        "peak_bytes": ram // 3, "battery_before_j": before, "battery_after_j": before - energy,
        "examples": 50 if trained else 0,
        "steps": 4 if trained else 0, "loss": 1.0 if trained else float("nan"),
    }  # fmt: skip


def _evaluation_job(row):
    return row | {"kind": "evaluate", "train_s": 0.1, "up_s": 0.0, "end_s": row["start_s"] + row["down_s"] + 0.1}


def _spread(classes):
    return [item for item in classes for _ in range(item[4])]


def _rounds(clients, rounds, evaluated, level, rng):
    turns, clock, rows = clients.filter(pl.col("kind") == "train"), 0.0, []
    for turn in range(1, rounds + 1):
        jobs = turns.filter(pl.col("round") == turn)
        end = float(jobs["end_s"].max() or clock + 30.0)
        arrived, late, surplus = (int((jobs["outcome"] == name).sum()) for name in ("arrived", "late", "surplus"))
        accuracy = level * (1 - np.exp(-turn / 4)) + float(rng.normal(0, 0.006)) if evaluated else float("nan")
        everything = clients.filter(pl.col("round") == turn)
        rows.append({
            "round": turn, "start_s": clock, "end_s": end, "eligible": 20, "selected": jobs.height, "arrived": arrived,
            "late": late, "surplus": surplus, "failed": jobs.height - arrived - late - surplus,
            "energy_j": float(everything["energy_j"].sum()),
            "energy_low_j": float(everything["energy_low_j"].sum()),
            "energy_high_j": float(everything["energy_high_j"].sum()),
            "up_bytes": int(everything["up_bytes"].sum()), "down_bytes": int(everything["down_bytes"].sum()),
            "accuracy": accuracy, "loss": 2.0 * np.exp(-turn / 6) if evaluated else float("nan"), "macro_f1": accuracy,
            "train_loss": 2.1 * np.exp(-turn / 5), "wall_s": 0.3,
        })  # fmt: skip
        clock = end + 60.0
    return pl.DataFrame(rows)


def _evaluation(rng, clients, level):
    schema = {"client": pl.Int32, "device": pl.Int32, "samples": pl.Int32, "accuracy": pl.Float64, "loss": pl.Float64}
    rows = [
        {
            "client": i,
            "device": i % 28,
            "samples": 20 + i,
            "accuracy": float(np.clip(rng.normal(level, 0.12), 0, 1)),
            "loss": 0.8,
        }
        for i in range(clients)
    ]
    return pl.DataFrame(rows, schema=schema)


def _fleet(clients, classes):
    rows = []
    for profile, tier, plan, _, devices, train_s, _, _, ram in classes:
        jobs = clients.filter((pl.col("profile") == profile) & (pl.col("kind") == "train"))
        excluded = (
            "training needs 1.9 MB of memory, a job may take 700 kB; give this class a smaller plan"
            if tier == "mcu"
            else ""
        )
        rows.append({
            "profile": profile, "tier": tier, "plan": plan, "devices": devices, "excluded_reason": excluded,
            "train_s_per_round": train_s, "peak_bytes": ram // 3 if not excluded else 1_900_000, "job_ram_bytes": ram,
            "participations": jobs.height, "arrived": int((jobs["outcome"] == "arrived").sum()),
        })  # fmt: skip
    return pl.DataFrame(rows)


def _summary(path, name, seed, clients, rounds, fleet, epsilon):
    last = rounds.tail(1)
    outcomes = clients.group_by("outcome").len().sort("outcome")
    excluded = fleet.filter(pl.col("excluded_reason") != "")
    return {
        "run_dir": str(path), "format": 1, "name": name, "digest": "d1c5" * 16,
        "rounds": rounds.height,
        "virtual_time_s": float(rounds["end_s"].max() or 0.0), "wall_time_s": 3.4, "carbon_g": 0.4,
        "energy_j": float(clients["energy_j"].sum()), "energy_low_j": float(clients["energy_low_j"].sum()),
        "energy_high_j": float(clients["energy_high_j"].sum()), "radio_j": float(clients["radio_j"].sum()),
        "tail_j": float(clients["tail_j"].sum()), "up_bytes": int(clients["up_bytes"].sum()),
        "down_bytes": int(clients["down_bytes"].sum()),
        "metered_bytes": int(clients.filter("metered")["up_bytes"].sum()),
        "metrics": {key: float(last[key][0]) if last.height else NAN for key in ("accuracy", "loss", "macro_f1")},
        "outcomes": dict(outcomes.iter_rows()), "clients_per_second": 210.0, "devices": int(fleet["devices"].sum()),
        "excluded": [
            {"profile": p, "devices": d, "reason": r}
            for p, d, r in excluded.select("profile", "devices", "excluded_reason").iter_rows()
        ],
        "epsilon": epsilon, "seed": seed, "backend": "ray", "engine": "2 Ray actors",
    }  # fmt: skip
