"""Layers put in place of others in a net whose state keeps its names, shapes and values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlite.compression.part import PartError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn


def swap(net: nn.Module, table: Mapping[type[nn.Module], type[nn.Module]], wanted: str) -> list[nn.Module]:
    """Give every layer whose very type is in the table the class that stands there, and return these layers.

    The new class is derived from the old one and adds no state, so that nothing but the arithmetic changes.

    Raises
    ------
    PartError
        If there is none; `wanted` says what was looked for.
    """
    found = [module for module in net.modules() if type(module) in table]
    if not found:
        kinds = sorted({type(module).__name__ for module in net.modules()})
        raise PartError(f"structure: got a net of {', '.join(kinds)}, expected {wanted}; leave the part out")
    for module in found:
        module.__class__ = table[type(module)]
    return found
