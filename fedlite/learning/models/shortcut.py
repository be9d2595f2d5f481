"""What is left of a residual block that is left out: its shortcut. The structure `skip` asks blocks for it.

A block that can be left out has a method `without_branch() -> nn.Module | None`: a module whose tensors are the block's
own, by the same names, or None if the block cannot be left out.

References
----------
Veit, Wilber, Belongie 2016, "Residual networks behave like ensembles of relatively shallow networks", section 4.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    import torch


class Shortcut(nn.Module):
    """A projection, rectified as the whole block's sum would be."""

    def __init__(self, shortcut: nn.Module) -> None:
        super().__init__()
        self.shortcut = shortcut
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, channels after, height / stride, width / stride)."""
        y: torch.Tensor = self.relu(self.shortcut(x))
        return y


def rectified(shortcut: nn.Module) -> nn.Module:
    """Return what a rectified block is without its branch; a block's input is rectified already, so often nothing."""
    return Shortcut(shortcut) if list(shortcut.parameters()) else nn.Identity()
