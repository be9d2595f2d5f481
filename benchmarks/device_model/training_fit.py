"""Coefficients of on-device training (time, memory) and of active power, from the MNN suite and MLPerf Tiny rows."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from collection import FILES, lodo_unit
from leave_out import scale_of
from scipy import stats
from scipy.optimize import least_squares, nnls

from fedlite.devices import batch_curve, published
from fedlite.devices.anchors import LARGEST_ANCHOR_BATCH, batch_order
from fedlite.devices.features import CONV1X1, LAYERS, MILLION, TERMS
from fedlite.devices.memory import FP32_BYTES, RUNTIME_BYTES

BETWEEN = (2, 4, 8)


def curves(rows, family):
    table = defaultdict(dict)
    for row in rows:
        if row.family == family and "UbiquitousLearning" in row.source:
            table[row.device, row.model][row.batch] = row.value
    return dict(table)


def curve_record(rows, family):
    """Return the usual shape (geometric mean over nets) and, by number of anchors, the error band of curves."""
    ratios, errors, by_net = [], [], defaultdict(list)
    for (_, model), curve in curves(rows, family).items():
        two = batch_curve.through([1, LARGEST_ANCHOR_BATCH], [curve[1], curve[LARGEST_ANCHOR_BATCH]], 1.0)
        ratios.append(max(two.fixed / two.per_sample, 0.05))
        errors += [abs(two.at(b) / curve[b] - 1) for b in BETWEEN]
        by_net[_net_name(model)].append((two.fixed, two.per_sample))
    shapes = {n: _shape(v) for n, v in sorted(by_net.items())}
    return {
        "fixed_over_per_sample": round(float(np.exp(np.mean(np.log(ratios)))), 4),
        "fixed_over_per_sample_by_net": {n: round(shape, 4) for n, shape in shapes.items()},
        "bands": {str(count): _band(_curve_logs(rows, family, shapes, count)) for count in (1, 2, 3)},
        "two_anchor_mape_percent": round(100 * float(np.mean(errors)), 2),
        "n": len(errors),
    }


def _curve_logs(rows, family, shapes, count):
    """Return per curve the logs of measured over predicted from `count` anchors, up to the batch where phones swap."""
    out = []
    for (_, model), curve in curves(rows, family).items():
        batches = sorted(b for b in curve if b <= LARGEST_ANCHOR_BATCH)
        order = [batches[i] for i in batch_order(batches)]
        seen, rest = order[:count], order[count:]
        line = batch_curve.through(seen, [curve[b] for b in seen], shapes[_net_name(model)])
        out.append([float(np.log(curve[b] / line.at(b))) for b in rest])
    return out


def _band(logs):
    """Return quantiles of the logs of curves as factors, at the level that covers four fifths of curves left out."""

    def reach(kept, level):
        return np.quantile(np.concatenate(kept), [(1 - level) / 2, (1 + level) / 2])

    for level in np.arange(0.8, 1.001, 0.01):
        held = []
        for i, curve in enumerate(logs):
            low, high = reach(logs[:i] + logs[i + 1 :], level)
            held += [low <= x <= high for x in curve]
        if np.mean(held) >= 0.8:
            break
    low, high = np.exp(reach(logs, level))
    return [round(float(low), 4), round(float(high), 4)]


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
SUITE = FILES[0].parent / "suite_nets.csv"
SAMPLE_BATCHES = (4, 8, 16)
FULL_CLOCK_HZ, LOW_CLOCK_HZ = 2.42e9, 1.7088e9
MOVES = np.array([term == "activations" for term in TERMS])
"""Terms have one factor for what multiplies and one for what moves activations: four nets tell no more apart."""
PRIOR_FACTOR, PRIOR_SD = 6.0, 0.5
"""Of the multiplying factor: three times the operations, without the tricks of inference kernels (assumed twice)."""
MOVING_SD = 3.0


@dataclass(frozen=True)
class SuiteNet:
    """A network of the suite as it is built there: terms (9,) of one more sample of a batch, and its sizes."""

    terms: np.ndarray
    layers: float
    params: float
    linear_params: float
    moving_bytes: float


def suite_nets():
    with SUITE.open() as file:
        table = list(csv.DictReader(line for line in file if not line.startswith("#")))
    return {
        row["net"]: SuiteNet(
            np.array([float(row[term]) for term in TERMS]),
            *(float(row[name]) for name in ("weighted_layers", "params", "linear_params", "moving_bytes")),
        )
        for row in table
    }


@dataclass(frozen=True)
class Point:
    """One measured training curve: what the net's terms take in inference, and what a step takes, in seconds."""

    net: str
    parts: np.ndarray
    per_sample: float
    fixed: float
    dispatches: float
    """Seconds of dispatching every layer once."""
    param_mmacs: float
    """Seconds of one multiply-accumulate (1x1) per four parameter bytes."""


def sd855(pop, configs):
    """Return the CPU population, the log scalar and the covariates of the chip that the MNN suite was measured on."""
    for config, rows in configs.items():
        known = config.covariates
        if SD855 in config.key[0] and "mode:ncnn-fp16" in known and known.get("log2_threads", 0.0) > 1.0:
            return pop, scale_of(pop, config, rows), known
    raise LookupError(SD855)


def _points(rows, pop, scale, covariates):
    nets, costs = suite_nets(), np.exp(scale + pop.expected_log_weights(covariates))
    out = []
    for (device, model), curve in curves(rows, "training-time").items():
        if model not in nets:
            continue
        net = nets[model]
        few = [b for b in SAMPLE_BATCHES if b in curve]
        line = batch_curve.through(few, [curve[b] for b in few], 1.0)
        slower = FULL_CLOCK_HZ / LOW_CLOCK_HZ if "GHz" in device else 1.0
        dispatches = net.layers * costs[LAYERS]
        param_mmacs = FP32_BYTES * net.params / MILLION * costs[CONV1X1]
        measured = (line.per_sample / slower, line.fixed / slower)
        out.append(Point(model, costs * net.terms, *measured, dispatches, param_mmacs))
    return out


def _backward(points):
    """Return the factor of training over inference per term (9,)."""
    alone = np.array([sum(other.net == p.net for other in points) for p in points])

    def residuals(x):
        factors = np.exp(np.where(MOVES, x[1], x[0]))
        errors = np.log([p.parts @ factors / p.per_sample for p in points]) / ERROR_SD / np.sqrt(alone)
        return np.concatenate([errors, (x - np.log(PRIOR_FACTOR)) / (PRIOR_SD, MOVING_SD)])

    x = least_squares(residuals, np.full(2, np.log(PRIOR_FACTOR))).x
    return np.exp(np.where(MOVES, x[1], x[0]))


ERROR_SD = 0.4
"""Log error of a net under two factors, as the fit weighs it against its prior."""


def _fixed(points):
    design = np.array([[p.dispatches, p.param_mmacs] for p in points])
    target = np.array([max(p.fixed, 1e-3) for p in points])
    weights = 1.0 / np.maximum(target, np.median(target) / 4)
    return nnls(design * weights[:, None], target * weights)[0]


def backward_record(rows, pop, scale, covariates):
    """Return factors of a training step per term, with the band of nets left out."""
    points = _points(rows, pop, scale, covariates)
    logs = {}
    for net in sorted({p.net for p in points}):
        factors = _backward([p for p in points if p.net != net])
        logs[net] = [float(np.log(p.per_sample / (p.parts @ factors))) for p in points if p.net == net]
    factors = _backward(points)
    per_layer, per_mb = _fixed(points)
    # The rows of one net err together, so the nets are counted.
    reach = _reach(len(logs)) * float(np.sqrt(np.mean([np.mean(np.square(v)) for v in logs.values()])))
    return {
        "unit": "factors: training per sample over inference; fixed: dispatches per layer, 1x1 MMAC per parameter MB",
        "factors": {term: round(float(f), 3) for term, f in zip(TERMS, factors, strict=True)},
        "fixed_per_layer": round(float(per_layer), 3),
        "fixed_per_param_mb": round(float(per_mb), 3),
        "band": [round(float(np.exp(-reach)), 4), round(float(np.exp(reach)), 4)],
        "leave_one_net_out_log_errors": {net: [round(x, 3) for x in v] for net, v in logs.items()},
    }


def _reach(nets):
    """Return standard deviations that leave 10 % on either side, of a spread that so many nets told."""
    return float(stats.t.ppf(0.9, nets - 1))


def _log_factors(rows):
    """Return {net: log of measured bytes per sample over `memory.moving_bytes`}."""
    out = {}
    for (device, model), curve in curves(rows, "training-memory").items():
        if model in suite_nets() and "GHz" in device:
            line = batch_curve.through([1, LARGEST_ANCHOR_BATCH], [curve[1], curve[LARGEST_ANCHOR_BATCH]], 1.0)
            out[model] = float(np.log(line.per_sample / suite_nets()[model].moving_bytes))
    return out


def _factor(logs):
    values = np.array(list(logs.values()))
    reach = _reach(len(values)) * float(np.std(values, ddof=1)) * np.sqrt(1 + 1 / len(values))
    return float(values.mean()), float(reach)


def memory_record(rows):
    """Return what a training engine takes per byte of activations and unfolded inputs, with the band of a fifth net.

    Large linear layers are held several times over; one net of the suite has any, and tells how many times.
    """
    logs = _log_factors(rows)
    level, reach = _factor(logs)
    held = {}
    for net, log in logs.items():
        others, far = _factor({name: value for name, value in logs.items() if name != net})
        held[net] = [round(log - others, 3), round(far, 3)]
    nets = suite_nets()
    wants = cliff_record(rows)["wanted_bytes_by_net"]
    net = max(nets.values(), key=lambda n: n.linear_params)
    name = next(name for name, other in nets.items() if other is net)
    beyond = wants[_net_name(name)][0] - RUNTIME_BYTES - COPIES * FP32_BYTES * net.params
    return {
        "factor": round(float(np.exp(level)), 3),
        "band": [round(float(np.exp(-reach)), 4), round(float(np.exp(reach)), 4)],
        "linear_copies": round(beyond / FP32_BYTES / net.linear_params, 2),
        "log_factor_by_net": {net: round(v, 3) for net, v in logs.items()},
        "leave_one_net_out_log_error_and_reach": held,
        "runtime_bytes": RUNTIME_BYTES,
        "bytes_per_element": FP32_BYTES,
    }


COPIES = 3.0
"""Of every parameter, as the suite trains: weights, gradients and momentum."""
