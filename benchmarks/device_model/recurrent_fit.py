"""Coefficients of recurrent training, from FLASH's LSTM layers on two phones and its stacked nets on three."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.optimize import least_squares, nnls

from fedlite.devices import recurrent
from fedlite.devices.anchors import informative_order
from fedlite.devices.calibration import Observation, Work, calibrate
from fedlite.devices.compute import training_configuration
from fedlite.devices.estimate import Calibration
from fedlite.devices.features import CONV1X1, FP32_BYTES, LAYERS, MILLION, TERMS
from fedlite.devices.fitted import Band, FittedPopulation, SpecSheet, Spread, to_json
from fedlite.devices.training import per_sample_terms
from fedlite.devices.workload import Layer, OpClass, Workload
from fedlite.scenario.profiles import load_profile

BATCH_BOUND = np.array([term in ("mmac", "gate_mb") for term in recurrent.TERMS])
"""Terms of work that grows with the batch; the others are what an engine does around it, step by step."""
STACKS = {"reddit stacked LSTM": ((200, 256), (256, 256), 10), "shakespeare stacked LSTM": ((8, 256), (256, 256), 80)}
"""FLASH's two stacked nets: two layers (in, out) and time steps; sizes of LEAF's nets, which it trains. They only tell
how far phones differ between work by the batch and work by the step, not what either costs: what surrounds the layers
(a softmax over 10,000 words) is not described."""


@dataclass(frozen=True)
class Phone:
    """One phone's LSTM rows: terms (n, 5) and measured seconds (n,)."""

    terms: np.ndarray
    seconds: np.ndarray


def _phones(rows):
    table = defaultdict(list)
    for row in rows:
        terms = recurrent.named_terms(row.model, row.batch)
        if row.family == "training-lstm-time" and terms is not None:
            table[row.device].append((terms, row.value))
    return {d: Phone(np.array([t for t, _ in seen]), np.array([v for _, v in seen])) for d, seen in table.items()}


def _stacks(rows):
    """Return log (shakespeare / reddit) of the phones that ran both."""
    table = defaultdict(dict)
    for row in rows:
        if row.model in STACKS:
            table[row.device][row.model] = np.log(row.value)
    first, second = STACKS
    return np.array([seen[second] - seen[first] for seen in table.values() if len(seen) == len(STACKS)])


def _stack_terms(name, batch):
    *layers, steps = STACKS[name]
    return sum(recurrent.terms(inputs, outputs, steps, batch) for inputs, outputs in layers)


def _lean(phone, weights):
    """Return (log scalar, log of how much dearer work by the batch is than work by the step) of one phone."""

    def residuals(x):
        return np.log(phone.terms @ (weights * np.exp(x[0] + x[1] * BATCH_BOUND)) / phone.seconds)

    return least_squares(residuals, np.zeros(2)).x


def _shared_weights(phones):
    """Return the shared weights (5,), and each phone's scalar and lean around them."""
    weights, own = np.ones(len(recurrent.TERMS)), np.zeros((len(phones), 2))
    for _ in range(50):
        costs = [np.exp(scalar + lean * BATCH_BOUND) for scalar, lean in own]
        design = np.vstack([p.terms * c / p.seconds[:, None] for p, c in zip(phones, costs, strict=True)])
        weights = nnls(design, np.ones(len(design)))[0]
        own = np.array([_lean(p, weights) for p in phones])
        weights *= np.exp(own[:, 0].mean() + own[:, 1].mean() * BATCH_BOUND)
        own -= own.mean(axis=0)
    return np.maximum(weights, LEAST_WEIGHT), own


LEAST_WEIGHT = 1e-6
"""Of a term that no row needs, so that it has a logarithm."""


def _lstm_population(phones, deviation):
    weights, own = _shared_weights(phones)
    costs = [weights * np.exp(scalar + lean * BATCH_BOUND) for scalar, lean in own]
    left = np.concatenate([np.log(p.terms @ c / p.seconds) for p, c in zip(phones, costs, strict=True)])
    noise = float(np.sqrt((left**2).sum() / (len(left) - len(weights) - own.size)))
    spread = Spread(np.where(BATCH_BOUND, deviation, OTHER_SD), {}, (0.0, 0.0), (0.0, 0.0), noise)
    reach = float(stats.t.ppf(0.9, LEANS_TOLD))
    bands = {"": {kind.value: Band(-reach, reach) for kind in Calibration}}
    return FittedPopulation("recurrent", np.log(weights), {}, SpecSheet({}, 0.0, 0.0), spread, bands=bands)


OTHER_SD = 0.2
"""Log deviation of the other terms: those of the two phones are up to 0.4 apart."""
LEANS_TOLD = 3
"""Degrees of freedom of the spread of leans: one from two phones with grids, two from three with stacks."""


def _deviation(rows, phones):
    """Return the standard deviation (log) of phones' leans, from the grids of two and the stacks of three."""
    weights, own = _shared_weights(phones)
    shares = []
    for name, batch in zip(STACKS, (10, 100), strict=True):
        parts = weights * _stack_terms(name, batch)
        shares.append(float(parts[BATCH_BOUND].sum() / parts.sum()))
    stacks = _stacks(rows) / (shares[1] - shares[0])
    squares = (own[:, 1] ** 2).sum() + ((stacks - stacks.mean()) ** 2).sum()
    return float(np.sqrt(squares / LEANS_TOLD))


def recurrent_record(rows):
    """Return the population of LSTM layers, and its errors on either phone from the other one's weights."""
    phones = _phones(rows)
    deviation = _deviation(rows, list(phones.values()))
    out = {count: [] for count in (1, 2, 3)}
    for left, phone in phones.items():
        known = _lstm_population([p for name, p in phones.items() if name != left], deviation)
        for count, points in out.items():
            order = informative_order(known, phone.terms, count)
            seen = [Observation(Work(phone.terms[i]), float(phone.seconds[i])) for i in order]
            device = calibrate(known, {}, seen)
            for i in sorted(set(range(len(phone.seconds))) - set(order)):
                work, band = Work(phone.terms[i]), device.band(Work(phone.terms[i]))
                ratio = phone.seconds[i] / device.latency_s(work)
                points.append((abs(1.0 / ratio - 1.0), band.low <= ratio <= band.high))
    return {
        "population": to_json(_lstm_population(list(phones.values()), deviation)) | {"terms": list(recurrent.TERMS)},
        "leave_one_device_out": {
            f"{count} anchors": {
                "n": len(points),
                "mape_percent": round(100 * float(np.mean([error for error, _ in points])), 2),
                "median_percent": round(100 * float(np.median([error for error, _ in points])), 2),
                "in_band_percent": round(100 * float(np.mean([held for _, held in points])), 1),
            }
            for count, points in out.items()
        },
    }


PHONES = {"Nexus 6": "nexus-6", "Redmi Note 8": "redmi-note-8"}
"""Phones of FLASH's LSTM grids -> profiles."""


def _lstm(model):
    """Return a workload of one LSTM layer named as in FLASH's grids."""
    inputs, outputs, steps = recurrent.sizes(model)
    weights = recurrent.GATES * outputs * (inputs + outputs)
    biases = 2 * recurrent.GATES * outputs
    layer = Layer(
        "lstm", OpClass.RECURRENT, weights * steps, weights + biases, weights, inputs * steps, outputs * steps, 0,
        steps=steps,
    )  # fmt: skip
    return Workload(model, (steps, inputs), (layer,), 0)


def recurrent_factor(rows, backward):
    """Return by what recurrent layers exceed the linear factor, with the band of a single measurement around it.

    Every cost but theirs is the model's own, so the phones' own errors are in the band.
    """
    seen = []
    for row in rows:
        if row.family == "training-lstm-time" and recurrent.named_terms(row.model, row.batch) is not None:
            device, work = training_configuration(load_profile(PHONES[row.device])), _lstm(row.model)
            factors = np.array([backward["factors"][term] for term in TERMS])
            plain, doubled = (float((device.costs * factors) @ per_sample_terms(work, recurrent=n)) for n in (1.0, 2.0))
            fixed = backward["fixed_per_layer"] * _steps(work) * float(device.costs[LAYERS])
            fixed += backward["fixed_per_param_mb"] * FP32_BYTES * work.params / MILLION * float(device.costs[CONV1X1])
            seen.append((row.value, fixed + row.batch * (2.0 * plain - doubled), row.batch * (doubled - plain)))
    measured, around, own = np.array(seen).T

    def errors(x):
        return np.log(measured / (around + np.exp(x[0]) * own))

    log = least_squares(errors, np.zeros(1)).x
    low, high = np.exp(np.quantile(errors(log), [0.1, 0.9]))
    return {"factor": round(float(np.exp(log[0])), 3), "band": [round(float(low), 4), round(float(high), 4)]}


def _steps(work):
    return float(sum(layer.steps for layer in work.layers))
