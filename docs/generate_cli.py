"""Write docs/reference/cli.md from the command line itself: every command, argument and option.

python docs/generate_cli.py            writes the page
python docs/generate_cli.py --check    exits with 1 if the page is not what the commands say
"""

from __future__ import annotations

import argparse
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fedlite.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Iterator

    import click

PAGE = Path(__file__).parent / "reference" / "cli.md"

HEAD = """\
# Command line

<!-- Written by docs/generate_cli.py from the commands; change them, then run it again. -->

`fedlite COMMAND --help` says the same in a terminal. With `--json` a command prints one JSON document; of those that
run something it is the last line. Arguments and options in bold must be given.

Exit codes: 0 done; 1 `doctor` found something missing; 2 a mistake in a file or on the command line; 3 no device can
ever take part; 4 a dataset cannot be had; 5 some runs of a study failed; 6 Ray died in mid-run; 7 the run is written,
but nothing came of it (nobody's reply arrived, or the model or all updates diverged); 130 stopped by Ctrl-C, 143 by
SIGTERM. A run that was stopped or lost Ray says how to continue it.
"""


def page() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *_command(typer.main.get_command(app), ("fedlite",))]).rstrip() + "\n"


def _command(command: click.Command, path: tuple[str, ...]) -> Iterator[str]:
    """Yield one command's heading, words and table, or those of a group's commands."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield f"{'#' * len(path)} `{' '.join(path)}`\n"
        yield f"{_text(command.help)}\n"
        yield f"    {_usage(command, path)}\n"
        yield from _table(command)
        return
    if len(path) > 1:
        yield f"{'#' * len(path)} `{' '.join(path)}`\n"
        yield f"{_text(command.help)}\n"
    for name, child in inner.items():
        yield from _command(child, (*path, name))


def _usage(command: click.Command, path: tuple[str, ...]) -> str:
    places = [one.human_readable_name.upper() for one in command.params if one.param_type_name == "argument"]
    required = {one.human_readable_name.upper() for one in command.params if one.required}
    shown = [place if place in required else f"[{place}]" for place in places]
    return " ".join([*path, *shown, "[OPTIONS]"])


def _table(command: click.Command) -> Iterator[str]:
    rows = [_row(parameter) for parameter in command.params if not getattr(parameter, "hidden", False)]
    if rows:
        yield "\n".join(["| | value | default | meaning |", "|---|---|---|---|", *rows]) + "\n"


def _row(parameter: click.Parameter) -> str:
    is_argument = parameter.param_type_name == "argument"
    names = [parameter.human_readable_name.upper()] if is_argument else [*parameter.opts, *parameter.secondary_opts]
    shown = ", ".join(f"`{name}`" for name in names)
    shown = f"**{shown}**" if parameter.required else shown
    return f"| {shown} | {_value(parameter)} | {_default(parameter)} | {_text(getattr(parameter, 'help', ''))} |"


def _value(parameter: click.Parameter) -> str:
    if getattr(parameter, "is_flag", False):
        return "flag"
    words = {"integer": "whole number", "integer range": "whole number", "float range": "number", "float": "number"}
    kind = words.get(parameter.type.name, parameter.type.name)
    return f"{kind}, repeatable" if parameter.multiple or parameter.nargs != 1 else kind


def _default(parameter: click.Parameter) -> str:
    value: Any = parameter.default
    if callable(value) or value in (None, False, (), []) or not isinstance(value, str | int | float):
        return ""
    return f"`{value}`"


def _text(words: str | None) -> str:
    """Return help on one line, safe inside a table."""
    return " ".join(inspect.cleandoc(words or "").split()).replace("|", "\\|")


def main() -> int:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 if the page is stale")
    made = page()
    if parser.parse_args().check:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == made:
            return 0
        sys.stderr.write(f"{PAGE}: the command line says something else; run 'python docs/generate_cli.py'\n")
        return 1
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
