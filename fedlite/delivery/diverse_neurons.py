"""Neurons kept because they answer differently, the others fused into them: no training afterwards.

References
----------
Mariet, Sra 2016, "Diversity Networks: Neural Network Compression Using Determinantal Point Processes", sections 3 and 4
(a k-DPP over activations; re-weighting of the next layer).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fedlite.compression.part import PartError
from fedlite.delivery.base import Artefact, Calibration, Delivery, replaced

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn


@dataclass(frozen=True)
class DiverseNeurons(Delivery):
    """A hidden linear layer with fewer neurons, and the linear layer after it with weights that make up for it.

    Attributes
    ----------
    layer : str
        Name of a linear layer that another one follows; the widest if not told.
    keep : float
        Share of its neurons that stays.
    how : str
        "dpp" draws them, "greedy" takes the most likely set step by step, "random" is a control.
    fused : bool
        Whether the next layer's weights make up for the neurons that are gone.
    """

    name: ClassVar[str] = "diverse-neurons"
    cites: ClassVar[tuple[str, ...]] = ("mariet2016diversity",)

    layer: str = ""
    keep: float = 0.5
    how: str = "dpp"
    fused: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.keep < 1:
            raise PartError(f"keep: got {self.keep}, expected above 0 and below 1; 0.5 keeps half of the neurons")
        if self.how not in {"dpp", "greedy", "random"}:
            raise PartError(f"how: got {self.how!r}, expected dpp, greedy or random; 'dpp' is the default")

    @property
    def label(self) -> str:
        """Such as "50% of neurons by dpp"."""
        return f"{self.keep:.0%} of neurons by {self.how}{'' if self.fused else ', not fused'}"

    def deliver(self, artefact: Artefact, rows: Calibration) -> Artefact:
        """Return the artefact with the narrower layer.

        Raises
        ------
        PartError
            If the net has no linear layer that feeds another one.
        """
        from fedlite.planning.dpp import fuse

        net = artefact.as_trained(self.name)
        first, following = self._pair(net)
        answers = _inputs_of(net, following, rows.x)
        if self.keep * answers.shape[1] < 1 / 2:
            raise PartError(
                f"keep: got {self.keep:g}, which leaves layer {first!r} none of its {answers.shape[1]} neurons;"
                f" write {1 / answers.shape[1]:.3g} or more"
            )
        kept = self._kept(answers, max(1, round(self.keep * answers.shape[1])), rows.rng)
        made = _narrower(net, first, following, kept, fuse(answers, kept, intercept=True) if self.fused else None)
        return artefact.with_net(
            replaced(net, made), forward_samples=len(rows.x), layer=first, neurons=answers.shape[1], kept=len(kept)
        )

    def _pair(self, net: nn.Module) -> tuple[str, str]:
        from torch import nn

        dense = [
            (name, module)
            for name, module in net.named_modules()
            if any(True for _ in module.parameters(recurse=False))
        ]
        found = {
            name: (module.out_features, after)
            for (name, module), (after, next_) in pairwise(dense)
            if isinstance(module, nn.Linear)
            and isinstance(next_, nn.Linear)
            and module.out_features == next_.in_features
        }
        if (self.layer and self.layer not in found) or not found:
            raise PartError(
                f"layer: got {self.layer or 'none'!r}, expected a linear layer that feeds another one: "
                f"{', '.join(found) or 'this net has none'}; name one, or choose another technique"
            )
        chosen = self.layer or max(found, key=lambda name: found[name][0])
        return chosen, found[chosen][1]

    def _kept(self, answers: NDArray[Any], count: int, rng: np.random.Generator) -> tuple[int, ...]:
        from fedlite.planning.dpp import activation_kernel, greedy, sample

        if self.how == "random":
            return tuple(sorted(rng.choice(answers.shape[1], count, replace=False).tolist()))
        kernel = activation_kernel(answers)
        return tuple(sorted(sample(kernel, count, rng) if self.how == "dpp" else greedy(kernel, count)))


def _inputs_of(net: nn.Module, layer: str, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what a layer reads of rows, (N, neurons)."""
    import torch

    seen: list[NDArray[np.float64]] = []
    module = net.get_submodule(layer)
    hook = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().double().numpy()))
    try:
        with torch.no_grad():
            net.eval()(torch.from_numpy(np.array(x)))  # torch's switch: nothing drops out, batch statistics stay
    finally:
        hook.remove()
    return seen[0].reshape(-1, seen[0].shape[-1])


def _narrower(net: nn.Module, first: str, following: str, kept: tuple[int, ...], fusion: Any) -> dict[str, nn.Module]:
    import torch
    from torch import nn

    layer, after = net.get_submodule(first), copy.deepcopy(net.get_submodule(following))
    assert isinstance(layer, nn.Linear)  # noqa: S101 (as `_pair` found)
    assert isinstance(after, nn.Linear)  # noqa: S101
    chosen = list(kept)
    small = nn.Linear(layer.in_features, len(chosen), bias=layer.bias is not None)
    weights = after.weight.detach().double().numpy()
    reads = nn.Linear(len(chosen), after.out_features, bias=True)
    with torch.no_grad():
        small.weight.copy_(layer.weight[chosen])
        if layer.bias is not None:
            small.bias.copy_(layer.bias[chosen])
        reads.weight.copy_(torch.from_numpy(weights[:, chosen] if fusion is None else fusion.weights(weights)))
        reads.bias.zero_() if after.bias is None else reads.bias.copy_(after.bias)
        if fusion is not None:
            reads.bias.add_(torch.from_numpy(fusion.shift(weights)).float())
    return {first: small, following: reads}
