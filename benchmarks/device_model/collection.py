"""The measurement collections as samples of each population."""

from __future__ import annotations

import re
from pathlib import Path

from hierarchical import Config, Sample

from fedlite.devices.measured_condition import condition_of
from fedlite.devices.measurements import read

FILES = tuple(Path(__file__).parent / "data" / f"device_measurements{part}.csv" for part in ("", "_2"))
CHIP = re.compile(
    r"H7A3|H74[37]|L4R5|F746|F401|G0B1|U575|U385|CY8C|RX65N|D25|D45|NX27V|ESP32-\w\d|ESP32|TinkerV|LC236|Portenta",
    re.IGNORECASE,
)
SOC = re.compile(
    r"(?:SD|Snapdragon) ?(\d{3}|8 Elite Gen 5|8 Elite|8 Gen \d|7 Gen \d|X2? Elite)\+?|(Kirin ?\d{3})", re.IGNORECASE
)
VENDORS = (
    ("apple", r"iphone|ipad|apple|macbook"),
    ("hisilicon", r"kirin|huawei|atlas"),
    ("tensor", r"tensor g\d|pixel (6|7|8|9|10)"),
    ("qualcomm-kryo", r"sd8[23]\d|snapdragon 8[23]\d|sd845|sd820|sd636|mi ?[568]\b|kryo"),
    ("qualcomm-a76", r"sd8[5678]\d|snapdragon 8[5678]\d|snapdragon 6\d\d|snapdragon 7\d\d|qrb5165"),
    ("qualcomm-new", r"snapdragon|qcs|sa\d{4}p|sd ?8 gen"),
    ("nvidia", r"jetson"), ("broadcom", r"raspberry|bcm2|\bpi "),
    ("rockchip", r"rk3|rockchip|orange|toybrick|rv1126"),
    ("other-arm", r"i\.mx|coral|horizon|ax620|sg2000|c906|k1_board"),
)  # fmt: skip
"""Vendor families left out together; Qualcomm's chips by core design, since no one core design is Qualcomm's own."""


def lodo_unit(device: str) -> str:
    """Return what is left out together: the chip of a board or phone where it is told, else the device."""
    match = CHIP.search(device)
    if match:
        return match[0].upper()
    soc = SOC.search(device)
    if soc:
        return (soc[1] or soc[2]).upper().replace(" ", "")
    return re.sub(r" ?(GPU.*|NPU.*|Edge TPU|,.*|\(.*)", "", device)


def vendor(device: str, mcu: str = "") -> str:
    """Return the vendor family of a device, of a microcontroller its core."""
    lowered = device.lower()
    return mcu or next((name for name, pattern in VENDORS if re.search(pattern, lowered)), "other-arm")


def samples():
    """Return {population name: samples} of all usable inference latencies."""
    out, seen = {}, set()
    for path in FILES:
        for row in read(path):
            condition = condition_of(row) if not row.skip else None
            if condition is None or row.family == "mcu-cores-not-told-latency":
                continue
            identity = (row.device, row.family, row.threads, row.model, row.value)
            if identity in seen and condition.population in ("mcu", "accelerator"):  # republished in a later round
                continue
            seen.add(identity)
            core = next((n for n in condition.covariates if n.startswith("core:")), "")
            group = vendor(row.device, core if condition.population == "mcu" else "")
            config = Config(row.group, lodo_unit(row.device), group, condition)
            net = row.net
            out.setdefault(condition.population, []).append(Sample(config, net, net.terms, row.value))
    return out
