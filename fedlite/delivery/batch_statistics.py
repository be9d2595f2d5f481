"""Statistics for static batch normalisation: asked for once, when training is over, on a client's rows.

References
----------
Diao, Ding, Tarokh 2021, "HeteroFL", section 3.2: statistics are not tracked in training, and queried at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fedlite.compression.part import PartError
from fedlite.delivery.base import Artefact, Calibration, Delivery, replaced

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class BatchStatistics(Delivery):
    """Layers with static batch normalisation get the means and variances that they see over rows.

    Attributes
    ----------
    rows : int
        How many, in one batch.
    """

    name: ClassVar[str] = "batch-statistics"
    cites: ClassVar[tuple[str, ...]] = ("diao2021heterofl",)

    rows: int = 256

    def __post_init__(self) -> None:
        if self.rows < 2:  # noqa: PLR2004 (one row has no variance)
            raise PartError(f"rows: got {self.rows}, expected 2 or more; 256 is the default")

    @property
    def label(self) -> str:
        """Two words."""
        return "batch statistics"

    def deliver(self, artefact: Artefact, rows: Calibration) -> Artefact:
        """Return the artefact whose normalisation has statistics; the rows' forward passes are charged."""
        import torch

        made = {name: _tracking(layer) for name, layer in _static(artefact.net, self.name).items()}
        net = replaced(artefact.net, made).eval()  # torch's switch: nothing drops out
        for layer in made.values():
            layer.train()  # but statistics are taken
        x = rows.x[: self.rows]
        with torch.inference_mode():
            net(torch.from_numpy(x))
        for layer in made.values():
            layer.eval()  # torch's switch: and stay from here on
        return artefact.with_layers(made, None, forward_samples=len(x), statistics_of_rows=len(x))


def _static(net: nn.Module, part: str) -> dict[str, nn.BatchNorm1d | nn.BatchNorm2d]:
    """Return the layers by name that normalise every batch by its own statistics."""
    from torch import nn

    from fedlite.delivery.layers import no_such_layers

    kinds = (nn.BatchNorm1d, nn.BatchNorm2d)
    found = {
        name: layer for name, layer in net.named_modules() if isinstance(layer, kinds) and layer.running_mean is None
    }
    if not found:
        raise no_such_layers(net, part, "static batch normalisation (norm: static)")
    return found


def _tracking(layer: nn.BatchNorm1d | nn.BatchNorm2d) -> nn.Module:
    """Return a layer with the same slopes and biases that keeps the statistics of all that it sees in training."""
    import torch

    made = type(layer)(layer.num_features, eps=layer.eps, momentum=None)
    with torch.no_grad():
        made.weight.copy_(layer.weight)
        made.bias.copy_(layer.bias)
    return made
