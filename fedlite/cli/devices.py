"""`fedlite devices`: which device profiles ship, and everything that one of them says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedlite.cli import devices_model
from fedlite.cli.console import terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

    from fedlite.devices.profile import DeviceProfile, Sourced

devices_app = typer.Typer(help="Device profiles: list, show, predict, calibrate, validate.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]

_ROOM_FOR_ALL = 140


@devices_app.command("list")
def list_devices(
    as_json: AsJson = False,
    tier: Annotated[str | None, typer.Option(help="Only this tier, such as 'mcu'.")] = None,
) -> None:
    """Show every device profile and fleet mix that ships."""
    from fedlite.devices.profile import Tier
    from fedlite.errors import UnknownNameError
    from fedlite.scenario.profiles import load_mix, load_profile, mix_names, profile_names

    if tier is not None and tier not in [str(known) for known in Tier]:
        raise UnknownNameError("tier", tier, [str(known) for known in Tier])
    profiles = [profile for profile in map(load_profile, profile_names()) if tier in (None, profile.tier)]
    profiles.sort(key=lambda profile: (list(Tier).index(profile.tier), profile.name))
    mixes = [load_mix(name) for name in mix_names()]
    if as_json:
        document = {
            "profiles": [_brief(profile) for profile in profiles],
            "mixes": [{"name": mix.name, "title": mix.title, "shares": dict(mix)} for mix in mixes],
        }
        typer.echo(json.dumps(document, indent=2))
        return
    console = terminal()
    console.print(_list_table(profiles, console.width))
    if tier is None:
        console.print(_mix_table([(mix.name, mix.title, len(mix.entries)) for mix in mixes]))
    console.print(
        "Memory and power are those of a job, a star marks what is assumed: `fedlite devices show NAME` tells more."
    )


@devices_app.command("show")
def show_device(
    name: Annotated[str, typer.Argument(help="A profile's name, or the path of a YAML file.")], as_json: AsJson = False
) -> None:
    """Show one device profile with the source of every number."""
    from fedlite.scenario.profiles import load_profile

    profile = load_profile(name)
    if as_json:
        typer.echo(json.dumps(_full(profile), indent=2))
        return
    console = terminal()
    console.print(f"[bold]{profile.title}[/bold]  ({profile.name})")
    console.print(
        f"{profile.tier}, {profile.soc}, {profile.cores} x {profile.core_family}, jobs use {profile.threads} "
        f"thread{'s' if profile.threads > 1 else ''}, engine family {profile.engine}"
    )
    console.print(f"Networks: {', '.join(profile.radios)} (radio generation {profile.radio_generation})")
    if profile.notes:
        console.print(profile.notes)
    borrowed = [anchor for anchor in profile.anchors if anchor.latency_s.kind == "assumed"]
    if borrowed:
        console.print(
            f"{len(borrowed)} of its {len(profile.anchors)} latencies were measured on another chip (sources below): "
            "predictions from them carry the wider band of class engine-family."
        )
    if not profile.anchors:
        console.print("No latency of it was published: predictions come from its spec sheet, with that band.")
    console.print(_numbers_table(profile))


def _numbers(profile: DeviceProfile) -> list[tuple[str, str, Sourced]]:
    """Return (what, as people read it, number) of every number that a profile has."""
    rows: list[tuple[str, str, Sourced]] = []
    for what, number in (
        ("clock", profile.clock_hz),
        ("peak", profile.peak_flops),
        ("memory", profile.ram_bytes),
        ("memory of a job", profile.job_ram_bytes),
        ("storage of a job", profile.storage_bytes),
        ("power, idle", profile.idle_w),
        ("power, computing", profile.active_w),
        ("measured at", profile.active_clock_hz),
        ("battery", profile.battery_j),
        ("charger", profile.charge_w),
    ):
        if number is not None:
            rows.append((what, number.text, number))
    if profile.thermal is not None:
        rows.append(("slows down after", profile.thermal.onset_s.text, profile.thermal.onset_s))
        rows.append(("to a speed of", profile.thermal.sustained.text, profile.thermal.sustained))
    for anchor in profile.anchors:
        shape = "x".join(map(str, anchor.input_shape))
        what = f"{anchor.model} {shape}, {anchor.precision}, {anchor.threads} thr"
        rows.append((what, anchor.latency_s.text, anchor.latency_s))
    return rows


def _numbers_table(profile: DeviceProfile) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("what", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("known", no_wrap=True)
    table.add_column("source", overflow="fold")
    for what, text, number in _numbers(profile):
        style = {"measured": "green", "datasheet": "cyan", "assumed": "yellow"}[number.kind]
        table.add_row(what, text, f"[{style}]{number.kind}[/]", number.source.replace("[", r"\["))
    return table


def _list_table(profiles: list[DeviceProfile], width: int) -> Table:
    from rich import box
    from rich.table import Table

    columns: dict[str, Callable[[DeviceProfile], str]] = {
        "name": lambda p: p.name,
        "tier": lambda p: p.tier,
        "title": lambda p: p.title,
        "memory": lambda p: _marked(p.job_ram_bytes),
        "power": lambda p: _marked(p.active_w),
        "battery": lambda p: "mains" if p.battery_j is None else _marked(p.battery_j),
        "networks": lambda p: ", ".join(p.radios),
        "anchors": _anchored,
    }
    if width < _ROOM_FOR_ALL:
        del columns["title"], columns["networks"], columns["anchors"]
    table = Table(box=box.SIMPLE_HEAD, title=f"{len(profiles)} device profiles", title_justify="left")
    for column in columns:
        right = column in ("memory", "power", "battery")
        whole = column in ("name", "tier", "memory", "battery")
        table.add_column(column, justify="right" if right else "left", no_wrap=whole, overflow="fold")
    for profile in profiles:
        table.add_row(*(cell(profile) for cell in columns.values()))
    return table


def _mix_table(mixes: list[tuple[str, str, int]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=f"{len(mixes)} fleet mixes", title_justify="left")
    for column in ("name", "title", "profiles"):
        table.add_column(column)
    for name, title, count in mixes:
        table.add_row(name, title, str(count))
    return table


def _marked(number: Sourced) -> str:
    return f"{number.text}{'*' if number.kind == 'assumed' else ''}"


def _anchored(profile: DeviceProfile) -> str:
    if not profile.anchors:
        return "none"
    measured = sum(anchor.latency_s.kind == "measured" for anchor in profile.anchors)
    return f"{measured} measured" if measured else "nearest chip*"


def _brief(profile: DeviceProfile) -> dict[str, Any]:
    return {
        "name": profile.name,
        "title": profile.title,
        "tier": str(profile.tier),
        "soc": profile.soc,
        "engine": str(profile.engine),
        "threads": profile.threads,
        "ram_bytes": profile.ram_bytes.value,
        "job_ram_bytes": profile.job_ram_bytes.value,
        "active_w": profile.active_w.value,
        "battery_j": None if profile.battery_j is None else profile.battery_j.value,
        "networks": list(profile.radios),
        "anchors": len(profile.anchors),
        "anchors_measured": sum(anchor.latency_s.kind == "measured" for anchor in profile.anchors),
    }


def _full(profile: DeviceProfile) -> dict[str, Any]:
    """Return a whole profile, every number with value in SI units, text, source and kind."""
    import dataclasses

    return dataclasses.asdict(profile)


devices_model.register(devices_app)
