"""What a device class trains and what it sends: the compression plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fedlite.errors import FedliteError

SCOPES: Final = ("global", "local")
BITS: Final = (8, 4)


class PlanError(FedliteError):
    """A compression plan asks for something impossible."""


@dataclass(frozen=True)
class CompressionPlan:
    """How one device class takes part.

    Three savings are kept apart. Only `width` makes training faster and smaller. `sparsity` and `bits` change what is
    learned and what can be delivered; the codecs change what is sent.

    Parameters
    ----------
    name : str
        What tables and reports call the plan.
    width : float
        Share of the channels that the client trains, above 0 up to 1; the others are physically removed.
    sparsity : float
        Share of the weights held at zero by a mask, from 0 to below 1.
    bits : int or None
        Quantisation-aware training at 8 or 4 bits; None trains in float32.
    uplink, downlink : tuple of str
        Stages of the codecs, such as ("topk:0.1", "int8", "zstd"); `fedlite.wire.parse_codec` explains and checks them.
    error_feedback : bool
        Whether the client keeps what the uplink codec left out and adds it to its next update.
    scope : str
        "global" ranks the magnitudes of all layers together for the mask, "local" layer by layer.

    Raises
    ------
    PlanError
        If a number is out of range.
    """

    name: str = "full"
    width: float = 1.0
    sparsity: float = 0.0
    bits: int | None = None
    uplink: tuple[str, ...] = ("fp32",)
    downlink: tuple[str, ...] = ("fp32",)
    error_feedback: bool = False
    scope: str = "global"

    def __post_init__(self) -> None:
        where = f"plan {self.name!r}"
        if not self.name:
            raise PlanError("plan: got an empty name, expected a word for tables and reports; write for example 'half'")
        if not 0 < self.width <= 1:
            raise PlanError(
                f"{where}: got width {self.width}, expected above 0 and at most 1; 0.5 trains half of the channels"
            )
        if not 0 <= self.sparsity < 1:
            raise PlanError(
                f"{where}: got sparsity {self.sparsity}, expected from 0 to below 1; "
                "0.9 holds 90 % of the weights at zero"
            )
        if self.bits is not None and self.bits not in BITS:
            raise PlanError(f"{where}: got bits {self.bits}, expected 8 or 4; leave it out to train in float32")
        if self.scope not in SCOPES:
            raise PlanError(
                f"{where}: got scope {self.scope!r}, expected {' or '.join(SCOPES)}; 'global' is the default"
            )
        _check_stages(where, "uplink", self.uplink)
        _check_stages(where, "downlink", self.downlink)

    @property
    def is_full(self) -> bool:
        """Whether the client trains the whole model in float32, without mask."""
        return self.width == 1 and self.sparsity == 0 and self.bits is None

    def describe(self) -> str:
        """Return one sentence per choice, claiming only the savings that are real."""
        parts = [self._width_sentence()]
        if self.sparsity:
            parts.append(
                f"A {self.scope} magnitude mask holds {self.sparsity:.0%} of the weights at zero; "
                "this saves bytes only through a sparse or lossless codec, and neither training time nor memory."
            )
        if self.bits is not None:
            parts.append(
                f"Local training simulates {self.bits}-bit weights, which makes each step slower; "
                "bytes and inference gain only once the weights are converted."
            )
        parts.append(f"It receives {' + '.join(self.downlink)} and sends {' + '.join(self.uplink)}.")
        if self.error_feedback:
            parts.append("What the uplink leaves out is kept and added to the next update.")
        return " ".join(parts)

    def _width_sentence(self) -> str:
        if self.width == 1:
            return "The client trains the whole model."
        return (
            f"The client trains the first {self.width:.0%} of each layer's channels; the rest is physically removed, "
            "which saves bytes, memory and training time (less time than the share of multiplications suggests)."
        )


def _check_stages(where: str, link: str, codec: object) -> None:
    if not isinstance(codec, tuple) or not codec:
        raise PlanError(f"{where}: got {link} {codec!r}, expected a tuple of stages; write for example ('fp32',)")
