"""Stages: what happens to an update between training and the wire. One file each."""

from __future__ import annotations

from typing import Final

STAGES: Final[dict[str, str]] = {
    "clip": "fedlite.client.stages.clip:Clip",
    "noise": "fedlite.client.stages.noise:Noise",
    "power-sgd": "fedlite.client.stages.power_sgd:PowerSgd",
    "error-feedback": "fedlite.client.stages.error_feedback:ErrorFeedback",
}
"""Name -> `module:Class`."""
