"""Channels that are computed for some inputs and not for others: a small gate before a layer says which.

What is followed is the suppression of the reference: pooled inputs, one linear layer, the winners take all, and what
belongs to the others is neither computed nor read by the next layer. Other than there, gates are fitted once, to how
much each channel adds, then the net is trained on with them to say what it said before; nothing is boosted.

References
----------
Gao et al. 2019, "Dynamic Channel Pruning: Feature Boosting and Suppression", section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from fedlite.compression.part import PartError
from fedlite.delivery.base import Artefact, Calibration, Delivery

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray
    from torch import nn

    from fedlite.compression.channels.groups import Coupling
    from fedlite.delivery.gates import Gate

_TRAINING: Final = 3
"""Of a forward pass: one with its backward pass of two."""


@dataclass(frozen=True)
class ChannelGating(Delivery):
    """Of each gated layer an inference computes the channels that its gate expects most of.

    Attributes
    ----------
    keep : float
        Share of them, above 0 up to 1.
    cells : int
        A gate looks at the mean magnitude of each input channel in so many parts of each dimension of the image.
    layers : tuple of str
        Convolutions whose channels are gated; all that can be if none is named.
    steps : int
        Of training on, over all calibration rows; 0 for none.
    """

    name: ClassVar[str] = "channel-gating"
    cites: ClassVar[tuple[str, ...]] = ("gao2019dynamic",)

    keep: float = 0.5
    cells: int = 2
    layers: tuple[str, ...] = ()
    steps: int = 60

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise PartError(f"keep: got {self.keep}, expected above 0 and at most 1; 0.5 computes half of the channels")
        if self.cells < 1:
            raise PartError(f"cells: got {self.cells}, expected 1 or more; 2 is the default")
        if self.steps < 0:
            raise PartError(f"steps: got {self.steps}, expected 0 or more; 60 is the default")

    @property
    def label(self) -> str:
        """Such as "50% of channels by a gate"."""
        return f"{self.keep:.0%} of channels by a gate"

    @property
    def remark(self) -> str:
        """What it saves and what not."""
        return (
            "channels that a gate leaves out are not computed, but all of them are stored; the gates are paid for, and"
            " the gathering of the weights of the others, in time and in memory"
        )

    def deliver(self, artefact: Artefact, rows: Calibration) -> Artefact:
        """Return the artefact with gates.

        Raises
        ------
        PartError
            If the net has no channels that a gate could choose from, or not those that are named.
        """
        from fedlite.compression.channels.coupling import coupled
        from fedlite.delivery.answers import accuracy_of, classes_of
        from fedlite.delivery.gates import fitted

        net = artefact.as_trained(self.name)
        if classes_of(net, rows.x[:1]) is None:
            raise PartError(f"{self.name}: got a net that scores no classes, expected a classifier; choose another net")
        coupling = coupled(net, tuple(rows.x.shape[1:]))
        positions = self._positions(net, coupling)
        gates, fixed = fitted(net, coupling, self.keep, self.cells, rows.x, positions)
        made = self._with(net, coupling, gates, rows)
        passes = len(positions) + 1 + _TRAINING * self.steps
        return artefact.with_net(
            made,
            forward_samples=passes * len(rows.x) + rows.held,
            gates=[_told(coupling.groups[position].name, gate) for position, gate in _asked(made, gates, rows.x)],
            held_accuracy=accuracy_of(made, rows),
            held_accuracy_of_fixed_channels=accuracy_of(self._with(net, coupling, fixed, rows), rows),
        )

    def _with(self, net: nn.Module, coupling: Coupling, gates: Mapping[int, Gate], rows: Calibration) -> nn.Module:
        """Return the net with gates, trained on with them where they leave anything out."""
        from fedlite.delivery.gate_training import adapted
        from fedlite.delivery.gates import gated

        if self.steps and any(gate.keep < len(gate.bias) for gate in gates.values()):
            net = adapted(net, coupling, gates, rows.x, self.steps)
        return gated(net, coupling, gates)

    def _positions(self, net: nn.Module, coupling: Coupling) -> list[int]:
        from fedlite.delivery.gates import gateable

        coupling.chosen(self.layers)
        found = gateable(net, coupling)
        names = [coupling.groups[position].name for position in found]
        missing = [name for name in self.layers if name not in names]
        if missing or not found:
            raise PartError(
                f"{self.name}: got {missing[0] if missing else type(net).__name__!r}, expected convolutions"
                " whose channels no other layer makes too: "
                f"{', '.join(names) or 'this net has none'}; name one, or choose another net"
            )
        return [position for position, name in zip(found, names, strict=True) if not self.layers or name in self.layers]


def _asked(net: nn.Module, gates: Mapping[int, Gate], x: NDArray[np.float32]) -> Iterable[tuple[int, Gate]]:
    """Return the gates of a net after rows went through it: each knows what it chose."""
    import torch

    with torch.no_grad():
        net.eval()(torch.from_numpy(np.array(x)))  # torch's switch: nothing drops out, batch statistics stay
    return gates.items()


def _told(layer: str, gate: Gate) -> dict[str, Any]:
    often = np.bincount(np.concatenate(gate.chosen), minlength=len(gate.bias)) / len(gate.chosen)
    return {
        "layer": layer,
        "computed": gate.keep,
        "of": len(often),
        "for_some_rows_only": int(((often > 0) & (often < 1)).sum()),
    }
