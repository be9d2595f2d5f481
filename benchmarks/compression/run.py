"""What each family of compression costs and saves in a federation: scenarios/studies/compression-*.yaml, as tables.

    OMP_NUM_THREADS=1 python benchmarks/compression/run.py

Runs what is not finished yet of every study (a killed one goes on where it was), then writes results.json and
results.md beside this file. `--only NAME` runs single studies, `--collect` none: it tells what lies in the directory
of runs, and leaves what it has of studies that have no directory there.
The float32 run is the same in all studies of a data set, so that it is trained in the first of them and copied.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from fedlite.report.run_data import RunData, read_run
from fedlite.report.run_sets import COSTS
from fedlite.report.shipped import shipped_metric
from fedlite.report.study_data import read_study
from fedlite.report.words import band, quantity
from fedlite.scenario.study import load_study

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from studies import finished, machine, run_open

if TYPE_CHECKING:
    from fedlite.compose.study_runs import StudyRun

HERE = Path(__file__).resolve().parent
STUDIES = HERE.parents[1] / "scenarios" / "studies"
DATA = ("watch", "fashion")
FAMILIES = (
    *("pruning", "quantization", "wire", "low-rank", "submodels", "sharing"),
    *("distillation", "search", "choosing", "inference"),
)
EVERY = [f"compression-{family}-{data}" for data in DATA for family in FAMILIES]
BASE = "fp32"
SHIPPED = ("stored_bytes", "latency_ms", "energy_mj")
FRONTS = {"up_bytes": "bytes", "energy_j": "energy", "virtual_time_s": "time"}


INTRODUCTION = """\
`{command}` ({cores} cores of {processor}, Python {python}; the numbers do not depend on the machine's speed). The base
scenarios are scenarios/compression-watch.yaml and scenarios/compression-fashion.yaml.

* Accuracy is that of what the devices get in the end: means over the seeds, and in brackets what the same seed loses or
  gains against float32, least and most, in points.
* File: the mean length over the fleet. An inference: its time and energy by the device model, the mean over the fleet;
  with the radio where a server is asked. Up, down, energy (with its band), fleet time: of the whole run.
* To target: the fleet time at which the server's whole model first had the accuracy that the scenario wants. Where all
  devices train only a part of it, the server's model is not what they have.
* On the front: no other variant of the study is as accurate for less, as far as its seeds tell."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the studies' directories lie")
    parser.add_argument("--only", nargs="+", choices=EVERY, default=EVERY, help="run these studies")
    parser.add_argument("--collect", action="store_true", help="run nothing")
    given = parser.parse_args()
    for name in [] if given.collect else given.only:
        copy_baseline(name, given.runs)
        run_open(STUDIES / f"{name}.yaml", given.runs / name)
    found = {"command": "OMP_NUM_THREADS=1 python benchmarks/compression/run.py", "machine": machine()}
    place = HERE / "results.json"
    known = json.loads(place.read_text())["studies"] if place.exists() else {}
    found["studies"] = {
        name: collected(name, given.runs / name) if (given.runs / name).exists() or name not in known else known[name]
        for name in EVERY
    }
    place.write_text(json.dumps(found, indent=1) + "\n")
    (HERE / "results.md").write_text(page(found))


def copy_baseline(name: str, runs: Path) -> None:
    """Copy the finished float32 runs of another study of the data set; the sweep refuses them if they are others."""
    family, _, data = name.removeprefix("compression-").rpartition("-")
    for other in FAMILIES:
        for path in sorted((runs / f"compression-{other}-{data}").glob(f"{BASE}-seed-*")):
            place = runs / name / path.name
            if other != family and (path / "summary.json").exists() and not place.exists():
                shutil.copytree(path, place)


def collected(name: str, folder: Path) -> dict[str, object]:
    """Return what the variants of a study came to whose seeds are all finished, and the labels of the others."""
    loaded = load_study(STUDIES / f"{name}.yaml")
    whole, open_ = finished(loaded, folder)
    told: dict[str, object] = {"description": loaded.study.description, "seeds": list(loaded.study.seeds)}
    told["not_run"] = open_
    told["variants"] = variants(whole) if whole else []
    return told


def variants(runs: list[StudyRun]) -> list[dict[str, object]]:
    """Return a row for each label: means over its seeds, each seed's accuracy, and what is lost seed by seed."""
    study = read_study([(run.label, run.seed, run.path) for run in runs])
    best = {cost: study.trade_offs.front(cost) for cost in COSTS}
    by_label: dict[str, dict[int, RunData]] = {}
    for run in runs:
        by_label.setdefault(run.label, {})[run.seed] = read_run(run.path)
    base = {seed: shipped_metric(run) for seed, run in by_label.get(BASE, {}).items()}
    rows = []
    for row in study.settings.to_dicts():
        mine = by_label[row["label"]]
        accuracy = {seed: shipped_metric(run) for seed, run in mine.items()}
        costs = ("up_bytes", "down_bytes", "energy_j", "energy_low_j", "energy_high_j", "virtual_time_s")
        rows.append(
            {
                "label": row["label"],
                "accuracy": fmean(accuracy.values()),
                "accuracy_by_seed": list(accuracy.values()),
                "trained_accuracy": fmean(run.summary["metrics"]["accuracy"] for run in mine.values()),
                "difference_by_seed": [value - base[seed] for seed, value in accuracy.items()] if base else None,
                **{name: fmean(shipped(run, name) for run in mine.values()) for name in SHIPPED},
                **{key: row[key] for key in (*costs, "reached", "time_to_target_s")},
                "jobs_arrived": row["arrived"],
                "fronts": [cost for cost, labels in best.items() if row["label"] in labels],
                "digests": [run.summary["digest"] for run in mine.values()],
            }
        )
    return rows


def shipped(run: RunData, name: str) -> float:
    """Return what the file on a device takes, or one inference of it, the mean over the fleet."""
    told = {one["profile"]: one[name] for one in run.summary["inference"]}
    fleet = run.fleet.filter(pl.col("excluded_reason").fill_null("") == "")
    values = [told[profile] if name == "stored_bytes" else told[profile]["value"] for profile in fleet["profile"]]
    return float(np.average(values, weights=fleet["devices"]))


def page(found: dict[str, object]) -> str:
    host = found["machine"]
    lines = [
        "# Compression in a federation",
        "",
        INTRODUCTION.format(command=found["command"], **host),
    ]
    for name, study in found["studies"].items():
        lines += ["", f"## {name}", "", f"{study['description']} Seeds {', '.join(map(str, study['seeds']))}."]
        lines += table(study["variants"]) if study["variants"] else []
        if study["not_run"]:
            lines += ["", f"Not run yet: {', '.join(study['not_run'])}."]
    return "\n".join([*lines, ""])


def table(rows: list[dict[str, object]]) -> list[str]:
    head = (
        *("variant", "accuracy", "file", "an inference", "up", "down"),
        *("energy", "fleet time", "to target", "on the front of"),
    )
    lines = ["", "| " + " | ".join(head) + " |", "|---|" + "---:|" * 8 + "---|"]
    for row in rows:
        energy = f"{quantity(row['energy_j'], 'energy')} ({band(row['energy_low_j'], row['energy_high_j'], 'energy')})"
        cells = (
            row["label"],
            f"{100 * row['accuracy']:.1f} %{against(row)}",
            quantity(row["stored_bytes"], "bytes"),
            f"{quantity(1e-3 * row['latency_ms'], 'time')}, {quantity(1e-3 * row['energy_mj'], 'energy')}",
            quantity(row["up_bytes"], "bytes"),
            quantity(row["down_bytes"], "bytes"),
            energy,
            quantity(row["virtual_time_s"], "time"),
            to_target(row),
            ", ".join(FRONTS[cost] for cost in row["fronts"]) or "-",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def against(row: dict[str, object]) -> str:
    if row["label"] == BASE or row["difference_by_seed"] is None:
        return ""
    least, most = (100 * end(row["difference_by_seed"]) for end in (min, max))
    return f" ({least:+.1f} to {most:+.1f})"


def to_target(row: dict[str, object]) -> str:
    value = row["time_to_target_s"]
    if value is not None and math.isfinite(value):
        return quantity(value, "time")
    return f"in {row['reached']} of {len(row['accuracy_by_seed'])}"


if __name__ == "__main__":
    main()
