"""`fedlite cite`: BibTeX of exactly the methods, model and data that a scenario uses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

Scenario = Annotated[
    Path | None, typer.Argument(help="A scenario, or a run directory; without it only the software of every run.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON list instead of BibTeX.")]


def cite(scenario: Scenario = None, as_json: AsJson = False) -> None:
    """Print the BibTeX of what a scenario rests on, each entry with what it is cited for."""
    from fedlite.report.citations import cited
    from fedlite.scenario.loader import load_fleet

    file = scenario / "scenario.yaml" if scenario is not None and scenario.is_dir() else scenario
    citations = cited(None if file is None else load_fleet(file))
    if as_json:
        print(json.dumps([{"key": one.key, "uses": one.uses, "bibtex": one.bibtex} for one in citations]))
        return
    for one in citations:
        print(f"% {'; '.join(one.uses)}\n{one.bibtex}\n")
