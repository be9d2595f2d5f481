"""Whether a smaller net computes what the whole one computes with those channels at zero: tried on random weights.

Random weights, because those of a net may hide a mistake: a scale that begins at zero, a bias that nobody trained.
"""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from fedlite import rng
from fedlite.compression.channels.probe import tensors
from fedlite.compression.channels.removal import maps_of, without

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from fedlite.compression.channels.groups import Coupling, Marks

_TOLERANCE: Final = 1e-9
_DRAWS: Final = 3


def without_untrue(net: nn.Module, input_shape: tuple[int, ...], coupling: Coupling) -> Coupling:
    """Return a coupling without the groups whose removal changes more than it should.

    All groups are tried together; only if that fails, each by itself.
    """
    if not coupling.groups:
        return coupling
    trial = _Trial(net, input_shape, coupling)
    if trial.holds(range(len(coupling.groups))):
        return coupling
    true = [position for position in range(len(coupling.groups)) if trial.holds([position])]
    # What holds one by one may not hold together, where two halves have to stay equal.
    while true and not trial.holds(true):
        true.pop()
    why = dict(coupling.fixed)
    for position, group in enumerate(coupling.groups):
        if position not in true:
            told = "the net counts them itself (it splits or shuffles them, or has a number of its own)"
            why |= {name: told for name in group.sources if name not in why}
    return replace(coupling, groups=tuple(coupling.groups[position] for position in true), fixed=why)


class _Trial:
    def __init__(self, net: nn.Module, input_shape: tuple[int, ...], coupling: Coupling) -> None:
        self._net = copy.deepcopy(net).double().eval()  # torch's switch: nothing drops out, batch statistics stay
        self._shape = input_shape
        self._coupling = coupling

    def holds(self, groups: Sequence[int] | range) -> bool:
        """Tell whether half of the units of these groups can go."""
        for draw in range(_DRAWS):
            stream = rng.stream(draw, "channels/trial")
            keep = self._coupling.everything
            keep = [_half(marks, stream) if i in groups else marks for i, marks in enumerate(keep)]
            dense = _randomised(self._net, stream)
            zeroed = zeroed_like(dense, self._coupling, keep)
            x = torch.from_numpy(stream.uniform(size=(2, *self._shape)))
            whole, wanted = _outputs(dense, x), _outputs(zeroed, x)
            if _equal(whole, wanted):
                continue  # shows nothing: what went was not used, or everything died behind it
            try:
                got = _outputs(without(dense, self._coupling, keep), x)
            except Exception:  # noqa: BLE001 - whatever the net's own code raises, it cannot do without these channels
                return False
            return _equal(got, wanted)
        return False


def zeroed_like(net: nn.Module, coupling: Coupling, keep: Sequence[Marks]) -> nn.Module:
    """Return a copy of a net with zeros wherever `removal.without` leaves something out."""
    zeroed = copy.deepcopy(net)
    with torch.no_grad():
        for value, index in zip(zeroed.state_dict().values(), maps_of(net, coupling, keep), strict=True):
            kept = value.numpy()[index].copy()
            value.zero_()
            value.numpy()[index] = kept
    return zeroed


def _half(marks: Marks, stream: np.random.Generator) -> Marks:
    keep = marks.copy()
    keep[stream.permutation(len(marks))[: max(1, len(marks) // 2)]] = False
    return keep


def _randomised(net: nn.Module, stream: np.random.Generator) -> nn.Module:
    drawn = copy.deepcopy(net)
    with torch.no_grad():
        for value in drawn.state_dict().values():
            if torch.is_floating_point(value):
                value.copy_(torch.from_numpy(_values(tuple(value.shape), stream)))
    return drawn


def _values(shape: tuple[int, ...], stream: np.random.Generator) -> np.ndarray:
    """Return matrices that keep the size of what they multiply, and vectors that are positive, as variances are."""
    if len(shape) < 2:  # noqa: PLR2004 - vectors
        return np.asarray(stream.uniform(0.5, 1.5, size=shape))
    return stream.normal(size=shape) * math.sqrt(2 / math.prod(shape[1:]))


def _outputs(net: nn.Module, x: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return list(tensors(net(x.clone())))


def _equal(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    return len(one) == len(other) and all(
        a.shape == b.shape and bool((a - b).abs().max() <= _TOLERANCE * max(1.0, float(b.abs().max())))
        for a, b in zip(one, other, strict=True)
    )
