"""The ways that an inference of a shipped model may go: through a part of the net, or to a server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from fedlite.planning.break_even import Request


@dataclass(frozen=True)
class Path:
    """One of the ways; their shares add up to 1.

    Attributes
    ----------
    share : float
        Of the inferences.
    plain : nn.Module or None
        What the device computes, with plain weights: it is traced. None if it computes nothing.
    asks : Request or None
        What it asks from a server.
    """

    share: float
    plain: nn.Module | None
    asks: Request | None = None


@dataclass(frozen=True)
class Band:
    """What the device runs while its battery is in one of several states.

    Attributes
    ----------
    charge_from : float
        Share of the battery from which on it holds, up to where the one before begins.
    paths : tuple of Path
    """

    charge_from: float
    paths: tuple[Path, ...]
