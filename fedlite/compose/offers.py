"""What a deployment offers devices: forms of the model that are asked for, and those that a run's classes follow."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from fedlite.compose import fleet
from fedlite.compose.delivered import plan_shipped, plans_of
from fedlite.compression.plan import Plan
from fedlite.errors import FedliteError
from fedlite.scenario.clients import PlanSection
from fedlite.techniques import technique
from fedlite.techniques.pipeline import joined
from fedlite.techniques.technique import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fedlite.compose.learning import Learning
    from fedlite.scenario.schema import Scenario

AS_TRAINED: Final = "fp32"
"""The artefact that nothing is done to."""
OF_THE_RUN: Final = "of-the-run"
"""Names the artefacts under which the run's own classes were shipped the model."""
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9.]+")


@dataclass(frozen=True)
class Offer:
    """A form of the final model.

    Attributes
    ----------
    name : str
        In letters, digits, dots and hyphens, and "+" between techniques.
    plan : Plan
        What is done to the model.
    written : "full" or dict
        The plan as a rollout plan says it.
    """

    name: str
    plan: Plan
    written: Any


def asked_for(name: str, techniques: Sequence[tuple[str, Mapping[str, Any]]]) -> Offer:
    """Return the model under techniques with their options, in their order; as it was trained if there are none.

    Raises
    ------
    FedliteError
        If one of them is nothing that can be done to a trained model.
    """
    if {AS_TRAINED, OF_THE_RUN} & dict(techniques).keys() or not name:
        raise FedliteError(
            f"--artefact: got {name!r}, expected {AS_TRAINED} or {OF_THE_RUN} alone, or techniques with + between them;"
            " mend the name"
        )
    recipe = Recipe(Plan(name))
    for one, options in techniques:
        made = technique(one).made(options)
        if not isinstance(made, Recipe) or made.model or made.layers or made.lesson or made.among:
            raise FedliteError(
                f"artefact {name!r}: got {one!r}, which chooses a net or searches for a plan, expected what can be done"
                " to a trained model; leave it out"
            )
        if not (made.plan.deliveries or made.plan.constraints or not made.plan.structure.is_full):
            raise FedliteError(
                f"artefact {name!r}: got {one!r}, which acts in training or on the wire and leaves a trained model as"
                " it is, expected what changes it; leave it out"
            )
        recipe = joined(recipe, made)
    written = {"techniques": [{"name": one, **technique(one).read(options)} for one, options in techniques]}
    return Offer(name, recipe.plan, written if techniques else "full")


def of_the_run(
    run: Path, scenario: Scenario, learning: Learning, taken: Sequence[Offer]
) -> tuple[dict[str, Offer], dict[str, str]]:
    """Return under what each device class was shipped the model in a run, and why others were left out, by profile.

    One of `taken` where it comes to the same. A run whose clients are an app has models of its own, and none of these.
    """
    if scenario.task.app is not None:
        return {}, {}
    ledger = pl.read_parquet(run / "clients.parquet", columns=["plan", "kind", "profile"])
    columns = {name: ledger[name].to_numpy() for name in ledger.columns}
    offers, found, left_out = list(taken), {}, {}
    for one in fleet.classes(scenario, learning):
        plan = plan_shipped(plans_of(scenario, one), one, columns)
        if plan is None:
            left_out[one.profile.name] = one.excluded
            continue
        known = next((offer for offer in offers if offer.plan.shipment == plan.shipment), None)
        if known is None:
            known = _own(plan, [offer.name for offer in offers])
            offers.append(known)
        found[one.profile.name] = known
    return found, left_out


def _own(plan: Plan, taken: Sequence[str]) -> Offer:
    if plan.shipment == Plan():
        return Offer(AS_TRAINED, plan, "full")
    # Of a name that says what the plan is made of, that which is in the file.
    told = plan.shipment.label if plan.name.startswith(plan.label) else plan.name
    name = _NO_NAME.sub("-", told).strip("-.") or "own"
    while name in taken:
        name += "-own"
    section = PlanSection(
        structure=None if plan.structure.is_full else plan.structure,
        constraints=plan.constraints,
        deliveries=plan.deliveries,
    )
    return Offer(name, plan, section.model_dump(by_alias=True, exclude_none=True, exclude_defaults=True))
