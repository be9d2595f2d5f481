"""Coefficients of on-device training (time, memory) and of active power, from the MNN suite and MLPerf Tiny rows."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from collection import FILES, lodo_unit
from leave_out import scale_of
from scipy.optimize import least_squares, nnls

from fedlite.devices import batch_curve, published, recurrent
from fedlite.devices.anchors import LARGEST_ANCHOR_BATCH
from fedlite.devices.features import CALLS, CONV1X1, LAYERS, LINEAR, LINEAR_REUSE, TERMS
from fedlite.devices.memory import FP32_BYTES, RUNTIME_BYTES

BETWEEN = (2, 4, 8)


def curves(rows, family):
    table = defaultdict(dict)
    for row in rows:
        if row.family == family and "UbiquitousLearning" in row.source:
            table[row.device, row.model][row.batch] = row.value
    return dict(table)


def curve_record(rows, family):
    """Return the usual shape (geometric mean over nets) and the error band of two-anchor curves."""
    ratios, logs, by_net = [], [], defaultdict(list)
    for (_, model), curve in curves(rows, family).items():
        two = batch_curve.through([1, LARGEST_ANCHOR_BATCH], [curve[1], curve[LARGEST_ANCHOR_BATCH]], 1.0)
        ratios.append(max(two.fixed / two.per_sample, 0.05))
        logs += [np.log(curve[b] / two.at(b)) for b in BETWEEN]
        by_net[_net_name(model)].append((two.fixed, two.per_sample))
    low, high = np.exp(np.quantile(logs, [0.1, 0.9]))
    error = np.abs(np.exp(-np.array(logs)) - 1)
    return {
        "fixed_over_per_sample": round(float(np.exp(np.mean(np.log(ratios)))), 4),
        "fixed_over_per_sample_by_net": {n: round(_shape(v), 4) for n, v in sorted(by_net.items())},
        "band": [round(float(low), 4), round(float(high), 4)],
        "two_anchor_mape_percent": round(100 * float(error.mean()), 2),
        "n": len(logs),
    }


def _net_name(model):
    return published.normalised(model)


def _shape(pairs):
    """Return the geometric mean over devices of fixed / per sample."""
    return float(np.exp(np.mean([np.log(max(fixed / per, 0.01)) for fixed, per in pairs])))


def cliff_record(rows):
    """Return where phones start to swap: the memory each net wants, the resident ceiling, the price of exceeding it.

    One net of the suite (SqueezeNet, batch 32) wants more than stays resident; ceiling and slope rest on it alone.
    """
    memory, times = curves(rows, "training-memory"), curves(rows, "training-time")
    wants, excess = {}, []
    for (device, model), curve in memory.items():
        line = batch_curve.through([1, LARGEST_ANCHOR_BATCH], [curve[1], curve[LARGEST_ANCHOR_BATCH]], 1.0)
        wants[_net_name(model)] = [round(line.fixed), round(line.per_sample)]
        for batch, resident in curve.items():
            if resident < SWAPPED * line.at(batch):
                time = times[device, model]
                affine = batch_curve.through([1, LARGEST_ANCHOR_BATCH], [time[1], time[LARGEST_ANCHOR_BATCH]], 1.0)
                excess.append((line.at(batch) / resident - 1, time[batch] / affine.at(batch) - 1, resident))
    ((load, slow, ceiling),) = excess
    return {"wanted_bytes_by_net": wants, "resident_ceiling_bytes": ceiling, "slope": round(slow / load, 3)}


SWAPPED = 0.85
"""Resident memory below this share of the affine curve means that the rest was swapped out."""


def _powers(rows):
    """Return {(device, round): {net: log watts}} of boards whose energy and latency were both measured."""
    times = {(r.device, r.setting, r.model): r.value for r in rows if r.family == "mcu-latency"}
    boards = defaultdict(dict)
    for r in rows:
        key = (r.device, r.setting, r.model)
        if r.family == "mcu-energy" and key in times:
            boards[r.device, r.setting][published.find(r.model).name] = np.log(r.value / times[key])
    return dict(boards)


def _power_offsets(boards):
    centred = defaultdict(list)
    for powers in boards.values():
        for net, power in powers.items():
            centred[net].append(power - np.mean(list(powers.values())))
    # shrunk by four boards' worth of zeros, because boards disagree about as much as the effect is large
    return {net: float(np.median(v)) * len(v) / (len(v) + 4) for net, v in centred.items()}


def energy_record(rows):
    """Return how active power depends on the workload (log, relative to the board's mean) and what is left.

    The error is that of chips left out, with one anchor (MobileNet first) and measured times.
    """
    boards, logs = _powers(rows), []
    for left in sorted({lodo_unit(device) for device, _ in boards}):
        offsets = _power_offsets({k: v for k, v in boards.items() if lodo_unit(k[0]) != left})
        for powers in [v for k, v in boards.items() if lodo_unit(k[0]) == left]:
            anchor = next(n for n in ("mobilenet_v1_0.25_96", "resnet8", "ds-cnn") if n in powers)
            level = powers[anchor] - offsets.get(anchor, 0.0)
            logs += [p - level - offsets.get(net, 0.0) for net, p in powers.items() if net != anchor]
    low, high = np.exp(np.quantile(logs, [0.1, 0.9]))
    error = np.abs(np.exp(-np.array(logs)) - 1)
    return {
        "power_offset": {net: round(o, 4) for net, o in sorted(_power_offsets(boards).items())},
        "band": [round(float(low), 4), round(float(high), 4)],
        "boards": len(boards),
        "leave_one_chip_out_mape_percent": round(100 * float(error.mean()), 2),
        "median_percent": round(100 * float(np.median(error)), 2),
        "n": len(logs),
    }


def records(rows):
    families = ("training-time", "training-energy", "training-memory", "inference-batch")
    return {f: curve_record(rows, f) for f in families}, energy_record(rows)


SD855 = "Snapdragon 855"
NETS = {
    "AlexNet": "alexnet",
    "GoogLeNet": "googlenet",
    "SqueezeNet": "squeezenet",
    "MobileNetV2 (4 classes)": "mobilenet_v2",
}
"""MNN suite -> nets with layer tables (LeNet-5 is left out: the suite does not say which one)."""
PARAM_MB = {"alexnet": 244.0, "googlenet": 27.2, "squeezenet": 1.6, "mobilenet_v2": 13.6}
SAMPLE_BATCHES = (4, 8, 16)
FULL_CLOCK_HZ, LOW_CLOCK_HZ = 2.42e9, 1.7088e9
CLASS_OF_TERM = ("dense", "pointwise", "dense", "depthwise", "dense", "dense", "overhead", "overhead", "overhead")
"""Terms share a factor by class: five nets cannot tell eight apart."""
PRIOR_FACTOR, PRIOR_SD = 10.0, 0.25
"""Drawn hard to one factor for all classes: six nets on three engines support little more."""


EXPRESS = ("SqueezeNet", "MobileNetV2 (4 classes)")
"""Nets that the suite trains through MNN's expression interface instead of its training graph."""
ENGINES = ("mnn-train", "mnn-express")
"""Nobody knows which of the two an app's runtime resembles: fedlite charges their geometric mean, and the band is wide
enough for both."""
ENGINE_SD = 1.5


@dataclass(frozen=True)
class Point:
    """One measured marginal cost: seconds of a training step per sample, in units of the device's scalar."""

    net: str
    engine: str
    parts: np.ndarray
    per_sample: float
    fixed: float
    layers: float
    param_mb: float
    per_layer: float
    """Inference cost of one dispatch, in the same unit."""
    per_mmac: float


def sd855(pop, configs):
    """Return the CPU population, the log scalar and the covariates of the chip that the MNN suite was measured on."""
    for config, rows in configs.items():
        known = config.covariates
        if SD855 in config.key[0] and "mode:ncnn-fp16" in known and known.get("log2_threads", 0.0) > 1.0:
            return pop, scale_of(pop, config, rows), known
    raise LookupError(SD855)


def _points(rows, pop, scale, covariates):
    weights = np.exp(pop.expected_log_weights(covariates))
    out = []
    for (device, model), curve in curves(rows, "training-time").items():
        if model not in NETS:
            continue
        net = published.find(NETS[model])
        few = [b for b in SAMPLE_BATCHES if b in curve]
        line = batch_curve.through(few, [curve[b] for b in few], 1.0)
        unit = np.exp(scale) * (FULL_CLOCK_HZ / LOW_CLOCK_HZ if "GHz" in device else 1.0)
        marginal = net.terms.copy()
        marginal[[LINEAR, LAYERS, CALLS]] *= [1 / LINEAR_REUSE, 0.0, 0.0]
        engine = "mnn-express" if model in EXPRESS else "mnn-train"
        out.append(
            Point(
                model,
                engine,
                marginal * weights * np.exp(pop.offset(net, covariates)),
                line.per_sample / unit,
                line.fixed / unit,
                net.terms[LAYERS],
                PARAM_MB[net.name],
                weights[LAYERS],
                weights[CONV1X1],
            )
        )
    return out


def _backward(points):
    """Return (factor per term, log factor per engine relative to the first)."""
    classes = sorted(set(CLASS_OF_TERM))
    share = np.array([[name == c for c in classes] for name in CLASS_OF_TERM], dtype=float)
    engine = np.array([[p.engine == e for e in ENGINES] for p in points], dtype=float)
    parts = np.array([p.parts for p in points]) @ share
    target = np.log([p.per_sample for p in points])

    def residuals(x):
        log_f, log_e = x[: len(classes)], x[len(classes) :]
        errors = (np.log(parts @ np.exp(log_f)) + engine @ log_e - target) / 0.2
        return np.concatenate([errors, (log_f - np.log(PRIOR_FACTOR)) / PRIOR_SD, log_e / ENGINE_SD])

    start = np.concatenate([np.full(len(classes), np.log(PRIOR_FACTOR)), np.zeros(len(ENGINES))])
    x = least_squares(residuals, start).x
    log_e = x[len(classes) :]
    level = float(log_e.mean())
    return share @ np.exp(x[: len(classes)] + level), log_e - level


def _fixed(points):
    known = [p for p in points if p.layers]
    design = np.array([[p.layers * p.per_layer, p.param_mb * p.per_mmac] for p in known])
    target = np.array([max(p.fixed, 1e-3) for p in known])
    weights = 1.0 / np.maximum(target, np.median(target) / 4)
    return nnls(design * weights[:, None], target * weights)[0]


def backward_record(rows, pop, scale, covariates):
    """Return factors of a training step per term, the spread of engines, and the leave-one-net-out error."""
    points = _points(rows, pop, scale, covariates)
    logs = {}
    for net in sorted({p.net for p in points}):
        factors, engines = _backward([p for p in points if p.net != net])
        for p in points:
            if p.net == net:
                shift = engines[ENGINES.index(p.engine)]
                logs.setdefault(net, []).append(float(np.log(p.per_sample / (p.parts @ factors)) - shift))
    factors, engines = _backward(points)
    per_layer, per_mb = _fixed(points)
    within = float(np.std([x for v in logs.values() for x in v]))
    spread = float(np.hypot(within, np.std(engines)))
    return {
        "unit": "factors: training per sample over inference; fixed: dispatches per layer, 1x1 MMAC per parameter MB",
        "factors": {term: round(float(f), 3) for term, f in zip(TERMS, factors, strict=True)},
        "engines": {name: round(float(np.exp(e)), 3) for name, e in zip(ENGINES, engines, strict=True)},
        "fixed_per_layer": round(float(per_layer), 3),
        "fixed_per_param_mb": round(float(per_mb), 3),
        "log_deviation_within_engine": round(within, 4),
        "band": [round(float(np.exp(-1.2816 * spread)), 4), round(float(np.exp(1.2816 * spread)), 4)],
        "leave_one_net_out_log_errors": {net: [round(x, 3) for x in v] for net, v in logs.items()},
    }


def memory_record(rows):
    """Return what a training engine takes per byte of activations and unfolded inputs, with its band.

    The band is that of a fifth net, as far as four nets tell their spread: their own figures say how far it holds.
    """
    with (FILES[0].parent / "traced_training.csv").open() as file:
        table = list(csv.DictReader(line for line in file if not line.startswith("#")))
    logs = {}
    for (device, model), curve in curves(rows, "training-memory").items():
        name = TRACED.get(model)
        if name is None or "GHz" not in device:
            continue
        moving = next(float(r["moving_bytes"]) for r in table if r["net"] == name)
        measured = batch_curve.through([1, LARGEST_ANCHOR_BATCH], [curve[1], curve[LARGEST_ANCHOR_BATCH]], 1.0)
        logs[model] = float(np.log(measured.per_sample / moving))
    values = np.array(list(logs.values()))
    reach = NORMAL_80 * float(np.std(values, ddof=1)) * np.sqrt(1 + 1 / len(values))
    return {
        "factor": round(float(np.exp(values.mean())), 3),
        "band": [round(float(np.exp(-reach)), 4), round(float(np.exp(reach)), 4)],
        "log_factor_by_net": {net: round(v, 3) for net, v in logs.items()},
        "runtime_bytes": RUNTIME_BYTES,
        "bytes_per_element": FP32_BYTES,
    }


TRACED = {
    "AlexNet": "alexnet",
    "GoogLeNet": "googlenet",
    "SqueezeNet": "squeezenet1_1",
    "MobileNetV2 (4 classes)": "mobilenet_v2",
}
NORMAL_80 = 1.2816
"""Standard deviations of a normal distribution that leave 10 % on either side."""


def _lstm_rows(rows):
    table = defaultdict(list)
    for row in rows:
        terms = recurrent.named_terms(row.model, row.batch)
        if row.family == "training-lstm-time" and terms is not None:
            table[row.device].append((terms, row.value))
    return dict(table)


def _lstm_weights(devices):
    scales = dict.fromkeys(devices, 1.0)
    weights = np.ones(len(recurrent.TERMS))
    for _ in range(50):
        design = np.array([terms * scales[d] / value for d, seen in devices.items() for terms, value in seen])
        weights = nnls(design, np.ones(len(design)))[0]
        weights /= weights.sum()
        for d, seen in devices.items():
            scales[d] = float(np.exp(np.mean([np.log(v / (t @ weights)) for t, v in seen])))
    return weights


def recurrent_record(rows):
    """Return shared weights of the LSTM terms and the error of predicting one phone with the other one's weights."""
    devices, logs = _lstm_rows(rows), []
    for left in devices:
        weights = _lstm_weights({d: v for d, v in devices.items() if d != left})
        seen = sorted(devices[left], key=lambda pair: float(weights @ pair[0]))
        anchor = seen[(len(seen) - 1) // 2]
        scale = anchor[1] / (weights @ anchor[0])
        logs += [float(np.log(v / (scale * (weights @ t)))) for t, v in seen if t is not anchor[0]]
    low, high = np.exp(np.quantile(logs, [0.1, 0.9]))
    error = np.abs(np.exp(-np.array(logs)) - 1)
    return {
        "terms": list(recurrent.TERMS),
        "weights": [round(float(w), 6) for w in _lstm_weights(devices)],
        "band": [round(float(low), 4), round(float(high), 4)],
        "leave_one_device_out_mape_percent": round(100 * float(error.mean()), 2),
        "median_percent": round(100 * float(np.median(error)), 2),
        "n": len(logs),
    }
