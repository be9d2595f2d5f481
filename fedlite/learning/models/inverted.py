"""Inverted residual blocks, of which the mobile nets since MobileNetV2 are made.

References
----------
Sandler et al. 2018, "MobileNetV2: inverted residuals and linear bottlenecks", figure 3.
Hu, Shen, Sun 2018, "Squeeze-and-excitation networks", section 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from fedlite.learning.models.norms import norm_2d

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    Activation = Callable[[], nn.Module]


def unit(
    before: int, after: int, kernel: int, stride: int, groups: int, norm: str, activation: Activation
) -> list[nn.Module]:
    """Return a convolution without bias, its normalisation and its activation."""
    conv = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return [conv, norm_2d(norm, after), activation()]


class Excitation(nn.Module):
    """Squeeze and excitation: every map is multiplied by a gate between 0 and 1 that follows from all maps' means.

    A map that is zero everywhere stays so and tells the others nothing, so that a width slice is exact.
    """

    def __init__(self, maps: int, squeezed: int, inner: Activation, gate: Activation) -> None:
        super().__init__()
        self.gates = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(maps, squeezed, 1), inner(), nn.Conv2d(squeezed, maps, 1), gate()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, maps, height, width)."""
        y: torch.Tensor = x * self.gates(x)
        return y


class InvertedResidual(nn.Module):
    """Expand by a pointwise, filter by a depthwise, project by a linear pointwise convolution.

    Parameters
    ----------
    before, wide, after : int
        Maps of the input, of the depthwise convolution and of the output.
    kernel, stride : int
        Of the depthwise convolution.
    norm : str
        "group" or "batch".
    activation : callable
        Makes the module after the first two convolutions.
    expands : bool
        Whether there is an expansion; without one `wide` is `before`.
    residual : bool
        Whether the input is added, which asks for stride 1 and as many maps after as before.
    excitation : Excitation, optional
        Between the depthwise convolution and the projection.
    """

    def __init__(
        self,
        before: int,
        wide: int,
        after: int,
        kernel: int,
        stride: int,
        norm: str,
        activation: Activation,
        *,
        expands: bool,
        residual: bool,
        excitation: Excitation | None = None,
    ) -> None:
        super().__init__()
        self.residual = residual
        expand = unit(before, wide, 1, 1, 1, norm, activation) if expands else []
        gates = [] if excitation is None else [excitation]
        project = [nn.Conv2d(wide, after, 1, bias=False), norm_2d(norm, after)]
        self.layers = nn.Sequential(
            *expand, *unit(wide, wide, kernel, stride, wide, norm, activation), *gates, *project
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's output, (batch, after, height / stride, width / stride)."""
        y: torch.Tensor = self.layers(x)
        return x + y if self.residual else y

    def without_branch(self) -> nn.Module | None:
        """Return what is left without the convolutions: nothing, if the input is added to what they give."""
        return nn.Identity() if self.residual else None
