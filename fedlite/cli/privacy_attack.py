"""`fedlite privacy attack | audit`: what somebody who is not trusted learns of a finished run, and what that proves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fedlite.cli.following import patience

Run = Annotated[Path, typer.Argument(help="Directory of a finished run.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
BROKEN = 1
"""Exit code of an audit that disproves what the run states."""


def attack(
    run: Run,
    attack: Annotated[
        str,
        typer.Option(
            help="inversion (inputs out of updates), membership (who was trained on), label (which classes a client"
            " has) or property (whether a class is common with it)."
        ),
    ],
    method: Annotated[
        str | None, typer.Option(help="Of inversion: analytic, cosine or dlg; by default what fits the net.")
    ] = None,
    shadows: Annotated[int, typer.Option(help="Of membership: shadow models; 0 for the loss alone.")] = 16,
    label: Annotated[
        int | None, typer.Option("--property", help="Of property: the class; by default what divides the clients best.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Attack a finished run as the adversary of its scenario, and say how well that goes beside a guess.

    Writes attack-NAME.json and attack-NAME.html into the run's directory. All but membership need what the run
    recorded: `adversary: {sees: updates}` in its scenario.
    """
    from fedlite.compose.attacking import Options
    from fedlite.compose.attacking import attack as carry_out

    with patience(f"attacking: {attack}"):
        told = carry_out(run, attack, Options(method, shadows, label))
    _say(told, run / f"attack-{attack}.html", as_json=as_json)


def audit(
    run: Run,
    delta: Annotated[float | None, typer.Option(help="Of the bound; by default that of the run's guarantee.")] = None,
    as_json: AsJson = False,
) -> None:
    """Bound from below, by the canaries of a finished run, how much privacy it lost; exit code 1 if it stated less.

    Writes audit.json and audit.html into the run's directory. The scenario plants canaries by
    `adversary: {sees: models, canaries: {clients: 100}}`.
    """
    from fedlite.compose.attacking import audit as carry_out

    with patience("auditing"):
        told = carry_out(run, delta)
    _say(told, run / "audit.html", as_json=as_json)
    if told["kept"] is False:
        raise typer.Exit(BROKEN)


def _say(told: dict[str, Any], page: Path, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(told))
        return
    from fedlite.report.attack_page import SEES, sentence

    print(sentence(told))
    print(f"The adversary is {SEES[told['sees']]}.")
    for one in told.get("bounds", ()):
        print(f"  {one['bound']:16} epsilon {one['epsilon']:.4g}, which rests on {one['rests_on']}")
    print(f"page: {page}")
