"""Layers of a net by name, for structures that put others in their place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def layers_of(net: nn.Module, *kinds: type[nn.Module]) -> dict[str, Any]:
    """Return the layers that are of exactly these classes, by name, in the order of the state.

    Classes that derive from them compute something of their own and are left alone.
    """
    return {name: layer for name, layer in net.named_modules() if type(layer) in kinds}


def put(net: nn.Module, name: str, layer: nn.Module) -> None:
    """Put a layer in the place of the one of this name; its tensors keep that one's place in the state."""
    parent, _, child = name.rpartition(".")
    setattr(net.get_submodule(parent), child, layer)
