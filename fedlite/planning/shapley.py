"""Shapley values: what each part of a net adds to what the whole is worth, fairly divided.

Players are numbered from 0, and a value function tells what a set of them is worth, such as the accuracy on held-out
rows of a net that has only these blocks, or only these connections. Whoever adds least can be left out first.

References
----------
Shapley 1953, "A value for n-person games".
Castro, Gomez, Tejada 2009, "Polynomial calculation of the Shapley value based on sampling" (permutations).
Ghorbani, Zou 2020, "Neuron Shapley: Discovering the responsible neurons".
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING, Final

import numpy as np

from fedlite.compression.structure.depth import leave_out, residual_blocks
from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import nn

Value = Callable[[frozenset[int]], float]
"""What a set of players is worth; it must give the same for the same set. It is asked once for each."""
Score = Callable[["nn.Module"], float]
"""How good a net is, such as its accuracy on held-out rows."""

MOST_EXACT: Final = 16
"""Players up to which all sets are asked: 65,536 of them."""


class ShapleyError(FedliteError):
    """Shapley values cannot be found this way."""


@dataclass(frozen=True)
class Shares:
    """What each of n players adds.

    Attributes
    ----------
    values : float64 array (n,)
        They add up to the worth of all players less that of none.
    errors : float64 array (n,)
        Standard errors; 0 where all sets were asked.
    asked : int
        How many sets the value function was asked for.
    """

    values: NDArray[np.float64]
    errors: NDArray[np.float64]
    asked: int

    def least(self, count: int) -> tuple[int, ...]:
        """Return the `count` players that add least, in the order of their numbers; of equals the earlier."""
        return tuple(sorted(np.argsort(self.values, kind="stable")[:count].tolist()))


def exact(players: int, value: Value) -> Shares:
    """Return the Shapley values by asking for every set of players.

    Raises
    ------
    ShapleyError
        If there are no players, or more than `MOST_EXACT`.
    """
    if not 1 <= players <= MOST_EXACT:
        raise ShapleyError(
            f"shapley: got {players} players, expected 1 to {MOST_EXACT} to ask for every set of them; "
            "group them, or draw permutations"
        )
    ask = cache(value)
    gains: list[list[float]] = [[] for _ in range(players)]
    for size in range(players):
        share = 1 / (players * math.comb(players - 1, size))
        for members in combinations(range(players), size):
            before = frozenset(members)
            for player in set(range(players)) - before:
                gains[player].append(share * (ask(before | {player}) - ask(before)))
    values = np.array([math.fsum(of_player) for of_player in gains])
    return Shares(values, np.zeros(players), ask.cache_info().misses)


def estimated(players: int, value: Value, rng: np.random.Generator, permutations: int) -> Shares:
    """Return the mean of what players add when they come in random orders.

    The values add up to the worth of all less that of none whatever the orders, and are right on average.

    Parameters
    ----------
    players : int
        1 or more.
    value : callable
    rng : numpy Generator
        Draws the orders.
    permutations : int
        How many, 2 or more; each asks for as many sets as there are players, less those asked before.

    Raises
    ------
    ShapleyError
        If there are no players or fewer than two orders.
    """
    if players < 1 or permutations < 2:  # noqa: PLR2004 - one order tells no spread
        raise ShapleyError(
            f"shapley: got {players} players and {permutations} permutations, expected at least 1 and 2; ask for more"
        )
    ask = cache(value)
    gains = np.empty((permutations, players))
    for order in range(permutations):
        members: frozenset[int] = frozenset()
        for player in rng.permutation(players).tolist():
            gains[order, player] = ask(members | {player}) - ask(members)
            members |= {player}
    errors = gains.std(axis=0, ddof=1) / math.sqrt(permutations)
    return Shares(gains.mean(axis=0), errors, ask.cache_info().misses)


def worth_of_blocks(net: nn.Module, score: Score) -> tuple[list[str], Value]:
    """Return the residual blocks of a net by the names of their modules, and what a set of them is worth.

    The others are left out as the structure `skip` does; the net itself stays as it is.

    Raises
    ------
    ShapleyError
        If the net has no block that can be left out.
    """
    names = list(residual_blocks(net))
    if not names:
        raise ShapleyError(
            f"shapley: got a {type(net).__name__} without residual blocks, expected one that can be left out; "
            "name a model such as 'resnet8'"
        )

    def value(members: frozenset[int]) -> float:
        part = copy.deepcopy(net)
        leave_out(part, set(range(len(names))) - members)
        return score(part)

    return names, value


def worth_of_connections(net: nn.Module, weight: str, groups: Sequence[Sequence[int]], score: Score) -> Value:
    """Return what sets of groups of connections are worth: the others' weights are zero.

    Parameters
    ----------
    net : nn.Module
        Stays as it is.
    weight : str
        Name of a parameter (outputs, inputs, ...), such as "3.weight".
    groups : sequence of sequences of int
        For each player, the inputs of which it holds the connections: `[[0], [1], ...]` for each input by itself.
    score : callable

    Raises
    ------
    ShapleyError
        If there is no such parameter, or a group has an input that it has not.
    """
    found = dict(net.named_parameters()).get(weight)
    if found is None or found.dim() < 2:  # noqa: PLR2004 - outputs, inputs
        known = ", ".join(name for name, parameter in net.named_parameters() if parameter.dim() > 1)
        raise ShapleyError(f"shapley: got the layer {weight!r}, expected one of {known}; write one of these")
    beyond = sorted({index for group in groups for index in group if not 0 <= index < found.shape[1]})
    if beyond:
        raise ShapleyError(
            f"shapley: got input {beyond[0]} of {weight!r}, expected 0 to {found.shape[1] - 1}; mend the groups"
        )

    def value(members: frozenset[int]) -> float:
        part = copy.deepcopy(net)
        kernel = part.get_parameter(weight).data
        for player, group in enumerate(groups):
            if player not in members:
                kernel[:, list(group)] = 0
        return score(part)

    return value
