"""Refit every coefficient of the device model and write them, with the fit report.

    python benchmarks/device_model/fit.py            # about two minutes on one core

Reads benchmarks/device_model/data/device_measurements.csv, writes fedlite/devices/coefficients/*.json,
benchmarks/device_model/results.json and the figures in docs/device-model/.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from collection import FILE
from collection import samples as collect
from figures import predicted_against_measured, residuals_by_class
from hierarchical import CPU_PRIOR, MCU_PRIOR, fit
from leave_out import bands, by_config, leave_devices_out, leave_nets_out, one_rate, scale_of, with_spec_sheet
from training_fit import SD855, backward_record, cliff_record, recurrent_record
from training_fit import records as training_records

from fedlite.devices.fitted import from_json, to_json
from fedlite.devices.measurements import read

ROOT = Path(__file__).resolve().parents[2]
COEFFICIENTS = ROOT / "fedlite" / "devices" / "coefficients"
FIGURES = ROOT / "docs" / "device-model"
RESULTS = Path(__file__).parent / "results.json"
FOUR_THREADS_LOG2 = 2.0
OPTIMISED = ("cpu-float", "cpu-int8", "mcu")
"""Populations large enough for their own variances; the others keep the prior medians."""


def summary(predictions):
    errors = np.array([abs(np.expm1(p.log_error)) for p in predictions])
    factor_two = np.array([abs(p.log_error) <= np.log(2) for p in predictions])
    return {
        "n": len(errors),
        "mape": round(100 * float(errors.mean()), 2),
        "median": round(100 * float(np.median(errors)), 2),
        "within25": round(100 * float((errors <= 0.25).mean()), 1),
        "within_factor_2": round(100 * float(factor_two.mean()), 1),
    }


def table(predictions):
    groups = defaultdict(list)
    for p in predictions:
        groups[f"{p.group}, {p.anchors} anchors"].append(p)
    return {key: summary(rows) for key, rows in sorted(groups.items())}


def sd855(record):
    """Return the CPU population and the scalar of the chip that the MNN suite was measured on."""
    pop = from_json("cpu-float", record)
    for config, rows in by_config(collect()["cpu-float"]).items():
        if SD855 in config.device and config.covariates[0] == FOUR_THREADS_LOG2:
            return pop, scale_of(pop, config, rows)
    raise LookupError(SD855)


def main():
    populations, results, everything = {}, {}, []
    for name, rows in collect().items():
        prior = MCU_PRIOR if name == "mcu" else CPU_PRIOR
        pop, hyper = fit(name, rows, prior, optimise=name in OPTIMISED)
        devices_out = leave_devices_out(name, rows, prior, hyper)
        nets_out = leave_nets_out(name, rows, prior, hyper)
        pop = replace(with_spec_sheet(pop, rows), bands=bands(devices_out, nets_out))
        populations[name] = to_json(pop)
        results[name] = {
            "leave_one_device_out": table(devices_out),
            "leave_one_net_out": table(nets_out),
            "macs_over_one_rate": table(one_rate(name, rows)),
        }
        everything += devices_out
        for test, groups in results[name].items():
            for group, row in groups.items():
                print(f"{name:10} {test:22} {group:32}", *(f"{key} {value}" for key, value in row.items()))
    header = "written by benchmarks/device_model/fit.py from device_measurements.csv; do not edit"
    COEFFICIENTS.mkdir(exist_ok=True)
    text = json.dumps({"source": header, "populations": populations}, indent=1) + "\n"
    (COEFFICIENTS / "populations.json").write_text(text)
    curves, energy = training_records(FILE)
    backward = backward_record(read(FILE), *sd855(populations["cpu-float"]))
    results["training"] = {
        "curves": curves,
        "cliff": cliff_record(read(FILE)),
        "backward": backward,
        "recurrent": recurrent_record(read(FILE)),
    }
    training = {"source": header, **results["training"]}
    (COEFFICIENTS / "training.json").write_text(json.dumps(training, indent=1) + "\n")
    (COEFFICIENTS / "energy.json").write_text(json.dumps({"source": header, **energy}, indent=1) + "\n")
    results["mcu-energy"] = energy
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    write_figures(everything)


def write_figures(predictions):
    FIGURES.mkdir(parents=True, exist_ok=True)
    shown = ("ncnn-fp32", "ncnn-fp16", "ncnn-int8", "mcu-latency")
    for anchors, name in ((1, "one-anchor"), (3, "three-anchors"), (0, "spec-sheet")):
        rows = [p for p in predictions if p.anchors == anchors and p.group in shown]
        title = f"Devices left out of the fit, {name.replace('-', ' ')}"
        (FIGURES / f"predicted-{name}.svg").write_text(predicted_against_measured(rows, title))
    rows = [p for p in predictions if p.anchors == 1 and p.group in shown]
    text = residuals_by_class(rows, "Devices left out of the fit, one anchor, by the class that takes most time")
    (FIGURES / "residuals-by-op-class.svg").write_text(text)


if __name__ == "__main__":
    main()
