"""What a compression plan saves on a device and what not, said in the same words before a run and after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedlite.compression.plan import Plan
    from fedlite.compression.structure.base import NetSpec

_PLAIN = ("fp32",)


def plan_remarks(
    plan: Plan, spec: NetSpec, objective: str, *, macs: float, params: float, faster: float | None = None
) -> list[str]:
    """Return sentences, without capital and full stop, that claim only what the numbers hold.

    Parameters
    ----------
    plan : Plan
    spec : NetSpec
        Of the full net.
    objective : str
        What is learned.
    macs, params : float
        Of the plan's net, as shares of those that it is compared with.
    faster : float, optional
        How many times as fast a training step is on the device that this is about.
    """
    said = []
    if macs < 1 or params < 1:
        left = f"{macs:.0%} of the multiplications and {params:.0%} of the parameters"
        said.append(left + ("" if faster is None else _speed(faster, macs)))
    said += part_remarks(plan, spec, objective)
    acts = plan.constraints or plan.terms or plan.deliveries or not plan.structure.is_full
    if not acts and not _is_plain(plan):
        said.append("saves bytes on the way, nothing else")
    return said


def part_remarks(plan: Plan, spec: NetSpec, objective: str) -> list[str]:
    """Return what the parts of a plan save and what they do not where this net learns this, a sentence each."""
    others = [part.remark for part in plan.parts if part is not plan.structure]
    layers = [spec.layers.remark] if spec.layers is not None else []
    return [remark for remark in (*layers, plan.structure.remark_in(spec, objective), *others) if remark]


def said_of(plan: Plan, spec: NetSpec, objective: str, *, macs: float, params: float) -> str:
    """Return all of it as one sentence, also of a plan that leaves everything as it is."""
    said = plan_remarks(plan, spec, objective, macs=macs, params=params)
    if not said and plan.is_full and _is_plain(plan):
        said = ["saves nothing: the full model in float32, both ways"]
    return "; ".join(said)


def _speed(faster: float, macs: float) -> str:
    only = "but a training step only" if faster < 1 / macs else "a training step"
    return f", {only} {faster:.1f} times as fast"


def _is_plain(plan: Plan) -> bool:
    return (plan.up, plan.down, plan.delta) == (_PLAIN, _PLAIN, ())
