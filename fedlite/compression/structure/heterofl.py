"""Width slices as HeteroFL trains them: with the scaler, by which all widths see activations of like magnitudes.

A layer of a narrow net adds up fewer inputs than the full net's, which its weights are averaged with. In training,
therefore, what a hidden layer gives is divided by the share of its channels that the slice has; in tests it is not, as
in the paper. Layers that filter each channel by itself (depthwise) add up nothing, and recurrent layers bound what they
give: neither is scaled. The paper's static batch normalisation is an option of models (`norm: static`) and a delivery.

References
----------
Diao, Ding, Tarokh 2021, "HeteroFL: Computation and communication efficient federated learning for heterogeneous
clients", section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fedlite.compression.structure.width import Width, check_share, outputs_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fedlite.compression.structure.base import NetSpec


@dataclass(frozen=True)
class HeteroFL(Width):
    """The first channels of every layer, with scaled activations in training.

    Attributes
    ----------
    share : float
        Share of the channels that is kept, above 0 up to 1.
    """

    name: ClassVar[str] = "heterofl"
    cites: ClassVar[tuple[str, ...]] = ("diao2021heterofl",)

    @property
    def label(self) -> str:
        """Such as "width 0.5, scaled"."""
        return f"width {self.share:g}, scaled"

    @property
    def remark(self) -> str:
        """What the scaler costs."""
        return "the scaler multiplies activations in training, which an engine does with the layer; it is not charged"

    def build(self, spec: NetSpec) -> nn.Module:
        """Return the net at this share of its width, whose narrower layers are scaled in training."""
        check_share(self.name, spec, self.share)
        net = spec.build(self.share)
        full = dict(spec.build().named_modules())
        for name, layer in net.named_modules():
            own, whole = outputs_of(layer), outputs_of(full[name])
            if own < whole:
                layer.register_forward_hook(Scaler(whole / own))
        return net


@dataclass(frozen=True)
class Scaler:
    """A hook that multiplies what a layer gives in training.

    Attributes
    ----------
    factor : float
    """

    factor: float

    def __call__(self, layer: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> Tensor | None:
        """Return the outputs scaled, or nothing for outputs as they are."""
        return outputs * self.factor if layer.training else None
