"""Rehearsed rollouts in the terminal: tables that a release manager can paste."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from fedlite.report.figures import rollout_gates
from fedlite.report.rollout_rows import Told, rows, share
from fedlite.report.words import NOTHING, count, percent
from fedlite.rollout.states import State

if TYPE_CHECKING:
    from collections.abc import Iterator

Summary = dict[str, Any]
Line = tuple[str, list[Told]]

_LABEL: Final = 20
"""Characters of the first column where the others need the room."""
_NAME: Final = 17
"""Of a world's name in one line."""
_GAP: Final = 2


def tables(summary: Summary, width: int = 80) -> Iterator[Table]:
    """Yield what the worlds came to, why devices were not reached, and what gates see, for so many characters.

    Worlds that do not fit side by side come in a further table.
    """
    worlds = summary["worlds"]
    found = (
        f"{summary['name']}: {count(summary['replications'])} rehearsals of {count(summary['devices'])} devices in each"
        " world; median, and below it 5 to 95 %"
    )
    yield from _side_by_side(found, [(row.name, [row.tell(world) for world in worlds]) for row in rows(worlds)],
                             [world["name"] for world in worlds], width)  # fmt: skip
    reasons = [(state.reason.rstrip("."), [_never(world, state) for world in worlds])
               for state in State if any(state.value in world["never"] for world in worlds)]  # fmt: skip
    if reasons:
        yield from _side_by_side("Devices that never ran the new model, and why", reasons,
                                 [world["name"] for world in worlds], width, label=width)  # fmt: skip
    if summary["gates"]:
        yield _gates(summary)


def _never(world: Summary, state: State) -> Told:
    band = world["never"].get(state.value)
    return Told(share(band["p50"] if band else 0.0))


def _side_by_side(
    title: str, lines: list[Line], names: list[str], width: int, *, label: int = _LABEL
) -> Iterator[Table]:
    names = ["\n".join(wrap(name, _NAME)) for name in names]
    widths = [
        max(
            *map(len, name.split("\n")),
            *(cell_len(text) for _, cells in lines for text in (cells[i].median, cells[i].band)),
        )
        for i, name in enumerate(names)
    ]
    least = min(max(len(name) for name, _ in lines), _LABEL)
    for number, part in enumerate(_parts(widths, width - least)):
        room = width - sum(widths[i] + _GAP for i in part)
        made = _table(title if not number else f"{title} (continued)")
        made.add_column("", max_width=max(least, min(label, room)))
        for i in part:
            made.add_column(Text(names[i]), justify="right", overflow="fold")
        for name, cells in lines:
            made.add_row(name, *(_cell(cells[i]) for i in part))
        yield made


def _parts(widths: list[int], room: int) -> list[list[int]]:
    """Return which columns stand side by side, as many as there is room for, at least one."""
    parts: list[list[int]] = []
    for i, own in enumerate(widths):
        taken = sum(widths[j] + _GAP for j in parts[-1]) if parts else 0
        if parts and taken + own + _GAP <= room:
            parts[-1].append(i)
        else:
            parts.append([i])
    return parts


def _cell(told: Told) -> Text:
    return Text(told.median) + Text(f"\n{told.band}" if told.band else "", style="dim")


def _table(title: str) -> Table:
    return Table(
        title=Text(title), title_justify="left", box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold"
    )


def _gates(summary: Summary) -> Table:
    made = _table("What gates see, wave by wave, before anything is rehearsed")
    for name in ("gate", "wave", "of"):
        made.add_column(name)
    for name in ("devices", "reports", "effect", "seen with", "4 of 5 see", "needs"):
        made.add_column(name, justify="right")
    for row in summary["gates"]:
        named = (Text(row[key]) for key in ("name", "wave", "of"))
        power = NOTHING if row["power"] is None else percent(row["power"], 0)
        needs = NOTHING if row["needed"] is None else count(row["needed"])
        reports = NOTHING if row["power"] is None else rollout_gates.reports(row)
        made.add_row(*named, count(row["n"]), reports, share(row["effect"]), power, share(row["mde"]), needs)
    return made
