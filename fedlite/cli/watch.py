"""`fedlite watch`: how far a run is, from another terminal."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from fedlite.cli.following import shown
from fedlite.cli.run import tell
from fedlite.errors import FedliteError
from fedlite.results.directory import PROGRESS

if TYPE_CHECKING:
    from fedlite.cli.following import Say
    from fedlite.results.directory import RunDirectory

LOOK_S: Final = 1.0
"""Between two looks: a person reads what is shown, and no result waits for it."""


def watch(
    run: Annotated[Path, typer.Argument(help="The directory of a run that is under way, or finished.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one line of JSON, last.")] = False,
) -> None:
    """Follow a run that another process computes until it ends, and say what came of it."""
    from fedlite.compose.finished import completed
    from fedlite.results.directory import RunDirectory

    if not run.is_dir():
        raise FedliteError(f"watch: got {run}, which is no folder; expected the directory of a run")
    _refuse_study(run)
    directory = RunDirectory(run)
    directory.read_text("scenario.yaml")
    shown(as_json, lambda say: _followed(directory, say))
    tell(completed(directory), as_json)


def _refuse_study(path: Path) -> None:
    """A study is many runs: name one that is under way, or else the last that has begun."""
    if not (path / "study.json").is_file():
        return
    begun = sorted(path.glob("*/scenario.yaml"), key=lambda file: (file.stat().st_mtime_ns, file))
    named = next((file.parent for file in reversed(begun) if (file.parent / PROGRESS).exists()), None)
    named = named or (begun[-1].parent if begun else path / "LABEL-seed-N")
    raise FedliteError(f"watch: got {path}, which is a study of several runs; watch one of them, such as {named}")


def _followed(directory: RunDirectory, say: Say | None) -> None:
    """Return when the run has ended.

    Raises
    ------
    FedliteError
        If nobody is at work in the directory.
    """
    from fedlite.compose.progress import read_progress

    told = ""
    while not directory.has_summary:
        under_way = directory.is_held
        now = read_progress(directory)
        if now is not None and say is not None and repr(now) != told:  # not-a-number is never equal to itself
            say(now)
            told = repr(now)
        if not under_way and not directory.has_summary:
            raise FedliteError(
                f"watch: got {directory.path}, where no process is at work; continue it with --resume {directory.path}"
            )
        time.sleep(LOOK_S)  # another process works meanwhile; nothing of a result is decided here
