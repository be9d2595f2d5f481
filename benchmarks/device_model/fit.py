"""Refit every coefficient of the device model and write them, with the fit report.

    python benchmarks/device_model/fit.py            # about eight minutes on one core
    python benchmarks/device_model/fit.py --training # only training, memory and power

Reads benchmarks/device_model/data/, writes fedlite/devices/coefficients/*.json, benchmarks/device_model/results.json
and the figures in docs/device-model/.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from collection import FILES
from collection import samples as collect
from figures import predicted_against_measured, residuals_by_class
from hierarchical import ACCELERATOR_PRIOR, CPU_PRIOR, MCU_PRIOR, fit
from leave_out import (
    banded,
    bands,
    by_config,
    leave_devices_out,
    leave_nets_out,
    leave_vendors_out,
    one_rate,
    sheet_deviations,
    with_spec_sheet,
)
from recurrent_fit import recurrent_factor, recurrent_record
from training_fit import backward_record, cliff_record, memory_record, sd855
from training_fit import records as training_records

from fedlite.devices.compute import training_configuration
from fedlite.devices.fitted import STAND_IN, coefficients, from_json, population, to_json
from fedlite.devices.measurements import read

ROOT = Path(__file__).resolve().parents[2]
COEFFICIENTS = ROOT / "fedlite" / "devices" / "coefficients"
FIGURES = ROOT / "docs" / "device-model"
RESULTS = Path(__file__).parent / "results.json"
PRIORS = {"mcu": MCU_PRIOR, "accelerator": ACCELERATOR_PRIOR, "cpu": CPU_PRIOR}
HEADER = "written by benchmarks/device_model/fit.py from its data folder; do not edit"


def summary(predictions):
    errors = np.array([abs(np.expm1(p.log_error)) for p in predictions])
    factor_two = np.array([abs(p.log_error) <= np.log(2) for p in predictions])
    return {
        "n": len(errors),
        "devices": len({p.device for p in predictions}),
        "mape": round(100 * float(errors.mean()), 1),
        "median": round(100 * float(np.median(errors)), 1),
        "within25": round(100 * float((errors <= 0.25).mean()), 1),
        "within_factor_2": round(100 * float(factor_two.mean()), 1),
        "bands_hold": round(100 * float(np.mean([p.held for p in predictions])), 1),
    }


def table(predictions, key=lambda p: p.group):
    """Return {"family, k anchors": summary} of the rule's anchors, and of the mean over draws of them."""
    groups = defaultdict(list)
    for p in predictions:
        groups[f"{key(p)}, {p.anchors} {'drawn ' if p.drawn else ''}anchors"].append(p)
    return {name: summary(rows) for name, rows in sorted(groups.items())}


def layered(p):
    return "other nets" if p.kind == STAND_IN else "nets known by layers"


def fitted_population(name, rows):
    """Return (population that ships, its figures, predictions of left-out devices)."""
    prior = PRIORS[name]
    pop, hyper, process = fit(name, rows, prior)
    weights = pop.log_weights
    devices_out = leave_devices_out(name, rows, process, hyper, weights, 0.5)
    deviations = sheet_deviations(devices_out)
    vendors_out = leave_vendors_out(name, rows, prior, hyper, deviations)
    nets_out = leave_nets_out(name, rows, process, hyper, weights, deviations)
    pop = with_spec_sheet(pop, rows, deviations)
    pop = replace(pop, bands=bands(devices_out + vendors_out + nets_out))
    devices_out, vendors_out, nets_out = (banded(out, pop) for out in (devices_out, vendors_out, nets_out))
    figures = {
        "leave_one_device_out": by_kind(devices_out),
        "leave_one_vendor_family_out": by_kind(vendors_out),
        "leave_one_net_out": by_kind(nets_out),
        "macs_over_one_rate": table(one_rate(name, rows)),
        "log_variances": dict(zip(process.names_of, (round(float(h), 4) for h in hyper), strict=True)),
    }
    return pop, figures, devices_out


def by_kind(predictions):
    return table(predictions) | table(predictions, layered)


def fit_populations():
    populations, results, everything = {}, {}, []
    for name, rows in sorted(collect().items(), key=lambda pair: len(pair[1])):
        pop, results[name], devices_out = fitted_population(name, rows)
        populations[name] = to_json(pop)
        everything += devices_out
        for test, groups in results[name].items():
            for group, row in groups.items() if test != "log_variances" else ():
                print(f"{name:10} {test:28} {group:44}", *(f"{k} {v}" for k, v in row.items()), flush=True)
    write("populations.json", {"devices": fitted_devices(), "populations": populations})
    write_figures(everything)
    return results


def fitted_devices():
    """Return the devices of both collections: whatever is measured on them is no test of the model."""
    return sorted({row.device for path in FILES for row in read(path)})


def fit_training():
    for read_before in (coefficients, population, training_configuration):
        read_before.cache_clear()
    rows = [row for path in FILES for row in read(path)]
    curves, energy = training_records(rows)
    record = json.loads((COEFFICIENTS / "populations.json").read_text())["populations"]["cpu"]
    backward = backward_record(rows, *sd855(from_json("cpu", record), by_config(collect()["cpu"])))
    training = {
        "curves": curves,
        "cliff": cliff_record(rows),
        "backward": backward | {"recurrent": recurrent_factor(rows, backward)},
        "memory": memory_record(rows),
        "recurrent": recurrent_record(rows),
    }
    write("training.json", training)
    write("energy.json", energy)
    return {"training": training, "mcu-energy": energy}


def write(name, record):
    COEFFICIENTS.mkdir(exist_ok=True)
    (COEFFICIENTS / name).write_text(json.dumps({"source": HEADER, **record}, indent=1) + "\n")


def main(arguments):
    results = json.loads(RESULTS.read_text()) if "--training" in arguments else fit_populations()
    RESULTS.write_text(json.dumps(results | fit_training(), indent=1) + "\n")


def write_figures(predictions):
    FIGURES.mkdir(parents=True, exist_ok=True)
    shown = ("ncnn-fp32", "ncnn-fp16", "ncnn-int8", "mcu-latency")
    rule = [p for p in predictions if p.group in shown and not p.drawn]
    for anchors, name in ((1, "one-anchor"), (3, "three-anchors"), (0, "spec-sheet")):
        rows = [p for p in rule if p.anchors == anchors]
        title = f"Devices left out of the fit, {name.replace('-', ' ')}"
        (FIGURES / f"predicted-{name}.svg").write_text(predicted_against_measured(rows, title))
    rows = [p for p in rule if p.anchors == 1]
    text = residuals_by_class(rows, "Devices left out of the fit, one anchor, by the class that takes most time")
    (FIGURES / "residuals-by-op-class.svg").write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
