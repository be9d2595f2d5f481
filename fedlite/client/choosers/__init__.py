"""Choosers: which of several plans a job gets, learned from how earlier jobs ended. One file each."""

from __future__ import annotations

from typing import Final

CHOOSERS: Final[dict[str, str]] = {
    "by-update": "fedlite.client.choosers.by_update:ByUpdate",
    "bandit": "fedlite.client.choosers.bandit:Bandit",
    "q-learning": "fedlite.client.choosers.q_learning:QLearning",
}
"""Name -> `module:Class`."""
