"""Leave-one-device-out and leave-one-net-out predictions, made by the very code that users run."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np
from hierarchical import fit

from fedlite.devices import published, spec_sheet
from fedlite.devices.anchors import inference_order
from fedlite.devices.calibration import Observation, Work, calibrate
from fedlite.devices.features import LAYERS
from fedlite.devices.fitted import NEW_NET, Band, SpecSheet

MOBILE_PREDICTORS = 6
CLASSES = {0: "spec-sheet", 1: "one-anchor", 3: "three-anchors"}


@dataclass(frozen=True)
class Prediction:
    population: str
    group: str
    device: str
    config: tuple
    net: str
    anchors: int
    measured_s: float
    predicted_s: float
    dominant: int
    """Term that takes the largest share of the predicted time."""

    @property
    def log_error(self) -> float:
        return float(np.log(self.predicted_s / self.measured_s))


def by_config(samples):
    table = defaultdict(list)
    for sample in samples:
        table[sample.config].append(sample)
    return dict(table)


def in_anchor_order(samples):
    names = [published.normalised(s.net) for s in samples]
    return [samples[i] for i in inference_order(names, [float(s.terms.sum()) for s in samples])]


def scale_of(pop, config, samples):
    """Return the scalar that all samples of a configuration agree on."""
    z = np.array(config.covariates)
    logs = [
        np.log(s.latency_s / (np.exp(pop.expected_log_weights(z)) @ s.terms)) - pop.offset(s.net, z, config.group)
        for s in samples
    ]
    return float(np.median(logs))


def with_spec_sheet(pop, samples):
    """Return the population with its spec-sheet regression (ridge on standardised predictors would hide units)."""
    known = [(c, s) for c, s in by_config(samples).items() if c.clock_hz]
    if len(known) < 8:
        return pop
    x = np.array([spec_sheet.predictors(c.clock_hz, np.array(c.covariates)) for c, _ in known])
    y = np.array([scale_of(pop, c, s) for c, s in known])
    ridge = np.diag([1e-6] + [3.0] + [0.5] * (x.shape[1] - 2))
    centre = np.zeros(x.shape[1])
    # Drawn to time ~ 1 / clock and, for mobile chips (four covariates), to a doubling of threads worth sqrt(2) or so.
    centre[:2] = y.mean(), -1.0
    if x.shape[1] == MOBILE_PREDICTORS:
        centre[2] = -0.5
    groups = sorted({c.group for c, _ in known})
    member = np.array([[c.group == g for g in groups] for c, _ in known], dtype=float)
    offsets = np.zeros(len(groups))
    for _ in range(50):
        left = y - member @ offsets
        coefficients = centre + np.linalg.solve(x.T @ x + ridge, x.T @ (left - x @ centre))
        left = y - x @ coefficients
        offsets = (member.T @ left) / (member.sum(0) + 1.0) if len(groups) > 1 else offsets
    spread = float(np.std(y - x @ coefficients - member @ offsets))
    table = {g: float(o) for g, o in zip(groups, offsets, strict=True)}
    return replace(pop, spec_sheet=SpecSheet(coefficients, spread, table))


def predict(pop, config, samples, count, drop_nets=()):
    """Yield predictions of one configuration with `count` anchors."""
    z = np.array(config.covariates)
    ordered = in_anchor_order([s for s in samples if s.net not in drop_nets] if drop_nets else samples)
    anchors = ordered[:count]
    rest = [s for s in samples if s.net in drop_nets] if drop_nets else ordered[count:]
    sheet = config.clock_hz and pop.spec_sheet.coefficients.any()
    prior = spec_sheet.log_scale(pop, config.clock_hz, z, config.group) if sheet else None
    if count == 0 and prior is None:
        return
    seen = [Observation(Work(s.terms, s.net if pop.knows(s.net) else None), s.latency_s) for s in anchors]
    device = calibrate(pop, z, seen, group=config.group, prior_log_scale=prior if count == 0 else None)
    for s in rest:
        net = s.net if pop.knows(s.net) else None
        dominant = int(np.argmax(device.costs * s.terms))
        yield Prediction(
            pop.name,
            config.group,
            config.device,
            config.key,
            s.net,
            count,
            s.latency_s,
            device.latency_s(Work(s.terms, net)),
            dominant,
        )


def leave_devices_out(name, samples, prior, hyper):
    out = []
    for device in sorted({s.config.device for s in samples}):
        rest = [s for s in samples if s.config.device != device]
        if not rest:
            continue
        pop = with_spec_sheet(fit(name, rest, prior, hyper)[0], rest)
        for config, mine in by_config([s for s in samples if s.config.device == device]).items():
            for count in CLASSES:
                if count < len(mine):
                    out += predict(pop, config, mine, count)
    return out


def leave_nets_out(name, samples, prior, hyper):
    """Leave out one net everywhere, keep the device's one anchor (another net): new network on a known device."""
    out = []
    for net in sorted({s.net for s in samples}):
        rest = [s for s in samples if s.net != net]
        pop = fit(name, rest, prior, hyper)[0]
        for config, mine in by_config(samples).items():
            if any(s.net == net for s in mine) and len(mine) > 1:
                out += predict(pop, config, mine, 1, drop_nets=(net,))
    return out


def bands(predictions, new_nets):
    """Return {group: {class: Band}} of measured / predicted, 10 % and 90 % quantiles; "" pools the population."""
    table = defaultdict(dict)
    for group in ["", *sorted({p.group for p in predictions})]:
        for count, kind in CLASSES.items():
            logs = [-p.log_error for p in predictions if p.anchors == count and group in ("", p.group)]
            if len(logs) >= 8:
                low, high = np.quantile(logs, [0.1, 0.9])
                table[group][kind] = Band(float(np.exp(min(low, 0))), float(np.exp(max(high, 0))))
        logs = [-p.log_error for p in new_nets if group in ("", p.group)]
        if len(logs) >= 8:
            low, high = np.quantile(logs, [0.1, 0.9])
            table[group][NEW_NET] = Band(float(np.exp(min(low, 0))), float(np.exp(max(high, 0))))
    return complete(dict(table))


def complete(table):
    """Fill classes without data from the next wider class; engine family and assumed widen the spec sheet."""
    pooled = table.get("", {})
    spec = pooled.get("spec-sheet", Band(1 / 3, 3.0))
    one = pooled.get("one-anchor", spec)
    filled = {}
    for group, classes in table.items():
        mine = {"spec-sheet": classes.get("spec-sheet", spec), "one-anchor": classes.get("one-anchor", one)}
        mine["three-anchors"] = classes.get("three-anchors", mine["one-anchor"])
        mine["measured"] = mine["three-anchors"]
        mine["engine-family"] = Band(
            (mine["one-anchor"].low * mine["spec-sheet"].low) ** 0.5,
            (mine["one-anchor"].high * mine["spec-sheet"].high) ** 0.5,
        )
        mine[NEW_NET] = classes.get(NEW_NET, pooled.get(NEW_NET, spec))
        mine["assumed"] = Band(min(1 / 3, mine["spec-sheet"].low), max(3.0, mine["spec-sheet"].high))
        filled[group] = mine
    return filled


def one_rate(name, samples):
    """The model to beat: time proportional to multiply-accumulates, one rate per configuration from its anchor."""
    out = []
    for config, mine in by_config(samples).items():
        first, *rest = in_anchor_order(mine)
        macs = {s.net: published.find(s.net).macs for s in mine}
        for s in rest:
            guess = first.latency_s * macs[s.net] / macs[first.net]
            out.append(Prediction(name, config.group, config.device, config.key, s.net, 1, s.latency_s, guess, LAYERS))
    return out
