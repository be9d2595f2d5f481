"""Gates: what stops a rollout. One file per method, one table of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fedlite.rollout.gates.exact import Exact
from fedlite.rollout.gates.mann_whitney import MannWhitney
from fedlite.rollout.gates.msprt import Msprt
from fedlite.rollout.gates.sequential import Sequential
from fedlite.rollout.gates.threshold import Threshold
from fedlite.rollout.gates.two_arms import TwoArms

if TYPE_CHECKING:
    from collections.abc import Mapping

METHODS: Final[Mapping[str, type[Exact | MannWhitney | Msprt | Sequential | Threshold | TwoArms]]] = {
    "threshold": Threshold,
    "exact": Exact,
    "sequential": Sequential,
    "z": TwoArms,
    "mann-whitney": MannWhitney,
    "msprt": Msprt,
}
"""A plan's `method` -> its class; parameters are the class's own."""
