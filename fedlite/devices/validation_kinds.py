"""Predictions of one group of measured rows from its anchors, for each kind of quantity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fedlite.devices import batch_curve, published, recurrent
from fedlite.devices.anchors import batch_order, inference_order, informative_order
from fedlite.devices.calibration import Calibrated, Observation, Work, calibrate, class_of
from fedlite.devices.fitted import Band, coefficients, population
from fedlite.devices.measured_condition import calibrated, condition_of
from fedlite.devices.validation_records import GroupResult, Point

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.devices.measurements import Measurement

Latencies = Mapping[tuple[str, str, str], float]


def work_of(row: Measurement) -> Work:
    """Return the terms of a row's network, known by layers or standing in for it."""
    net = row.net
    return Work(net.terms, net)


def _in_anchor_order(rows: Sequence[Measurement]) -> list[Measurement]:
    rows = sorted(rows, key=lambda row: (row.model, row.input, row.value, row.row))  # the file's order decides nothing
    nets = [row.net for row in rows]
    names, sizes = [published.normalised(net.name) for net in nets], [float(net.terms.sum()) for net in nets]
    return [rows[index] for index in inference_order(names, sizes, [net.exact for net in nets])]


def _device(rows: Sequence[Measurement], observed: Sequence[Measurement]) -> Calibrated | str:
    condition = condition_of(rows[0])
    if condition is None:
        return "no population covers this family"
    seen = [Observation(work_of(row), row.value) for row in observed]
    device = calibrated(population(condition.population), condition, seen)
    return device or "no anchor, and the row does not name core and clock for a spec-sheet estimate"


def _result(rows: Sequence[Measurement], kind: str, anchors: Sequence[Measurement], points: list[Point]) -> GroupResult:
    first = rows[0]
    names = tuple(f"{row.model} (batch {row.batch})" if row.batch != 1 else row.model for row in anchors)
    return GroupResult(
        first.device, first.family, first.precision, first.threads, first.setting, kind, names, tuple(points)
    )


def _point(row: Measurement, predicted: float, band: Band, kind: str = "") -> Point:
    low, high = predicted * band.low, predicted * band.high
    return Point(row.row, row.model, row.batch, row.value, predicted, low, high, kind)


def predict_inference(rows: Sequence[Measurement], count: int) -> GroupResult | str:
    """Return the predictions of one configuration's latencies, or why there are none.

    A configuration with no more rows than anchors keeps one row to predict: a single row is judged by its spec sheet.
    """
    ordered = _in_anchor_order(rows)
    condition = condition_of(rows[0])
    if condition is not None and condition.described and len(ordered) <= count:
        count = len(ordered) - 1
    anchors, rest = ordered[:count], ordered[count:]
    device = _device(rows, anchors)
    if isinstance(device, str):
        return device
    works = [(row, work_of(row)) for row in rest]
    points = [_point(row, device.latency_s(work), device.band(work), _kind(work)) for row, work in works]
    return _result(rows, device.calibration.value, anchors, points)


def _kind(work: Work) -> str:
    return "layers" if work.net is not None and work.net.exact else "stand-in"


def predict_energy(rows: Sequence[Measurement], count: int, latencies: Latencies) -> GroupResult | str:
    """Return predictions of a board's energies: the anchors' active power times the time of each workload.

    The time is the measured one where the file has it (power is what is being validated), else the energy scales with
    the predicted time.
    """
    if count == 0:
        return "no anchor: the power of a board is measured, not predicted"
    ordered = _in_anchor_order(rows)
    anchors, rest = ordered[:count], ordered[count:]
    times = {row.model: _time_of(row, rows, latencies) for row in rows}
    offsets: Mapping[str, float] = coefficients("energy.json")["power_offset"]
    powers = [float(np.log(row.value / times[row.model])) - _offset(row, offsets) for row in anchors]
    log_power = float(np.mean(powers))
    band = _energy_band()
    points = [_point(row, float(np.exp(log_power + _offset(row, offsets))) * times[row.model], band) for row in rest]
    return _result(rows, class_of(count).value, anchors, points)


def _energy_band() -> Band:
    low, high = coefficients("energy.json")["band"]
    return Band(low, high)


def _offset(row: Measurement, offsets: Mapping[str, float]) -> float:
    net = published.find(row.model)
    return offsets.get(net.name, 0.0) if net and row.family == "mcu-energy" else 0.0


def _time_of(row: Measurement, rows: Sequence[Measurement], latencies: Latencies) -> float:
    """Return the measured time of a row's workload, or what the others' times make of it."""
    own = (row.device, row.setting, row.model)
    if own in latencies:
        return latencies[own]
    others = [other for other in rows if (other.device, other.setting, other.model) in latencies]
    seen = [Observation(work_of(other), latencies[other.device, other.setting, other.model]) for other in others]
    return calibrate(population("mcu"), {}, seen, group="mcu-latency", prior_log_scale=0.0).latency_s(work_of(row))


def predict_recurrent(rows: Sequence[Measurement], count: int) -> GroupResult | str:
    """Return predictions of one phone's LSTM training times from a few of them."""
    if count == 0:
        return "no anchor: the speed of a phone's recurrent training is measured, not predicted"
    known = recurrent.population()
    works = [Work(_lstm_terms(row)) for row in rows]
    chosen = informative_order(known, np.array([work.terms for work in works]), count)
    device = calibrate(known, {}, [Observation(works[index], rows[index].value) for index in chosen])
    rest = [(row, work) for index, (row, work) in enumerate(zip(rows, works, strict=True)) if index not in chosen]
    points = [_point(row, device.latency_s(work), device.band(work)) for row, work in rest]
    return _result(rows, device.calibration.value, [rows[index] for index in chosen], points)


def _lstm_terms(row: Measurement) -> NDArray[np.float64]:
    terms = recurrent.named_terms(row.model, row.batch)
    if terms is None:
        raise KeyError(row.model)
    return terms


def predict_training(rows: Sequence[Measurement], count: int) -> GroupResult | str:
    """Return predictions along one batch curve: time, energy or memory of a training step, or batched inference."""
    if count == 0:
        return "no anchor: training curves are calibrated per network"
    family = rows[0].family
    if len({row.batch for row in rows}) == 1:
        return "a single batch size: nothing to predict from an anchor"
    order = batch_order([row.batch for row in rows])
    anchors = [rows[index] for index in order[:count]]
    rest = [rows[index] for index in order[count:]]
    record = coefficients("training.json")["curves"][family]
    net = published.normalised(rows[0].model)
    shape = record["fixed_over_per_sample_by_net"].get(net, record["fixed_over_per_sample"])
    values = [row.value / _pressure(family, net, row.batch) for row in anchors]
    curve = batch_curve.through([row.batch for row in anchors], values, float(shape))
    low, high = record["bands"][str(min(count, len(record["bands"])))]
    points = [_point(row, curve.at(row.batch) * _pressure(family, net, row.batch), Band(low, high)) for row in rest]
    return _result(rows, class_of(count).value, anchors, points)


def _pressure(family: str, net: str, batch: int) -> float:
    """Return what swapping does to a phone's curve at this batch: longer, and no more resident than the ceiling."""
    cliff = coefficients("training.json")["cliff"]
    if net not in cliff["wanted_bytes_by_net"]:
        return 1.0
    fixed, per_sample = cliff["wanted_bytes_by_net"][net]
    load = float(fixed + per_sample * batch) / float(cliff["resident_ceiling_bytes"])
    if load <= 1.0:
        return 1.0
    return 1.0 / load if family == "training-memory" else 1.0 + float(cliff["slope"]) * (load - 1.0)
