"""`fedlite rollout import | export`: plans of other systems, and plans for them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fedlite.scenario.rollout.exchange.fields import Left

SystemName = Literal["aws", "hawkbit", "mender", "argo"]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def import_plan(
    file: Annotated[Path, typer.Argument(help="A job, rollout or deployment as the other system takes it.")],
    source: Annotated[SystemName, typer.Option("--from", help="The other system.")],
    fleet: Annotated[Path | None, typer.Option(help="Scenario whose fleet the plan is for.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write the plan; without it, it is printed.")] = None,
    as_json: AsJson = False,
) -> None:
    """Read the plan of another system; what that holds nothing of is a stub, what it holds in vain is listed."""
    from fedlite.scenario.loader import load_fleet
    from fedlite.scenario.rollout.exchange import load, system
    from fedlite.scenario.rollout.exchange.plan_text import plan_text

    imported = load(file, source)
    plan = imported.plan
    if fleet is not None:
        load_fleet(fleet)  # whose mistakes are told now
        plan = {**plan, "fleet": {"scenario": _from(fleet, out)}}
    text = plan_text(plan, system(source).title)
    record = {"plan": text, "assumed": [{"key": one.key, "why": one.why} for one in imported.assumed]}
    lists = {
        f"Of {file} were not carried over:": imported.left,
        f"Assumed, of which {file} says nothing:": imported.assumed,
    }
    _tell(text, out, lists, imported.left, as_json, record)


def export_plan(
    plan: Annotated[Path, typer.Argument(help="A rollout plan.")],
    target: Annotated[SystemName, typer.Option("--to", help="The other system.")],
    out: Annotated[Path | None, typer.Option(help="Where to write the document; without it, it is printed.")] = None,
    start: Annotated[
        str | None, typer.Option(help="When it begins there, such as 2026-03-02T08:00:00Z; a plan holds no date.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a plan as another system's document, and list what that cannot express."""
    from fedlite.scenario.dump import dump
    from fedlite.scenario.rollout.exchange import export, system
    from fedlite.scenario.rollout.loading import load_rollout

    document, left = export(load_rollout(plan), target, _moment(start))
    text = dump(document) if system(target).is_yaml else json.dumps(document, indent=2) + "\n"
    _tell(text, out, {f"{system(target).title} cannot express:": left}, left, as_json, {"document": document})


def _from(path: Path, out: Path | None) -> str:
    """Return a path as the plan will find it, which starts from its own folder."""
    folder = (out.parent if out is not None else Path()).resolve()
    place = path.resolve()
    return str(place.relative_to(folder)) if place.is_relative_to(folder) else str(place)


def _moment(text: str | None) -> datetime | None:
    from fedlite.errors import FedliteError

    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise FedliteError(f"--start: got {text!r}, expected a time; write for example 2026-03-02T08:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _tell(
    text: str,
    out: Path | None,
    lists: Mapping[str, Sequence[Left]],
    left: Sequence[Left],
    as_json: bool,
    record: dict[str, Any],
) -> None:
    """Write or print what was made, then what is missing from it, under the headings of `lists`."""
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    if as_json:
        listed = [{"key": one.key, "why": one.why, "line": one.place.line if one.place else None} for one in left]
        print(json.dumps({"path": None if out is None else str(out), **record, "left": listed}))
        return
    print(text if out is None else f"Written: {out}", end="" if out is None else "\n")
    for heading, told in lists.items():
        if told:
            # Beside a document on the standard output, so that this can go into a file.
            typer.echo("\n".join([heading, *(f"  {one}" for one in told)]), err=out is None)
