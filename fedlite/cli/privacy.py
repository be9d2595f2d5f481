"""`fedlite privacy`: what a campaign would spend, the noise for a target, the assumptions; the report of a run."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fedlite.cli import privacy_attack
from fedlite.cli.following import patience
from fedlite.cli.privacy_report import privacy_report

if TYPE_CHECKING:
    from fedlite.privacy.planned import Campaign, Guarantee

privacy_app = typer.Typer(
    help="Differential privacy: of a campaign before it runs, and of a run; attacks and audits.", no_args_is_help=True
)
privacy_app.command("report")(privacy_report)
for _command in (privacy_attack.attack, privacy_attack.audit):
    privacy_app.command()(_command)

Rounds = Annotated[int, typer.Option(help="Models that are released.")]
Delta = Annotated[float, typer.Option(help="Such as 1e-6; below one over the population.")]
Cohort = Annotated[int | None, typer.Option(help="Clients per round (poisson: expected).")]
Population = Annotated[int | None, typer.Option(help="Clients there are.")]
Sampling = Annotated[
    str,
    typer.Option(
        help="none (no amplification claimed), poisson, truncated-poisson, or fixed (uniform without replacement)."
    ),
]
Relation = Annotated[
    str | None, typer.Option(help="add-remove, replace-one or zero-out; by default the usual one of the sampling.")
]
Cap = Annotated[int | None, typer.Option(help="The most clients of a round, of truncated-poisson.")]
Accountant = Annotated[str | None, typer.Option(help="pld or rdp; by default the tighter one that there is.")]
_COMPUTES: Final = "computing the privacy loss distribution"
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


@privacy_app.command()
def epsilon(
    noise_multiplier: Annotated[float, typer.Option(help="Noise on the sum, relative to the clipping norm.")],
    rounds: Rounds,
    delta: Delta,
    cohort: Cohort = None,
    population: Population = None,
    sampling: Sampling = "none",
    relation: Relation = None,
    cap: Cap = None,
    accountant: Accountant = None,
    as_json: AsJson = False,
) -> None:
    """Say what a campaign spends, with and without amplification by sampling, and what that rests on."""
    from fedlite.privacy.planned import epsilon_of

    campaign = _campaign(rounds, cohort, population, sampling, relation=relation, cap=cap, accountant=accountant)
    with patience(_COMPUTES):
        found = epsilon_of(noise_multiplier, delta, campaign)
    _print(campaign, found, as_json)


@privacy_app.command()
def calibrate(
    target_epsilon: Annotated[float, typer.Option("--epsilon", help="What the whole campaign may spend.")],
    rounds: Rounds,
    delta: Delta,
    cohort: Cohort = None,
    population: Population = None,
    sampling: Sampling = "none",
    relation: Relation = None,
    cap: Cap = None,
    accountant: Accountant = None,
    as_json: AsJson = False,
) -> None:
    """Find the least noise multiplier for a target epsilon, and say what that rests on."""
    from fedlite.privacy.planned import epsilon_of, noise_multiplier_for

    campaign = _campaign(rounds, cohort, population, sampling, relation=relation, cap=cap, accountant=accountant)
    with patience(_COMPUTES):
        found = epsilon_of(noise_multiplier_for(target_epsilon, delta, campaign), delta, campaign)
    _print(campaign, found, as_json)


def _campaign(rounds: int, cohort: int | None, population: int | None, sampling: str, **options: Any) -> Campaign:
    from fedlite.errors import FedliteError
    from fedlite.privacy.planned import Campaign

    if sampling != "none" and (cohort is None or population is None):
        missing = "--cohort" if cohort is None else "--population"
        raise FedliteError(
            f"{missing}: got nothing with --sampling {sampling}, expected a number;"
            " tell both --cohort and --population, or claim no amplification with --sampling none"
        )
    return Campaign(rounds, cohort or 1, population or cohort or 1, sampling, **options)


def _print(campaign: Campaign, found: Guarantee, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_record(campaign, found)))
        return
    print(f"epsilon {found.epsilon:.6g} at delta {found.delta:g}, noise multiplier {found.noise_multiplier:.6g}")
    print(f"  accountant            {found.accountant} (dp-accounting)")
    print(f"  neighbouring relation {found.relation}: {campaign.neighbours.says}")
    print(f"  without amplification epsilon {found.epsilon_without_amplification:.6g}, same relation")
    for warning in found.warnings:
        print(f"  warning               {warning}")
    print("This holds only if:")
    for assumption in found.assumptions:
        print(f"  - {assumption}")


def _record(campaign: Campaign, found: Guarantee) -> dict[str, Any]:
    sampled = campaign.sampling != "none"
    return {
        **asdict(found),
        "assumptions": list(found.assumptions),
        "warnings": list(found.warnings),
        "rounds": campaign.rounds,
        "cohort": campaign.cohort if sampled else None,
        "population": campaign.population if sampled else None,
        "sampling": campaign.sampling,
        "cap": campaign.cap,
    }
