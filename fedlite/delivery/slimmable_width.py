"""Slimmable width: one stored net of nested widths, of which as much is computed as the battery allows.

The widths have to be trained as nets of their own, as ordered dropout does; cut out of another net they know nothing.

References
----------
Yu et al. 2019, "Slimmable Neural Networks" (one net, several widths, chosen at run time). Horvath et al. 2021, "FjORD",
section 3 (nested widths trained by ordered dropout).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from fedlite.compression.part import PartError
from fedlite.delivery.base import Artefact, Calibration, Delivery
from fedlite.delivery.charges import check_charges, state_at

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class SlimmableWidth(Delivery):
    """The whole net lies on flash, and inferences compute the width of the battery's state.

    Attributes
    ----------
    states : tuple of pairs
        (charge, width): from this share of the battery on, this share of the channels is computed. From the fullest to
        the emptiest; the last charge is 0. The widths are some of those that the structure `ordered` trained.
    charge : float
        Of the device as it is shown: which width is executed, priced and tested. All are told.
    """

    name: ClassVar[str] = "slimmable-width"
    cites: ClassVar[tuple[str, ...]] = ("yu2019slimmable", "horvath2021fjord")

    states: tuple[tuple[float, float], ...] = ((0.5, 1.0), (0.2, 0.75), (0.0, 0.5))
    charge: float = 1.0

    def __post_init__(self) -> None:
        check_charges(self.states, self.charge, "[[0.5, 1.0], [0, 0.5]]")
        if wrong := [width for _, width in self.states if not 0.0 < width <= 1.0]:
            raise PartError(f"states: got the width {wrong[0]}, expected above 0 and at most 1; write for example 0.5")

    @property
    def label(self) -> str:
        """Such as "widths 1, 0.5, 0.25 by charge"."""
        return f"widths {', '.join(f'{width:g}' for _, width in self.states)} by charge"

    @property
    def remark(self) -> str:
        """What it saves and what not."""
        return "a narrower width saves time and energy while the battery is low; the file is that of the widest"

    def deliver(self, artefact: Artefact, rows: Calibration) -> Artefact:
        """Return the artefact that computes the width of its charge.

        Raises
        ------
        PartError
            If the net was not trained at these widths.
        """
        from fedlite.delivery.answers import accuracy_of
        from fedlite.delivery.path import Band, Path

        net: Any = artefact.as_trained(self.name)
        self._check(net)
        nets = {width: net.at(width) for _, width in self.states}
        bands = tuple(Band(charge, (Path(1.0, net.width(width)),)) for charge, width in self.states)
        now = state_at(self.states, self.charge)
        told = [
            {"charge_from": charge, "width": width, "held_accuracy": accuracy_of(nets[width], rows)}
            for charge, width in self.states
        ]
        return replace(
            artefact,
            net=nets[self.states[now][1]],
            bands=bands,
            paths=bands[now].paths,
            sealed=f"{self.name}: got a delivery after it that replaces layers, expected weights to cut widths from",
            forward_samples=artefact.forward_samples + len(self.states) * rows.held,
        ).telling(states=told)

    def _check(self, net: nn.Module) -> None:
        shares: tuple[float, ...] = getattr(net, "shares", ())
        if not callable(getattr(net, "width", None)):
            raise PartError(
                f"{self.name}: got a {type(net).__name__}, which was trained at one width, expected one of nested"
                " widths; write the structure {name: ordered, shares: [...]} beside it"
            )
        if unknown := [width for _, width in self.states if width not in shares]:
            raise PartError(
                f"states: got the width {unknown[0]:g}, expected one that was trained: "
                f"{', '.join(f'{share:g}' for share in shares)}; write one of them, or train it too"
            )
