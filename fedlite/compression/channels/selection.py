"""How many units of each group stay, and which: layer by layer, or ranked over the whole net."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from fedlite.compression.part import PartError
from fedlite.errors import nearest, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.compression.channels.groups import Coupling, Group, Marks
    from fedlite.compression.channels.importance.base import Scores

SCOPES: Final = ("local", "global")


def check_settings(share: float, below: float | None, round_to: int, scope: str) -> None:
    """Refuse settings out of range.

    Raises
    ------
    PartError
        If any is.
    """
    for name, value in (("share", share), ("below", below)):
        if value is not None and not 0 < value <= 1:
            raise PartError(f"{name}: got {value}, expected above 0 and at most 1; write for example 0.5")
    if round_to < 1:
        raise PartError(f"round_to: got {round_to}, expected 1 or more; write for example 8")
    if scope not in SCOPES:
        near = nearest(scope, SCOPES) or "local"
        raise PartError(f"scope: got {quoted(scope)}, expected {' or '.join(SCOPES)}; write {near!r}")


def local_counts(coupling: Coupling, share: float, round_to: int, layers: Sequence[str] = ()) -> list[int]:
    """Return how many units of each group stay if each keeps the same share: the nearest, halves upwards.

    Raises
    ------
    PartError
        If a layer would keep nothing, or a named one cannot be pruned.
    """
    chosen = coupling.chosen(layers)
    return [
        _rounded(group, share * group.units, share, round_to) if position in chosen else group.units
        for position, group in enumerate(coupling.groups)
    ]


def first(coupling: Coupling, counts: Sequence[int]) -> list[Marks]:
    """Return that the first so many units of each group stay: for shapes, where no values are known."""
    return [np.arange(group.units) < count for group, count in zip(coupling.groups, counts, strict=True)]


def best(scores: Scores, count: int) -> Marks:
    """Return which units are the `count` of the highest score; of equals the first."""
    keep = np.zeros(len(scores), np.bool_)
    keep[np.argsort(-scores, kind="stable")[:count]] = True
    return keep


def local(
    coupling: Coupling, scores: Sequence[Scores], share: float, round_to: int = 1, layers: Sequence[str] = ()
) -> list[Marks]:
    """Return which units stay if each group keeps the same share of its own."""
    counts = local_counts(coupling, share, round_to, layers)
    return [best(own, count) for own, count in zip(scores, counts, strict=True)]


def overall(
    coupling: Coupling, scores: Sequence[Scores], share: float, round_to: int = 1, layers: Sequence[str] = ()
) -> list[Marks]:
    """Return which units stay if those go that score least in the whole net, until that share of its channels is left.

    Raises
    ------
    PartError
        If a layer would keep nothing, or a named one cannot be pruned.
    """
    chosen = coupling.chosen(layers)
    groups = [coupling.groups[position] for position in chosen]
    ranked = np.concatenate([scores[position] for position in chosen])
    owner = np.repeat(np.arange(len(groups)), [group.units for group in groups])
    widths = np.array([group.channels for group in groups])[owner]
    # Of equals the last goes first, as in `best`.
    order = np.lexsort((-np.arange(len(ranked)), ranked))
    gone = np.cumsum(widths[order]) <= round((1 - share) * int(widths.sum()))
    left = np.ones(len(ranked), np.bool_)
    left[order[gone]] = False
    keep = [group_marks.copy() for group_marks in coupling.everything]
    for index, (position, group) in enumerate(zip(chosen, groups, strict=True)):
        count = _rounded(group, float(left[owner == index].sum()), share, round_to)
        keep[position] = best(scores[position], count)
    return keep


def above(coupling: Coupling, scores: Sequence[Scores], limit: float, layers: Sequence[str] = ()) -> list[Marks]:
    """Return which units stay if those go whose score is below `limit` times the largest of their group.

    Raises
    ------
    PartError
        If a named layer cannot be pruned, or a group has no score above 0.
    """
    chosen = coupling.chosen(layers)
    keep = coupling.everything
    for position in chosen:
        own = scores[position]
        if own.max() <= 0:
            raise _empties(coupling.groups[position], f"limit {limit:g}", "a term of less weight")
        keep[position] = own >= limit * own.max()
    return keep


def _rounded(group: Group, wanted: float, share: float, round_to: int) -> int:
    """Return the number of units nearest to a wish whose channels are a multiple; all of them are always allowed."""
    step = math.lcm(group.channels, round_to) // group.channels
    count = min(group.units, math.floor(wanted / step + 0.5) * step)
    if count == 0:
        raise _empties(group, f"share {share:g}", "a larger share")
    return count


def _empties(group: Group, setting: str, remedy: str) -> PartError:
    size = group.units * group.channels
    unit = f", which go by {group.channels}" if group.channels > 1 else ""
    return PartError(
        f"share: got {setting}, which leaves layer {group.name!r} none of its {size} channels{unit}, "
        f"expected at least one to stay; write {remedy}, or name the layers to prune"
    )
