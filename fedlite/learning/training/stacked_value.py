"""How the activations of K clients lie in memory: stacked by client, or as one image with K times the channels.

Matrix products want (K, B, features). Convolutions of K different filters are one grouped convolution over
(B, K * C, H, W), and oneDNN is fastest at those channels-last. A signal (C, L) is an image of height 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Value:
    """One activation of every client.

    Attributes
    ----------
    tensor : Tensor
        (K, B, *sample) if `spatial` is 0, else (B, K * C, H, W) with channels-last memory.
    clients : int
        K.
    spatial : int
        0 for stacked; else how many of the two spatial axes the model knows about (1: H is 1 and hidden).
    """

    tensor: Tensor
    clients: int
    spatial: int = 0

    def stacked(self) -> Value:
        """Return the same activation as (K, B, *sample); a view where possible."""
        if not self.spatial:
            return self
        batch, _channels, height, width = self.tensor.shape
        split = self.tensor.permute(0, 2, 3, 1).reshape(batch, height, width, self.clients, -1)
        tensor = split.permute(3, 0, 4, 1, 2)  # (K, B, C, H, W)
        return Value(tensor if self.spatial == 2 else tensor.squeeze(3), self.clients)  # noqa: PLR2004

    def image(self) -> Value:
        """Return the same activation as one channels-last image; stacked samples must be (C, L) or (C, H, W)."""
        if self.spatial:
            return self
        spatial = self.tensor.dim() - 3
        tensor = self.tensor if spatial == 2 else self.tensor.unsqueeze(3)  # noqa: PLR2004
        clients, batch, channels, height, width = tensor.shape
        last = tensor.permute(1, 3, 4, 0, 2).contiguous().view(batch, height, width, clients * channels)
        return Value(last.permute(0, 3, 1, 2), self.clients, spatial)

    def like(self, tensor: Tensor) -> Value:
        """Return `tensor` in this layout."""
        return Value(tensor, self.clients, self.spatial)
