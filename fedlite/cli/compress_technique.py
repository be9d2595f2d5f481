"""The techniques of `fedlite compress`: their list, and one or several of them before and after."""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from fedlite.cli.console import terminal
from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fedlite.compose.bench_task import Effort
    from fedlite.compose.toolbox import Asked

_ROWS: Final = (
    ("params", "parameters", "count"),
    ("macs", "multiply-accumulates", "count"),
    ("stored_bytes", "stored", "bytes"),
    ("up_bytes", "up, per job", "bytes"),
    ("down_bytes", "down, per job", "bytes"),
    ("accuracy", "accuracy", "share"),
    ("macro_f1", "macro-F1", "share"),
    ("map50", "mean average precision", "share"),
    ("latency_ms", "one inference", "ms"),
    ("energy_mj", "energy of an inference", "mJ"),
    ("training_step_ms", "one training step", "ms"),
    ("peak_memory_bytes", "memory of training", "bytes"),
    ("inference_memory_bytes", "memory of an inference", "bytes"),
)


_WHOLE: Final = 1e4
"""Numbers from here on are told without digits behind the point."""


def show_list(names: list[str], *, as_json: bool) -> None:
    """Print every technique in a line or two, or all that is known of those that are named."""
    from fedlite.compose.toolbox import catalogue

    found = catalogue(names)
    if as_json:
        print(json.dumps(found))
    elif names:
        _show_each(found)
    else:
        _show_all(found)


def _show_all(found: Sequence[Mapping[str, Any]]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("technique", no_wrap=True)
    table.add_column("what it does")
    table.add_column("saves", max_width=14)
    for family, members in groupby(found, lambda one: one["family"]):
        table.add_section()
        table.add_row(f"[bold]{family}[/bold]")
        for one in members:
            mark = "" if one["in_plans"] else " *"
            table.add_row(f"{one['technique']}{mark}", one["does"], " ".join(one["saves"]))
    console = terminal()
    console.print(table)
    console.print("* no name for a scenario's plan, which searches by 'plan: auto' and chooses by 'choose'")
    console.print("'fedlite compress --list --technique NAME' tells its options, sources and an example.")


def _show_each(found: Sequence[Mapping[str, Any]]) -> None:
    console = terminal()
    for one in found:
        console.print(f"[bold]{one['technique']}[/bold]: {one['does']}")
        for name, value in (
            ("family", one["family"]),
            ("saves", ", ".join(one["saves"]) or "nothing by itself"),
            ("where", ", ".join(one["where"])),
            ("options", ", ".join(f"{name}={value}" for name, value in one["options"].items()) or "none"),
            ("sources", one["source"]),
            ("in a plan", "by its name" if one["in_plans"] else "no: a search, a choice, or work of a server"),
            ("example", one["command"]),
        ):
            console.print(f"  {name:<10}{value}", markup=False)


def asked(
    model: str,
    device: str,
    dataset: str,
    names: list[str],
    settings: list[str],
    effort: Effort,
    prices: tuple[float, float],
) -> Asked:
    """Return what is to be compared; `prices` are those of a server hour and of a kWh.

    Raises
    ------
    FedliteError
        If a setting is written wrongly or meant for no technique, or there is no such technique or device.
    """
    from fedlite.compose.toolbox import Asked, with_options
    from fedlite.devices.server import Prices
    from fedlite.scenario.profiles import load_profile

    techniques = with_options(names, dict(setting(text) for text in settings))
    return Asked(model, dataset, load_profile(device), techniques, effort, Prices(*prices))


def show_comparison(asked: Asked, *, as_json: bool) -> None:
    """Train, apply, measure and print."""
    from fedlite.compose.toolbox import compare

    told = compare(asked)
    if as_json:
        print(json.dumps(told))
    else:
        _show(told)


def show_orders(asked: Asked, *, as_json: bool) -> None:
    """Print what the order of techniques makes of the model: one column for each order.

    Raises
    ------
    SystemExit
        If every order is refused.
    """
    from fedlite.compose.toolbox import orders

    told = orders(asked)
    made = [one for one in told if "refused" not in one]
    if as_json:
        print(json.dumps(told))
        if not made:
            raise SystemExit(FedliteError.exit_code)
        return
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD, title=f"{asked.model} on {asked.profile.name}, {asked.data}", title_justify="left"
    )
    table.add_column("")
    for column in ("before", *(_in_order(one) for one in made)):
        table.add_column(column, justify="right")
    for key, words, unit in _ROWS:
        if made and key in made[0]["before"]:
            columns = (made[0]["before"][key], *(one["after"][key] for one in made))
            table.add_row(words, *(_written(_plain(value), unit) for value in columns))
    console = terminal()
    if made:
        console.print(table)
    for one in told:
        if "refused" in one:
            console.print(f"{_in_order(one)}: {one['refused']}", markup=False)
    if not made:
        raise SystemExit(FedliteError.exit_code)


def _in_order(told: Mapping[str, Any]) -> str:
    return ", then ".join(one["technique"] for one in told["techniques"])


def setting(text: str) -> tuple[str, str]:
    """Return the option and the value of `option=value`."""
    key, equals, value = text.partition("=")
    if not (equals and key):
        raise FedliteError(f"--set: got {text!r}, expected option=value; write for example --set bits=4")
    return key, value


def _show(told: Mapping[str, Any]) -> None:
    from rich import box
    from rich.table import Table

    title = f"{told['model']} on {told['device']}, {told['dataset']}: {told['plan']}"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    for column in ("", "before", "after", "after / before"):
        table.add_column(column, justify="left" if not column else "right")
    for key, words, unit in _ROWS:
        if key in told["before"]:
            before, after = told["before"][key], told["after"][key]
            table.add_row(words, _value(before, unit), _value(after, unit), _ratio(before, after))
    console = terminal()
    console.print(table)
    for name, value in told["facts"].items():
        console.print(f"{name.replace('_', ' ')}: {_fact(value)}", markup=False)
    for line in _cost(told["cost"]):
        console.print(line, markup=False)
    for remark in told["remarks"]:
        console.print(f"{remark[:1].upper()}{remark[1:]}.", markup=False)
    console.print("In brackets the 80 % band. Times are the device model's, not this computer's.", style="dim")


def _fact(value: Any) -> str:
    """Return what a method says of itself, which may be nested, in words: a line for each of several records."""
    if isinstance(value, dict):
        parts = [
            f"{str(name).replace('_', ' ')} {_fact(one)}" for name, one in value.items() if one not in ({}, [], "")
        ]
        return ", ".join(parts)
    if isinstance(value, list | tuple):
        lines = any(isinstance(one, dict | list | tuple) for one in value)
        return "".join(f"\n  {_fact(one)}" for one in value) if lines else ", ".join(_fact(one) for one in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= _WHOLE else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _cost(cost: Mapping[str, Any]) -> list[str]:
    """Return what finding and making it took, in all and by what it was for."""
    prices = cost["prices"]
    paid = f"at {prices['server_hour']:g} USD an hour of {prices['server']}, {prices['kwh']:g} USD a kWh"
    parts = [f"  {name}: {_spent(one)}" for name, one in cost["parts"].items()]
    return [f"Finding and making it took {_spent(cost)} ({paid}).", *parts]


def _spent(one: Mapping[str, Any]) -> str:
    from fedlite.units import HOUR_S, show

    def written(who: str, name: str) -> list[str]:
        hours, energy = one[f"{who}_hours"]["value"], one[f"{who}_j"]["value"]
        return [f"{name} {show(hours * HOUR_S, 'time')} and {show(energy, 'energy')}"] if hours else []

    parts = [*written("device", "devices"), *written("server", "a server")]
    return ", ".join([*parts, f"{one['money']['value']:.2g} USD"] if parts else ["nothing"])


def _plain(value: Any) -> float:
    return float(value["value"] if isinstance(value, dict) else value)


def _value(value: Any, unit: str) -> str:
    if isinstance(value, dict):
        return f"{_written(value['value'], unit)} ({_written(value['low'], unit)} to {_written(value['high'], unit)})"
    return _written(value, unit)


def _written(value: float, unit: str) -> str:
    from fedlite.units import show

    if unit == "bytes":
        return show(value, "bytes")
    if unit == "share":
        return f"{value:.1%}"
    return f"{value:,.0f}" if unit == "count" else f"{value:.3g} {unit}"


def _ratio(before: Any, after: Any) -> str:
    return f"{_plain(after) / _plain(before):.3g}" if _plain(before) else ""
