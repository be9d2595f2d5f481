"""The full net with simulated integer arithmetic: inputs, weights and biases of its layers lie on integer grids.

The constraint `fake-quant` rounds weights only. Activations never pass a constraint, so this is a structure: it builds
the same net of other layers (`compression/layers/rounded.py`), with the same state. The range of an input is that of
its sample, in training as on a device: a running one would be state that no client owns, and would differ with the
order of clients.

Multiplications and memory are those of the full net, and rounding comes on top; the net is traced as it is built, the
rounding of its weights once for a step. What that adds on a phone, 1.9 to 2.1 times the step for the nets that ship, is
what was measured on a processor with torch's own modules (`FAKE_QUANT_SPEED`: 1.9 to 2.2 times). What is gained comes
later, when the net is delivered as integers, which compute what was trained.

References
----------
Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
sections 2.2 to 3 (biases on the grid of the sum; simulated quantisation). Normalisation is not folded into kernels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Final

from fedlite.compression.part import Effects, PartError
from fedlite.compression.structure.base import Array, NetSpec, Structure
from fedlite.compression.structure.full import Whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

LEAST, MOST = 2, 8
_INT8: Final = 8
_STORABLE: Final = (8, 4)
_MATRIX: Final = 2


@dataclass(frozen=True)
class QuantisedNet(Structure):
    """Linear and convolutional layers on integer grids; the others as they are.

    Attributes
    ----------
    bits : int
        Of weights, 2 to 8.
    activations : int
        Of the inputs of each layer, 2 to 8.
    powers_of_two : bool
        Whether scales are powers of two, so that simulated and real integers give the same bits.
    """

    name: ClassVar[str] = "quantised-net"
    cites: ClassVar[tuple[str, ...]] = ("jacob2018quantization",)
    covers: ClassVar[bool] = True

    bits: int = 8
    activations: int = 8
    powers_of_two: bool = False

    def __post_init__(self) -> None:
        for name in ("bits", "activations"):
            if not LEAST <= getattr(self, name) <= MOST:
                raise PartError(f"{name}: got {getattr(self, name)}, expected {LEAST} to {MOST}; write 8")

    @property
    def effects(self) -> Effects:
        """Rounded copies of the weights; time is that of the net, which is traced. Stored as its own integers."""
        both = self.bits == self.activations == _INT8
        # A scale that is a power of two is no scale of the codec: such weights stay as they are.
        stored = (f"rtn{self.bits}:weights",) if self.bits in _STORABLE and not self.powers_of_two else ()
        return Effects(weight_copies=2.0, stored=stored, inference="int8" if both else "fp32")

    @property
    def label(self) -> str:
        """Such as "8 bits, activations 8"."""
        return f"{self.bits} bits, activations {self.activations}"

    @property
    def remark(self) -> str:
        """What it costs, and where it gains."""
        return (
            "training steps are slower, not faster, for all of the rounding is additional; the net gains once it is"
            " delivered as integers"
        )

    def build(self, spec: NetSpec) -> nn.Module:
        """Return the full net with its linear and convolutional layers replaced."""
        from fedlite.compression.layers.rounded import ROUNDED, Grids, Rounded
        from fedlite.compression.layers.swap import swap

        net = spec.build()
        grids = Grids(self.bits, self.activations, self.powers_of_two)
        for layer in swap(net, ROUNDED, "a linear or convolutional layer"):
            assert isinstance(layer, Rounded)  # noqa: S101 (narrows for the type checker)
            layer.grids = grids
        _check_all_rounded(net)
        return net

    def plain(self, spec: NetSpec) -> nn.Module:
        """Return the full net: its layers are computed by kernels, and nothing is simulated."""
        return spec.build()

    def place(self, spec: NetSpec, full: Sequence[Array]) -> Whole:
        """Return that every tensor lies where it is."""
        _check_fit(self, spec)
        return Whole(full)


@lru_cache(maxsize=64)
def _check_fit(structure: QuantisedNet, spec: NetSpec) -> None:
    """Refuse the same nets as `build`; once, for it is asked in every round."""
    structure.build(spec)


def _check_all_rounded(net: nn.Module) -> None:
    """Refuse a net with weights that none of the layers rounds: it would be stored and priced as if it had none.

    Raises
    ------
    PartError
        If there are some, such as embeddings, recurrent layers and factors.
    """
    from fedlite.compression.layers.rounded import Rounded

    rounded = {f"{name}.weight".lstrip(".") for name, layer in net.named_modules() if isinstance(layer, Rounded)}
    others = [name for name, value in net.named_parameters() if value.ndim >= _MATRIX and name not in rounded]
    if others:
        raise PartError(
            f"quantised-net: got a net with {', '.join(others)}, which no linear or convolutional layer rounds in"
            " training, expected a net of such layers; use the constraint fake-quant ('bits'), which rounds all weights"
        )
