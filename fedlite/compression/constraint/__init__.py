"""Constraints: what holds of the weights while a device trains them. One file each."""

from __future__ import annotations

from typing import Final

CONSTRAINTS: Final[dict[str, str]] = {
    "magnitude": "fedlite.compression.constraint.magnitude:Magnitude",
    "fake-quant": "fedlite.compression.constraint.fake_quant:FakeQuant",
}
"""Name -> `module:Class`."""
