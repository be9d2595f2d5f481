"""The measurement collection as samples of each population."""

from __future__ import annotations

import re
from pathlib import Path

from hierarchical import Config, Sample

from fedlite.devices import published
from fedlite.devices.measured_condition import condition_of
from fedlite.devices.measurements import read

FILE = Path(__file__).parent / "data" / "device_measurements.csv"
CHIP = re.compile(r"H7A3|L4R5|F746|G0B1|CY8C|RX65N|D25|D45|NX27V|H743|ESP32-\w\d|ESP32|TinkerV|LC236", re.IGNORECASE)


def lodo_unit(device: str) -> str:
    """Return what is left out together: the chip of a microcontroller board, else the device without its GPU mark."""
    match = CHIP.search(device)
    return match[0].upper() if match else re.sub(r" ?(GPU/Vulkan|,.*|\(.*)", "", device)


def samples():
    """Return {population name: samples} of all usable inference latencies."""
    out, seen = {}, set()
    for row in read(FILE):
        net = published.find(row.model)
        condition = condition_of(row)
        if condition is None or net is None:
            continue
        if row.family.startswith(("mcu", "accel")):
            identity = (row.device, row.model, row.value)
            if identity in seen:  # republished in a later round
                continue
            seen.add(identity)
        config = Config(
            row.group, lodo_unit(row.device), condition.group, tuple(condition.covariates), condition.clock_hz
        )
        out.setdefault(condition.population, []).append(Sample(config, net.name, net.terms, row.value))
    return out
