"""Where commands print: as wide as the terminal, wide enough for every table where there is none, plain if asked to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console

WIDE: Final = 170
"""Columns where the output is no terminal and `COLUMNS` does not say."""


def terminal(*, stderr: bool = False) -> Console:
    """Return a console on standard output, or on standard error; with NO_COLOR it is plain, bold and dim included."""
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False, color_system=None if _is_plain() else "auto")
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = WIDE
    return made


def set_help() -> None:
    """Let help texts, which typer prints, be as plain as everything else."""
    if _is_plain():
        from typer import rich_utils

        rich_utils.COLOR_SYSTEM = None


def _is_plain() -> bool:
    return bool(os.environ.get("NO_COLOR"))
