"""How many bits each layer gets when all of them together may have so many bytes.

A sweep measures what each width costs each layer in loss, all others as they are; the choice then minimises the sum of
these increases under the budget. That increases add up is an assumption of the method, not a law: the model that is
chosen has to be evaluated.

The choice is a multiple-choice knapsack. Partial choices that another one beats in bytes and in loss are dropped layer
by layer, which is exact for any sizes; where too many are left, a greedy rule takes over and says so.

References
----------
Dong et al. 2019, "HAWQ"; Yao et al. 2021, "HAWQ-V3: Dyadic Neural Network Quantization", section 3.4 (an integer
programme over sensitivities under a budget). Nemhauser, Ullmann 1969, "Discrete dynamic programming and capital
allocation" (undominated partial choices).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

MOST_PARTIAL: Final = 50_000
"""Undominated partial choices beyond which the greedy rule takes over."""


class BudgetError(FedliteError):
    """No choice of bits is within the budget."""


@dataclass(frozen=True)
class LayerWidths:
    """One layer: what it costs at each width.

    Attributes
    ----------
    name : str
    weights : int
        Their number.
    losses : mapping
        Bits -> increase of the loss, finite; negative where rounding happens to help.
    """

    name: str
    weights: int
    losses: Mapping[int, float]

    def payload_bytes(self, bits: int) -> int:
        """Return the packed length at a width, without scales."""
        return packed_bytes(self.weights, bits)


@dataclass(frozen=True)
class Chosen:
    """Bits of each layer by name, the sum of their losses and bytes, and whether no other choice is better."""

    bits: dict[str, int]
    loss: float
    payload_bytes: int
    exact: bool


def packed_bytes(weights: int, bits: int) -> int:
    """Return the bytes of so many packed integers."""
    return -(-weights * bits // 8)


def sweep(
    loss_of: Callable[[Mapping[str, int]], float], weights: Mapping[str, int], widths: Iterable[int]
) -> list[LayerWidths]:
    """Return what each width costs each layer alone.

    Parameters
    ----------
    loss_of : callable
        The loss of the model whose layers of these names have these bits, all others their own. Asked once for each
        layer and width, and once for the model as it is.
    weights : mapping
        Name of a layer -> number of its weights.
    widths : iterable of int
    """
    plain, tried = loss_of({}), sorted(set(widths))
    return [
        LayerWidths(name, count, {bits: loss_of({name: bits}) - plain for bits in tried})
        for name, count in weights.items()
    ]


def choose(layers: Sequence[LayerWidths], budget_bytes: float, most_partial: int = MOST_PARTIAL) -> Chosen:
    """Return the bits with the smallest loss within a budget; of equal ones the choice with fewer bytes.

    Parameters
    ----------
    layers : sequence of LayerWidths
    budget_bytes : float
        For all of them together.
    most_partial : int
        Undominated partial choices that are kept at most.

    Raises
    ------
    BudgetError
        If a loss is not finite, or the fewest bits of every layer are too many bytes.
    """
    for layer in layers:
        if wrong := [bits for bits, loss in layer.losses.items() if not math.isfinite(loss)]:
            raise BudgetError(
                f"bits of {layer.name}: got a loss of {layer.losses[wrong[0]]} at {wrong[0]} bits, expected a finite"
                " number; leave the width out of the sweep"
            )
    least = [min(map(layer.payload_bytes, layer.losses)) for layer in layers]
    if sum(least) > budget_bytes:
        raise BudgetError(
            f"budget: got {budget_bytes:g} bytes, expected {sum(least)} or more, what the fewest bits of every layer"
            " take; allow more bytes, or fewer bits"
        )
    found = _exactly(layers, least, budget_bytes, most_partial)
    return _greedily(layers, budget_bytes) if found is None else _told(layers, found, exact=True)


Partial = tuple[int, float, tuple[int, ...]]
"""Bytes, loss, and the bits of the first layers."""


def _exactly(
    layers: Sequence[LayerWidths], least: Sequence[int], budget_bytes: float, most_partial: int
) -> tuple[int, ...] | None:
    """Return the best bits; None if too many partial choices are undominated."""
    front: list[Partial] = [(0, 0.0, ())]
    left = sum(least)
    for layer, fewest in zip(layers, least, strict=True):
        left -= fewest
        grown = [
            (size + layer.payload_bytes(bits), loss + more, (*chosen, bits))
            for size, loss, chosen in front
            for bits, more in sorted(layer.losses.items())
        ]
        front = _undominated(partial for partial in grown if partial[0] + left <= budget_bytes)
        if len(front) > most_partial:
            return None
    return front[-1][2]


def _undominated(partials: Iterable[Partial]) -> list[Partial]:
    """Return the choices that no other one beats, in rising bytes and falling loss."""
    front: list[Partial] = []
    for partial in sorted(partials):
        if not front or partial[1] < front[-1][1]:
            front.append(partial)
    return front


def _greedily(layers: Sequence[LayerWidths], budget_bytes: float) -> Chosen:
    """Begin with the smallest loss of every layer, and take the step that loses least for each byte until all fits."""
    chosen = [min((loss, bits) for bits, loss in layer.losses.items())[1] for layer in layers]
    size = sum(layer.payload_bytes(bits) for layer, bits in zip(layers, chosen, strict=True))
    while size > budget_bytes:
        _, place, bits = min(
            (_slope(layer, chosen[place], bits), place, bits)
            for place, layer in enumerate(layers)
            for bits in layer.losses
            if layer.payload_bytes(bits) < layer.payload_bytes(chosen[place])
        )
        size += layers[place].payload_bytes(bits) - layers[place].payload_bytes(chosen[place])
        chosen[place] = bits
    return _told(layers, chosen, exact=False)


def _slope(layer: LayerWidths, before: int, after: int) -> float:
    saved = layer.payload_bytes(before) - layer.payload_bytes(after)
    return (layer.losses[after] - layer.losses[before]) / saved


def _told(layers: Sequence[LayerWidths], chosen: Sequence[int], *, exact: bool) -> Chosen:
    pairs = list(zip(layers, chosen, strict=True))
    return Chosen(
        {layer.name: bits for layer, bits in pairs},
        sum(layer.losses[bits] for layer, bits in pairs),
        sum(layer.payload_bytes(bits) for layer, bits in pairs),
        exact,
    )
