"""Techniques in an order: what the second makes of what the first has made, and which do not go together.

Rounds are trained under the first technique, then under both: what is pruned first is quantised pruned. Deliveries act
in the order in which their techniques are named.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fedlite.compression.part import PartError
from fedlite.compression.plan import Plan
from fedlite.compression.structure.full import FULL
from fedlite.techniques.technique import Among, Recipe

if TYPE_CHECKING:
    from fedlite.compression.structure.base import Structure

_PLAIN = ("fp32",)


def joined(first: Recipe, second: Recipe) -> Recipe:
    """Return the recipe that asks for both, the first before the second.

    Raises
    ------
    PartError
        If both change the net, or one of them cannot come after the other; the message says why.
    """
    if first.model and second.model:
        raise PartError(f"techniques: got the nets {first.model!r} and {second.model!r}, expected one; leave one out")
    if first.layers and second.layers:
        raise PartError(
            f"techniques: got the layers {first.layers.name!r} and {second.layers.name!r}, expected one; leave one out"
        )
    if first.lesson and second.lesson:
        raise PartError("techniques: got two teachers, one after the other, expected one; leave one out")
    return Recipe(
        _joined(first.plan, second.plan),
        second.model or first.model,
        second.layers or first.layers,
        options=tuple({**dict(first.options), **dict(second.options)}.items()),
        width=first.width * second.width,
        lesson=second.lesson or first.lesson,
        on_trained=first.on_trained or second.on_trained,
        among=_among(first, second),
    )


def _among(first: Recipe, second: Recipe) -> Among | None:
    """Return the plans to choose from, each with what the other technique asks for."""
    if first.among and second.among:
        raise PartError(
            f"techniques: got two that choose plans, {first.among.chooser.name!r} and {second.among.chooser.name!r},"
            " expected one; leave one out"
        )
    if first.among:
        plans = [replace(_joined(plan, second.plan), name=plan.name) for plan in first.among.plans]
        return replace(first.among, plans=tuple(plans))
    if second.among:
        plans = [replace(_joined(first.plan, plan), name=plan.name) for plan in second.among.plans]
        return replace(second.among, plans=tuple(plans))
    return None


def _joined(first: Plan, second: Plan) -> Plan:
    return Plan(
        name=f"{first.name}, {second.name}",
        structure=_structure(first.structure, second.structure),
        constraints=(*first.constraints, *second.constraints),
        terms=(*first.terms, *second.terms),
        stages=(*first.stages, *second.stages),
        deliveries=(*first.deliveries, *second.deliveries),
        up=second.up if second.up != _PLAIN else first.up,
        down=second.down if second.down != _PLAIN else first.down,
        delta=second.delta or first.delta,
    )


def _structure(first: Structure, second: Structure) -> Structure:
    if FULL not in (first, second):
        raise PartError(
            f"techniques: got two that change the net, {first.label!r} and {second.label!r}, expected one, for the"
            " second does not know the tensors of the first; leave one out"
        )
    return first if second == FULL else second
