"""Predictions of left-out devices, vendor families and networks, made by the very code that users run."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np
from hierarchical import Process, fit, settled, to_population

from fedlite.devices import published, spec_sheet
from fedlite.devices.anchors import inference_order
from fedlite.devices.calibration import Observation, Work, class_of
from fedlite.devices.features import LAYERS
from fedlite.devices.fitted import LAYERED, NEW, STAND_IN, Band, SpecSheet
from fedlite.devices.measured_condition import calibrated

COUNTS = (0, 1, 2, 3)
DRAWS = 1
"""Random draws of anchors beside the rule's own."""
FEW_DEVICES = 10
"""A family with fewer devices takes its population's bands."""


@dataclass(frozen=True)
class Prediction:
    population: str
    group: str
    device: str
    config: tuple
    net: str
    kind: str
    """Of the network: `LAYERED`, `NEW` or `STAND_IN`."""
    anchors: int
    drawn: bool
    """Whether the anchors were drawn at random instead of by the rule."""
    measured_s: float
    predicted_s: float
    low_s: float
    high_s: float
    spread: float
    dominant: int
    """Term that takes the largest share of the predicted time."""

    @property
    def log_error(self) -> float:
        return float(np.log(self.predicted_s / self.measured_s))

    @property
    def held(self) -> bool:
        return self.low_s <= self.measured_s <= self.high_s


def by_config(samples):
    table = defaultdict(list)
    for sample in samples:
        table[sample.config].append(sample)
    return dict(table)


def in_anchor_order(samples):
    names, sizes = [published.normalised(s.net.name) for s in samples], [float(s.terms.sum()) for s in samples]
    return [samples[i] for i in inference_order(names, sizes, [s.net.exact for s in samples])]


def scale_of(pop, config, samples):
    """Return the scalar that all samples of a configuration agree on."""
    z = config.covariates
    expected = np.exp(pop.expected_log_weights(z))
    return float(np.median([np.log(s.latency_s / (expected @ s.terms)) - pop.offset(s.net, z) for s in samples]))


CENTRE = {"log_clock": -1.0, "log2_threads": -0.45, "log2_lanes": -0.45}
"""What the spec sheet's regression is drawn to: time ~ 1 / clock, and less than proportional to cores and lanes."""
MCU_LANES = -0.69
RIDGE = {"constant": 1e-6, "log_clock": 3.0, "log2_lanes": 4.0, "log2_threads": 2.0}
KIND_RIDGE = 2.0


def spec_sheet_of(pop, samples, mcu):
    """Return {predictor: coefficient}: ridge regression of the scalars, every device weighing alike."""
    known = [(c, s) for c, s in by_config(samples).items() if c.clock_hz]
    rows = [spec_sheet.predictors(c.clock_hz, c.covariates) for c, _ in known]
    names = sorted({name for row in rows for name in row})
    x = np.array([[row.get(name, 0.0) for name in names] for row in rows])
    y = np.array([scale_of(pop, c, s) for c, s in known])
    count = defaultdict(int)
    for c, _ in known:
        count[c.device] += 1
    weight = np.array([count[c.device] ** -0.5 for c, _ in known])
    centre = np.array([CENTRE.get(name, 0.0) for name in names])
    if mcu:
        centre[names.index("log2_lanes")] = MCU_LANES
    centre[names.index("constant")] = np.average(y - x @ centre, weights=weight)
    ridge = np.diag([RIDGE.get(name, KIND_RIDGE) for name in names])
    trust = np.ones(len(y))
    for _ in range(5):
        w = weight * trust
        solved = centre + np.linalg.solve((x.T * w) @ x + ridge, (x.T * w) @ (y - x @ centre))
        left = y - x @ solved
        trust = 5.0 / (4.0 + (left / max(np.median(np.abs(left)) * 1.5, 0.1)) ** 2)
    return dict(zip(names, (float(v) for v in solved), strict=True))


def with_spec_sheet(pop, samples, deviations):
    if sum(c.clock_hz is not None for c in by_config(samples)) < FEW_DEVICES:
        return pop
    return replace(pop, spec_sheet=SpecSheet(spec_sheet_of(pop, samples, pop.name == "mcu"), *deviations))


def sheet_deviations(devices_out):
    """Return log standard deviations of left-out configurations: around the sheet, and between two of one device.

    The second is what remains when one configuration's surprise is carried to another precision or thread count.
    """
    errors = defaultdict(list)
    for p in devices_out:
        if p.anchors == 0:
            errors[p.device, p.config].append(p.log_error)
    levels = defaultdict(list)
    for (device, _), logs in errors.items():
        levels[device].append(float(np.median(logs)))
    every = [level for known in levels.values() for level in known]
    if not every:
        return 0.6, 0.4
    gaps = [a - b for known in levels.values() for i, a in enumerate(known) for b in known[i + 1 :]]
    between = np.sqrt(np.mean(np.square(gaps))) if gaps else np.std(every)
    return float(np.sqrt(np.mean(np.square(every)))), float(between)


def banded(predictions, pop):
    """Return the predictions with the bands of a population for their class, family and kind of network."""
    out = []
    for p in predictions:
        band = pop.band(class_of(p.anchors).value, p.group, p.kind)
        low, high = np.exp(band.low * p.spread), np.exp(band.high * p.spread)
        out.append(replace(p, low_s=p.predicted_s * low, high_s=p.predicted_s * high))
    return out


def predict(pop, config, samples, count, *, anchors=None, only=None):
    """Yield predictions of one configuration with `count` anchors (the rule's, or those given) of the others."""
    ordered = in_anchor_order([s for s in samples if only is None or s.net.name != only])
    chosen = ordered[:count] if anchors is None else anchors
    rest = [s for s in samples if s.net.name == only] if only else [s for s in ordered if not _among(s, chosen)]
    seen = [Observation(Work(s.terms, s.net), s.latency_s) for s in chosen]
    device = calibrated(pop, config.condition, seen)
    for s in rest if device is not None else ():
        work = Work(s.terms, s.net)
        value, spread = device.latency_s(work), device.spread(work)
        band = device.band(work) if pop.bands else Band(1.0, 1.0)
        yield Prediction(
            pop.name, config.group, config.device, config.key, s.net.name, pop.kind(s.net), count, anchors is not None,
            s.latency_s, value, value * band.low, value * band.high, spread, int(np.argmax(device.costs * s.terms)),
        )  # fmt: skip


def _among(sample, chosen):
    return any(sample is other for other in chosen)


def every_count(pop, mine, rng):
    """Return predictions of a left-out device's samples with 0 to 3 anchors, by the rule and by draws."""
    out = []
    for config, rows in by_config(mine).items():
        for count in COUNTS:
            if count >= len(rows):
                continue
            out += predict(pop, config, rows, count)
            for _ in range(DRAWS if count else 0):
                chosen = [rows[i] for i in rng.choice(len(rows), count, replace=False)]
                out += predict(pop, config, rows, count, anchors=chosen)
    return out


def leave_devices_out(name, samples, process, hyper, log_weights, deviation):
    """Leave out each device; variances are the whole population's (vendors are left out with theirs)."""
    out, rng = [], np.random.default_rng(0)
    kernel = process.kernel(hyper)
    for device in sorted({s.config.device for s in samples}):
        keep = np.array([s.config.device != device for s in samples])
        alpha = process.posterior(kernel, keep)
        rest = [s for s, kept in zip(samples, keep, strict=True) if kept]
        pop = with_spec_sheet(to_population(name, process, log_weights, hyper, alpha), rest, (deviation, deviation))
        out += every_count(pop, [s for s in samples if s.config.device == device], rng)
    return out


def leave_vendors_out(name, samples, prior, hyper, deviations):
    """Leave out each vendor family, variances included."""
    out, rng = [], np.random.default_rng(1)
    for vendor in sorted({s.config.vendor for s in samples}):
        rest = [s for s in samples if s.config.vendor != vendor]
        if len({s.config.device for s in rest}) < 2:
            continue
        pop = with_spec_sheet(fit(name, rest, prior, hyper, rounds=4)[0], rest, deviations)
        out += every_count(pop, [s for s in samples if s.config.vendor == vendor], rng)
    return out


def leave_nets_out(name, samples, process, hyper, log_weights, deviations):
    """Leave out one net everywhere, keep the device's one anchor (another net): new network on a known device.

    A net may be all that told two terms apart, and what the rest say then lies far off: the shares are taken anew.
    """
    out = []
    counts = defaultdict(set)
    for s in samples:
        counts[s.net.name].add(s.config.device)
    for net in sorted(net for net, devices in counts.items() if len(devices) >= WIDELY):
        keep = np.array([s.net.name != net for s in samples])
        rest = [s for s, kept in zip(samples, keep, strict=True) if kept]
        part = settled(Process(rest, log_weights, process.deviations[keep]), hyper, log_weights)
        pop = to_population(name, part, log_weights, hyper, part.posterior(hyper))
        pop = with_spec_sheet(pop, rest, deviations)
        for config, mine in by_config(samples).items():
            if any(s.net.name == net for s in mine) and any(s.net.name != net for s in mine):
                out += predict(pop, config, mine, 1, only=net)
    return out


def bands(predictions):
    """Return {family and kind of network: {class: Band}}: the central 80 % of log errors over predicted spread.

    Points of one device err together, and a device of a maker nobody measured errs most: predictions of left-out
    devices and those of left-out vendor families set the quantiles together. Nets in no fit and stand-ins have their
    own; "" pools the population.
    """
    table = defaultdict(dict)
    known = [p for p in predictions if not p.drawn]
    for count in COUNTS:
        for group in ["", *sorted({p.group for p in known})]:
            family = [p for p in known if p.anchors == count and group in ("", p.group)]
            if group and len({p.device for p in family}) < FEW_DEVICES:
                continue
            for kind in (LAYERED, NEW, STAND_IN):
                rows = [p for p in family if p.kind == kind]
                if rows and (group == "" or len({p.device for p in rows}) >= FEW_DEVICES / 2):
                    table[group + kind][class_of(count).value] = _quantiles(rows)
    return complete(dict(table))


WIDELY = 12
"""Devices that a net must have been measured on to be worth leaving out."""
CENTRAL = (0.1, 0.9)
NARROWEST = 0.2
"""Spreads that a band reaches to either side at least: a prediction lies in its own band."""


def _quantiles(rows):
    low, high = np.quantile([-p.log_error / p.spread for p in rows], CENTRAL)
    return Band(float(min(low, -NARROWEST)), float(max(high, NARROWEST)))


def complete(table):
    """Fill classes without data: engine family and assumed between and beyond one anchor and spec sheet."""
    wide = Band(-1.6, 1.6)
    filled = {}
    for group, classes in table.items():
        mine = dict(classes)
        if group == LAYERED:
            mine = {c: classes.get(c, wide) for c in (class_of(n).value for n in COUNTS)}
        if group.endswith(NEW):  # networks were left out with one anchor only
            mine = {
                c: classes["one-anchor"] for c in ("two-anchors", "three-anchors") if "one-anchor" in classes
            } | mine
        if "one-anchor" in mine:
            mine["engine-family"] = mine["one-anchor"]
            mine["measured"] = mine.get("three-anchors", mine["one-anchor"])
        if "spec-sheet" in mine:
            sheet = mine["spec-sheet"]
            mine["assumed"] = Band(sheet.low * 1.25, sheet.high * 1.25)
        filled[group] = mine
    return filled


def one_rate(name, samples):
    """The model to beat: time proportional to multiply-accumulates, one rate per configuration from its anchor."""
    out = []
    for config, mine in by_config(samples).items():
        first, *rest = in_anchor_order(mine)
        for s in rest:
            guess = first.latency_s * s.net.macs / first.net.macs
            out.append(Prediction(
                name, config.group, config.device, config.key, s.net.name, LAYERED, 1, False,
                s.latency_s, guess, guess, guess, 1.0, LAYERS,
            ))  # fmt: skip
    return out
