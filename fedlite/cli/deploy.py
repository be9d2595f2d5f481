"""`fedlite deploy`: the model of a finished run as files for its devices, tested and priced."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedlite.cli.console import terminal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from fedlite.compose.deploying import Deployment


def deploy(
    run: Annotated[Path, typer.Argument(help="Directory of a finished run.")],
    artefact: Annotated[
        list[str] | None,
        typer.Option(
            help="fp32, of-the-run (what its own classes get), a technique, or several in their order:"
            " unstructured-pruning+static-int8; may be repeated."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="An option of a technique: weight-only.bits=2; may be repeated.")
    ] = None,
    rate: Annotated[float, typer.Option(help="Inferences per second while the model is used.")] = 1.0,
    deadline: Annotated[str | None, typer.Option(help="After which it is too late, such as '50 ms'.")] = None,
    limit: Annotated[str | None, typer.Option(help="The most that a file may take, such as '50 MB'.")] = None,
    export: Annotated[
        list[str] | None,
        typer.Option(
            help="onnx, executorch, coreml or litert: the artefacts named (else the best and fp32) as such files, too."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where files go; default: RUN/deploy.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Make a finished run's model into files for its device classes, execute and test them, and price them there.

    Writes each artefact, deploy.json with every number, and variants.yaml: the model section of a rollout plan. With
    --export also files for other runtimes, executed there and compared.
    """
    from fedlite.compose.deploying import USUAL, deploy, variants
    from fedlite.scenario.dump import dump

    asked = _asked(run, artefact or list(USUAL), settings or [], (rate, deadline, limit), out or run / "deploy")
    asked = replace(asked, formats=tuple(export or ()), exports=tuple(artefact or ()))
    told = deploy(asked)
    (asked.out / "deploy.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    if as_json:
        print(json.dumps(told))
    else:
        _show(told)
    (asked.out / "variants.yaml").write_text(dump({"model": variants(told, asked)}), encoding="utf-8")
    if not as_json:
        terminal().print(f"files, deploy.json and variants.yaml: {asked.out}", markup=False)


def _asked(
    run: Path, names: list[str], settings: list[str], use: tuple[float, str | None, str | None], out: Path
) -> Deployment:
    from fedlite.cli.compress_technique import setting
    from fedlite.compose.deploying import Deployment
    from fedlite.compose.offers import AS_TRAINED, OF_THE_RUN
    from fedlite.compose.toolbox import with_options
    from fedlite.devices.duty import Use
    from fedlite.errors import FedliteError

    rate, deadline, limit = use
    parts = {name: [] if name in {AS_TRAINED, OF_THE_RUN} else name.split("+") for name in names}
    told = dict(setting(text) for text in settings)
    if idle := [key for key in told if not any(_is_for(key, own) for own in parts.values())]:
        raise FedliteError(
            f"--set: got {idle[0]!r}, which none of the artefacts {', '.join(names)} has as an option, expected"
            " technique.option=value of one of them; mend the name, or add the artefact"
        )
    mine = {name: {key: value for key, value in told.items() if _is_for(key, parts[name])} for name in names}
    artefacts = [(name, with_options(parts[name], mine[name]) if parts[name] else []) for name in names]
    return Deployment(
        run,
        artefacts,
        Use(rate, _read("--deadline", deadline, "time")),
        _read("--limit", limit, "bytes"),
        out,
    )


def _read(option: str, text: str | None, dimension: str) -> float:
    from fedlite.errors import FedliteError, UnitError
    from fedlite.units import parse

    try:
        found = math.inf if text is None else parse(text, dimension)
    except UnitError as error:
        raise FedliteError(f"{option}: {error}") from error
    if found <= 0:
        raise FedliteError(f"{option}: got {text!r}, expected above 0; leave it out for none")
    return found


def _is_for(key: str, techniques: Sequence[str]) -> bool:
    from fedlite.techniques import technique

    owner, dot, option = key.rpartition(".")
    return owner in techniques if dot else any(option in technique(name).options for name in techniques)


def _show(told: Mapping[str, Any]) -> None:
    console = terminal()
    console.print(_quality(told))
    for one in told["classes"]:
        console.print(_of_class(one))
        if one["left_out"]:
            console.print(f"{one['profile']} took no part in the run: {one['left_out']}", markup=False)
    if told["exports"]:
        console.print(_exports(told["exports"]))
    for one in told["exports"]:
        if "charge_from" in one:
            state = f"the state from {one['charge_from']:.0%} charge alone"
            console.print(f"{one['artefact']}, {one['format']}: {state}", markup=False)
        if not one["executed"]:
            console.print(f"{one['artefact']}, {one['format']}: {one['why']}", markup=False)
    for one in told["artefacts"]:
        for remark in one["remarks"]:
            console.print(f"{one['artefact']}: {remark}", markup=False)
    for one in told["not_made"]:
        console.print(f"{one['artefact']}: not made: {one['why']}", markup=False)
    console.print("In brackets the 80 % band. Times are the device model's, not this computer's.", style="dim")


def _quality(told: Mapping[str, Any]) -> Table:
    from rich import box
    from rich.table import Table

    from fedlite.units import show

    table = Table(box=box.SIMPLE_HEAD, title=f"{told['model']}, {told['dataset']}: executed here", title_justify="left")
    names = [name for name, value in told["artefacts"][0]["metrics"].items() if isinstance(value, float)]
    spoiled = list(told["artefacts"][0]["corrupted"])
    main = next(name for name in names if name != "loss")
    for column in ("artefact", "stored", *names, *(f"{main}, {kind}" for kind in spoiled)):
        table.add_column(column.replace("_", " "), justify="left" if column == "artefact" else "right")
    for one in told["artefacts"]:
        metrics = [f"{one['metrics'][name]:.3f}" for name in names]
        worse = [f"{one['corrupted'][kind][main]:.3f}" for kind in spoiled]
        table.add_row(one["artefact"], show(one["stored_bytes"], "bytes"), *metrics, *worse)
        for state in one.get("by_charge", ()):
            found = state["metrics"]
            table.add_row(_state(state), "", *(f"{found[name]:.3f}" if name in found else "" for name in names))
    return table


def _state(one: Mapping[str, Any]) -> str:
    return f"  from {one['charge_from']:.0%} charge"


def _exports(told: Sequence[Mapping[str, Any]]) -> Table:
    from rich import box
    from rich.table import Table

    from fedlite.units import show

    table = Table(box=box.SIMPLE_HEAD, title="exported", title_justify="left")
    for column in ("file", "size", "layers", "executed by", "largest error", "SQNR, dB", "score", "here"):
        table.add_column(column, justify="left" if column in {"file", "layers", "executed by"} else "right")
    for one in told:
        if one["written"]:
            layers = ", ".join(f"{count} {kind}" for kind, count in one["layers"].items())
            table.add_row(Path(one["file"]).name, show(one["bytes"], "bytes"), layers, *_compared(one))
    return table


def _compared(one: Mapping[str, Any]) -> list[str]:
    if not one["executed"]:
        return ["not executed", "", "", "", ""]
    main = next(iter(one["metrics"]))
    return [
        one["runtime"],
        f"{one['max_relative_error']:.2g}",
        "exact" if one["sqnr_db"] is None else f"{one['sqnr_db']:.1f}",
        *(f"{one[which][main]:.3f}" for which in ("metrics", "own_metrics")),
    ]


def _of_class(told: Mapping[str, Any]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=f"{told['profile']} ({told['tier']})", title_justify="left")
    for column in ("artefact", "inference", "energy", "memory", "a second", "warm", "busy", "late", "battery, h", ""):
        table.add_column(column, justify="left" if column in {"artefact", ""} else "right")
    for one in told["artefacts"]:
        name = f"{one['artefact']} (as in the run)" if one["artefact"] == told["shipped"] else one["artefact"]
        why = [*one["why"], *(["does not keep up"] if one.get("busy", 0.0) > 1.0 else [])]
        table.add_row(name, *(_numbers(one) if "latency_ms" in one else [""] * 8), "; ".join(why))
        for state in one.get("by_charge", ()):
            hours = state["hours_to_empty"]
            table.add_row(_state(state), *_inference(state), *[""] * 5, "" if hours is None else f"{hours:.3g}")
    return table


def _inference(one: Mapping[str, Any]) -> list[str]:
    latency, energy = one["latency_ms"], one["energy_mj"]
    return [
        f"{latency['value']:.3g} ms ({latency['low']:.3g} to {latency['high']:.3g})",
        f"{energy['value']:.3g} mJ",
    ]


def _numbers(one: Mapping[str, Any]) -> list[str]:
    from fedlite.units import show

    hours = one["hours_to_empty"]
    return [
        *_inference(one),
        show(one["peak_memory_bytes"]["value"], "bytes"),
        f"{one['per_s']:.3g}",
        f"{one['sustained_per_s']:.3g}",
        f"{one['busy']:.1%}",
        f"{one['late']:.1%}",
        "" if hours is None else f"{hours:.3g}",
    ]
