"""Networks that benchmark tables name without giving a graph: their terms, found by name.

`data/published_nets.csv` is written by `benchmarks/device_model/nets.py` from the published layer tables (exact), from
width and resolution scaling of them (exact up to channel rounding) or, where no table exists, from a stand-in of the
same family scaled to the published multiply-accumulates; the column `origin` says which.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from fedlite.devices.features import TERMS

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Net:
    """A network of the literature."""

    name: str
    terms: NDArray[np.float64]
    params: float
    macs: float
    origin: str


_BRACKETS = re.compile(r"\(.*?\)")
_PUNCTUATION = re.compile(r"[^a-z0-9.]+")


def normalised(name: str) -> str:
    """Return a name without case, brackets and punctuation: "MobileNet_V1_1.0_224" -> "mobilenetv11.0224"."""
    return _PUNCTUATION.sub("", _BRACKETS.sub("", name.lower()))


@cache
def _table() -> dict[str, Net]:
    text = (resources.files("fedlite.devices") / "data" / "published_nets.csv").read_text(encoding="utf-8")
    table: dict[str, Net] = {}
    for row in csv.DictReader(line for line in text.splitlines() if not line.startswith("#")):
        terms = np.array([float(row[term]) for term in TERMS])
        net = Net(row["name"], terms, float(row["params"]), float(row["macs"]), row["origin"])
        for alias in [row["name"], *row["aliases"].split("|")]:
            if alias:
                table[normalised(alias)] = net
    return table


def find(name: str) -> Net | None:
    """Return the network of that name, or None if no table knows it."""
    return _table().get(normalised(name))


def names() -> list[str]:
    """Return the names of all known networks."""
    return sorted({net.name for net in _table().values()})
