"""Which layers of a net a delivery can treat, and a clear refusal where there are none."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from torch import Tensor, nn

from fedlite.compression.part import PartError
from fedlite.learning.models.char_lstm import OneBiasLstm

if TYPE_CHECKING:
    from collections.abc import Sequence

DENSE: Final = (nn.Linear, nn.Conv1d, nn.Conv2d)
RECURRENT: Final = (nn.LSTM, nn.GRU, nn.RNN, OneBiasLstm)


def layers_of(
    net: nn.Module, kinds: tuple[type[nn.Module], ...], part: str, words: str, keep: Sequence[str] = ()
) -> dict[str, nn.Module]:
    """Return the layers of some kinds by their names, in the order of the net.

    Parameters
    ----------
    net : nn.Module
    kinds : tuple of types
    part, words : str
        Who asks, and what it looks for, for the message.
    keep : sequence of str
        Names or patterns ("features.*") of layers to leave as they are.

    Raises
    ------
    PartError
        If there is none, or `keep` fits no layer.
    """
    found = {name: module for name, module in net.named_modules() if type(module) in kinds}
    for pattern in keep:
        if not any(fnmatchcase(name, pattern) for name in found):
            raise PartError(
                f"keep: got {pattern!r}, which no layer of {part} is called, expected one of {', '.join(found)}; "
                "mend the name"
            )
    left = {name: layer for name, layer in found.items() if not any(fnmatchcase(name, one) for one in keep)}
    if not left:
        raise no_such_layers(net, part, words)
    return left


def weight_of(layer: nn.Module) -> Tensor:
    """Return the weights of a dense layer."""
    weight = layer.weight
    assert isinstance(weight, Tensor)  # noqa: S101 (dense layers have them)
    return weight


def no_such_layers(net: nn.Module, part: str, words: str) -> PartError:
    """Return the refusal of a net that has nothing of what a delivery treats, with the layers that it has."""
    others = ", ".join(f"{name} ({type(m).__name__})" for name, m in net.named_modules() if _own_weights(m)) or "none"
    return PartError(
        f"{part}: got a net without {words}, so that nothing of it would change; its layers: {others}; "
        "choose another technique"
    )


def _own_weights(module: nn.Module) -> bool:
    return any(True for _ in module.parameters(recurse=False))
