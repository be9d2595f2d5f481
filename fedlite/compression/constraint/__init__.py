"""Constraints: what holds of the weights while a device trains them. One file each."""

from __future__ import annotations

from typing import Final

CONSTRAINTS: Final[dict[str, str]] = {
    "binary": "fedlite.compression.constraint.binary:Binary",
    "fake-quant": "fedlite.compression.constraint.fake_quant:FakeQuant",
    "magnitude": "fedlite.compression.constraint.magnitude:Magnitude",
    "mixed-bits": "fedlite.compression.constraint.mixed_bits:MixedBits",
    "multilevel": "fedlite.compression.constraint.multilevel:Multilevel",
    "progressive": "fedlite.compression.constraint.progressive:Progressive",
    "regrow": "fedlite.compression.constraint.regrow:Regrow",
    "shared": "fedlite.compression.constraint.shared:Shared",
}
"""Name -> `module:Class`."""
