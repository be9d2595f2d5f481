"""Early exits: an inference ends at the first exit that is sure enough, and how sure that is follows the battery.

The heads of a net that was trained for its last exit alone are first taught, on a part of the calibration rows, to say
what the last exit says; the net below them stays as it is. On the other rows the threshold is chosen: the lowest at
which early answers agree with the last exit's as often as asked.

References
----------
Teerapittayanon, McDanel, Kung 2016, "BranchyNet: Fast inference via early exiting from deep neural networks".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from fedlite.compression.part import PartError
from fedlite.delivery.base import Artefact, Calibration, Delivery
from fedlite.delivery.charges import check_charges, state_at

if TYPE_CHECKING:
    from torch import nn

    from fedlite.delivery.exits import State


@dataclass(frozen=True)
class EarlyExit(Delivery):
    """Inferences end at the first exit whose largest probability reaches a threshold.

    Attributes
    ----------
    states : tuple of pairs
        (charge, agreement): from this share of the battery on, early answers agree with the last exit's in at least
        this share of the calibration rows. From the fullest to the emptiest; the last charge is 0.
    charge : float
        Of the device as it is shown: which state is shipped, priced and tested. All are told.
    fit : bool
        Teach heads of a net that was trained for its last exit alone.
    """

    name: ClassVar[str] = "early-exit"
    cites: ClassVar[tuple[str, ...]] = ("teerapittayanon2016branchynet",)

    states: tuple[tuple[float, float], ...] = ((0.0, 0.98),)
    charge: float = 1.0
    fit: bool = True

    def __post_init__(self) -> None:
        check_charges(self.states, self.charge, "[[0.5, 0.99], [0, 0.9]]")
        if wrong := [agree for _, agree in self.states if not 0.0 <= agree <= 1.0]:
            raise PartError(f"states: got the agreement {wrong[0]}, expected a share of 0 to 1; write for example 0.98")

    @property
    def label(self) -> str:
        """Such as "early exits (98 %)"."""
        return f"early exits ({', '.join(f'{agree:.0%}' for _, agree in self.states)})"

    @property
    def remark(self) -> str:
        """What it saves and what not."""
        return (
            "early exits save time and energy in the mean over inputs like the calibration rows; an input that goes to "
            "the end pays for all exits, and nothing is smaller"
        )

    def deliver(self, artefact: Artefact, rows: Calibration) -> Artefact:
        """Return the artefact that leaves early.

        Raises
        ------
        PartError
            If the net has no exits.
        """
        from fedlite.delivery.exits import Gated, calibrated, fitted, paths, whole
        from fedlite.delivery.path import Band

        check_exits(self.name, artefact.net)
        half = len(rows.x) // 2
        if half < 1:
            raise PartError(f"{self.name}: got {len(rows.x)} calibration rows, expected 2 or more; give more rows")
        net, plain = artefact.net, artefact.plain
        samples = len(rows.x) - half
        if self.fit and getattr(net, "outputs", "last") != "all":
            net, plain, samples = fitted(net, plain, rows.x[:half]), fitted(plain, plain, rows.x[:half]), len(rows.x)
        found = [calibrated(net, rows.x[half:], agree) for _, agree in self.states]
        bands = tuple(
            Band(charge, paths(plain, one.shares)) for (charge, _), one in zip(self.states, found, strict=True)
        )
        now = state_at(self.states, self.charge)
        return replace(
            artefact,
            net=Gated(net, found[now].threshold),
            plain=whole(plain),
            paths=bands[now].paths,
            bands=bands,
            forward_samples=artefact.forward_samples + samples,
        ).telling(
            exits=len(found[now].shares), states=[self._told(*one) for one in zip(self.states, found, strict=True)]
        )

    def _told(self, state: tuple[float, float], found: State) -> dict[str, Any]:
        return {
            "charge_from": state[0],
            "threshold": found.threshold,
            "exit_shares": list(found.shares),
            "agreement": found.agreement,
        }


def check_exits(part: str, net: nn.Module) -> None:
    """Raise PartError if a net has no exits to leave by."""
    if not (callable(getattr(net, "each", None)) and len(getattr(net, "heads", ())) > 1):
        raise PartError(
            f"{part}: got a {type(net).__name__} without several exits, expected a net with a head after each block; "
            "name a model such as 'cnn-exits'"
        )
