"""`fedlite compress`: what compression plans make of a model on a device, side by side."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fedlite.cli.console import terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.table import Table

    from fedlite.compose.compressing import PlanRow
    from fedlite.compression.plan import Plan
    from fedlite.devices.estimate import Estimate

_ROOM_FOR_ALL: Final = 140
"""Columns that the whole table takes; on a narrower terminal it is two, of bytes and of times."""


def compress(  # noqa: PLR0917 -- typer reads the options from the signature
    model: Annotated[str, typer.Argument(help="A model's name, or your own pkg.mod:factory.")] = "cnn",
    device: Annotated[str, typer.Option(help="A profile's name, or the path of a YAML file.")] = "pi-4b",
    technique: Annotated[
        list[str] | None, typer.Option(help="Train on real data, before and after this; several act in their order.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="An option of a technique, such as bits=4; may be repeated.")
    ] = None,
    dataset: Annotated[str, typer.Option(help="Data of a technique: a name of `fedlite data list`.")] = "digits",
    listed: Annotated[bool, typer.Option("--list", help="List the techniques instead.")] = False,
    all_orders: Annotated[bool, typer.Option("--orders", help="Try several techniques in every order.")] = False,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of the full model before a technique.")] = 6,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of four clients under a technique.")] = 4,
    rows: Annotated[int, typer.Option(min=100, help="Most training rows of a technique.")] = 3000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of a technique's rows, weights and training.")] = 1,
    server_hour: Annotated[float, typer.Option(min=0, help="Price of a technique's server hour, in dollars.")] = 0.526,
    kwh: Annotated[float, typer.Option(min=0, help="Price of a kWh that devices take, in dollars.")] = 0.1688,
    width: Annotated[float, typer.Option(help="Share of the channels kept.")] = 1.0,
    sparsity: Annotated[float, typer.Option(help="Share of the weights masked, such as 0.9.")] = 0.0,
    bits: Annotated[int | None, typer.Option(help="Quantisation-aware training: 8 or 4.")] = None,
    up: Annotated[str | None, typer.Option(help="Codec of the uplink, such as topk:0.1+int8+zstd.")] = None,
    down: Annotated[str | None, typer.Option(help="Codec of the downlink, such as fp16.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Samples per training step.")] = 16,
    optimizer: Annotated[str, typer.Option(help="sgd or adam (its state takes memory).")] = "sgd",
    momentum: Annotated[float, typer.Option(help="Momentum of sgd.")] = 0.0,
    input_shape: Annotated[str | None, typer.Option("--input", help="Shape of one sample, such as 3x224x224.")] = None,
    classes: Annotated[int | None, typer.Option(min=1, help="Outputs of the model.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Compare compression plans: parameters, bytes stored and sent, latency, training step and memory on a device.

    Without plan options one plan of each kind is shown; with some, the full model and that plan. Bytes are of packets
    that were really encoded, the update after one training step on random inputs. With --technique the model is trained
    on real data before and after it, shipped and tested; --list names the techniques.
    """
    from fedlite.cli import compress_technique
    from fedlite.compose.bench_task import Effort
    from fedlite.errors import FedliteError

    if not listed:
        _check_together(technique or [])
    for option, price in (("--server-hour", server_hour), ("--kwh", kwh)):
        if not math.isfinite(price):
            raise FedliteError(f"{option}: got {price}, expected a price in dollars; write for example {option} 0.5")
    if listed:
        compress_technique.show_list(technique or [], as_json=as_json)
    elif technique:
        effort = Effort(rows=rows, epochs=epochs, rounds=rounds, seed=seed)
        asked = compress_technique.asked(model, device, dataset, technique, settings or [], effort, (server_hour, kwh))
        show = compress_technique.show_orders if all_orders else compress_technique.show_comparison
        show(asked, as_json=as_json)
    else:
        plans = _plans(width, sparsity, bits, up, down)
        _compare(model, device, plans, (batch, optimizer, momentum), (input_shape, classes), as_json=as_json)


_OF_TECHNIQUES: Final = ("settings", "dataset", "all_orders", "epochs", "rounds", "rows", "seed", "server_hour", "kwh")
_OF_PLANS: Final = (
    "width",
    "sparsity",
    "bits",
    "up",
    "down",
    "batch",
    "optimizer",
    "momentum",
    "input_shape",
    "classes",
)


def _check_together(techniques: list[str]) -> None:
    """Refuse options that would do nothing: those of techniques without one, those of plans beside one.

    Raises
    ------
    FedliteError
        If one was given.
    """
    import click

    from fedlite.errors import FedliteError

    context = click.get_current_context()
    idle = _OF_PLANS if techniques else _OF_TECHNIQUES
    for name in idle:
        if context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE:
            option = next(one.opts[0] for one in context.command.params if one.name == name)
            what = "beside --technique, which it says nothing to" if techniques else "without --technique"
            raise FedliteError(f"{option}: got a value {what}, expected none; leave it out")


def _compare(
    model: str,
    device: str,
    plans: tuple[Plan, ...],
    training: tuple[int, str, float],
    shape_told: tuple[str | None, int | None],
    *,
    as_json: bool,
) -> None:
    from fedlite.cli.inputs import shape_and_classes
    from fedlite.compose.compressing import Target, compare_plans
    from fedlite.scenario.profiles import load_profile

    profile = load_profile(device)
    shape, outputs = shape_and_classes(model, *shape_told)
    batch, optimizer, momentum = training
    found = compare_plans(profile, Target(model, shape, outputs, batch, optimizer, momentum), plans)
    if as_json:
        told = {
            "model": model,
            "device": profile.name,
            "input_shape": list(shape),
            "classes": outputs,
            "batch": batch,
            "plans": [row.to_json() for row in found],
        }
        print(json.dumps(told))
    else:
        _show(f"{model} on {profile.title}, training in batches of {batch}", found)


def _plans(width: float, sparsity: float, bits: int | None, up: str | None, down: str | None) -> tuple[Plan, ...]:
    """Return the full plan and the one that was asked for, or the usual ones."""
    from fedlite.compose.compressing import USUAL_PLANS
    from fedlite.compression.constraint.fake_quant import FakeQuant
    from fedlite.compression.constraint.magnitude import Magnitude
    from fedlite.compression.plan import Plan
    from fedlite.compression.structure.full import Full
    from fedlite.compression.structure.width import Width

    parts = [f"width {width:g}"] if width != 1 else []
    parts += [f"{sparsity:.0%} sparse"] if sparsity else []
    parts += [f"{bits} bits"] if bits is not None else []
    parts += [f"{up} up"] if up else []
    parts += [f"{down} down"] if down else []
    if not parts:
        return USUAL_PLANS
    asked = Plan(
        ", ".join(parts),
        structure=Full() if width == 1 else Width(width),
        constraints=(*((Magnitude(sparsity),) if sparsity else ()), *(() if bits is None else (FakeQuant(bits),))),
        up=_stages(up),
        down=_stages(down),
    )
    return USUAL_PLANS[0], asked


def _stages(codec: str | None) -> tuple[str, ...]:
    return tuple(stage.strip() for stage in codec.split("+")) if codec else ("fp32",)


def _show(title: str, rows: list[PlanRow]) -> None:
    console = terminal()
    sets = [[*_BYTES, *_ON_DEVICE]] if console.width >= _ROOM_FOR_ALL else [_BYTES, _ON_DEVICE]
    for columns in sets:
        console.print(_table(title, rows, columns))
    for row in rows:
        for remark in row.remarks:
            console.print(f"{row.plan.name}: {remark}.", markup=False)
    console.print("In brackets the 80 % band. Times are the device model's, not this computer's.", style="dim")


def _table(title: str, rows: list[PlanRow], columns: Sequence[tuple[str, Callable[[PlanRow], str]]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    table.add_column("plan")
    for name, _ in columns:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(row.plan.name, *(shown(row) for _, shown in columns))
    return table


def _bytes(size: float) -> str:
    from fedlite.units import show

    return show(size, "bytes")


def _banded(quantity: Estimate, dimension: str) -> str:
    from fedlite.units import show

    value, low, high = (show(float(part), dimension) for part in _parts(quantity))
    return f"{value} ({low} to {high})"


def _parts(quantity: Estimate) -> tuple[Any, Any, Any]:
    return quantity.value, quantity.low, quantity.high


_BYTES: Final[list[tuple[str, Callable[[PlanRow], str]]]] = [
    ("parameters", lambda row: f"{row.parameters:,}"),
    ("stored", lambda row: _bytes(row.stored_bytes)),
    ("down", lambda row: _bytes(row.down_bytes)),
    ("up", lambda row: _bytes(row.up_bytes)),
]
_ON_DEVICE: Final[list[tuple[str, Callable[[PlanRow], str]]]] = [
    ("inference", lambda row: f"{_banded(row.inference_s, 'time')} {row.precision}"),
    ("training step", lambda row: _banded(row.step_s, "time")),
    ("peak memory", lambda row: f"{_banded(row.peak_bytes, 'bytes')}{'' if row.fits else ' !'}"),
]
