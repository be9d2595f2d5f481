"""What a run or a study will take of this computer, for people and for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fedlite.cli.console import terminal
from fedlite.cli.following import shown, shown_count

if TYPE_CHECKING:
    from pathlib import Path

    from fedlite.estimating import Span
    from fedlite.runner import Settings
    from fedlite.scenario.schema import Scenario


def tell_run(scenario: Scenario, settings: Settings, *, quiet: bool, as_json: bool) -> None:
    """Estimate a run and tell it."""
    from fedlite.estimating import estimate
    from fedlite.units import show

    program_s = _program_s()
    found = shown(quiet, lambda say: estimate(scenario, settings, say))
    if as_json:
        print(json.dumps({**found.record(), "program_s": program_s}))
        return
    engine = f" after {show(found.start_s, 'time')} for Ray to start" if found.start_s else ""
    _say(
        f"wall time: {_span(found.wall_time_s)}{engine}, {_after(program_s)}",
        f"memory:    {show(found.memory_bytes, 'bytes')}",
        f"disk:      {show(found.kept_bytes, 'bytes')} in the end, {show(found.journal_bytes, 'bytes')} more meanwhile",
        f"from {found.tried_rounds} of {found.rounds} rounds, really run ({found.backend})",
    )


def tell_study(
    study: Path, out: Path | None, settings: Settings, *, seed_free: bool, quiet: bool, as_json: bool
) -> None:
    """Estimate what is left of a study and tell it."""
    from rich import box
    from rich.table import Table

    from fedlite.estimating import estimate_study
    from fedlite.units import show

    program_s = _program_s()
    found = shown_count(
        quiet,
        "settings tried",
        lambda say: estimate_study(study, out=out, settings=settings, seed_free=seed_free, progress=say),
    )
    if as_json:
        print(json.dumps({**found.record(), "program_s": program_s}))
        return
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("setting", "runs left", "a run takes", "memory", "disk"):
        table.add_column(column, justify="left" if column == "setting" else "right")
    for label, runs, one in found.settings:
        disk, memory = show(one.kept_bytes, "bytes"), show(one.memory_bytes, "bytes")
        table.add_row(label, str(runs), _span(one.wall_time_s), memory, disk)
    terminal().print(table)
    _say(
        f"wall time: {_span(found.wall_time_s)} for {found.runs} runs, one after the other, {_after(program_s)}",
        f"memory:    {show(found.memory_bytes, 'bytes')}",
        f"disk:      {show(found.disk_bytes, 'bytes')}",
    )


def _program_s() -> float:
    """Return how long this program took to start, as whatever is begun later will: Python, and what it imports."""
    import time

    import psutil

    return time.time() - float(psutil.Process().create_time())


def _after(program_s: float) -> str:
    from fedlite.units import show

    return f"after {show(program_s, 'time')} for the program to start"


def _span(one: Span) -> str:
    from fedlite.units import show

    return f"{show(one.value, 'time')} ({show(one.low, 'time')} to {show(one.high, 'time')})"


def _say(*lines: str) -> None:
    for line in lines:
        terminal().print(line, markup=False, highlight=False)
