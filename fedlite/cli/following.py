"""How far work is, for whoever started it: bars on a terminal, a line every ten seconds anywhere else, or nothing."""

from __future__ import annotations

import math
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from fedlite.cli import stopping
from fedlite.cli.console import terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress as Bar

    from fedlite.compose.progress import Progress
    from fedlite.sweeper import SweepProgress

    T = TypeVar("T")
    Say = Callable[[Progress], None]
    SaySweep = Callable[[SweepProgress], None]
    Count = Callable[[int, int], None]

EVERY_S: Final = 10.0
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing of how far it is.")]


def shown(quiet: bool, work: Callable[[Say | None], T]) -> T:
    """Do the work of a run and tell how far it is; programs are told nothing. Whoever stops it is told how to go on."""
    with stopping.told():
        if quiet:
            return work(None)
        return _behind_bar(work) if sys.stderr.isatty() else work(_in_lines())


def shown_sweep(quiet: bool, work: Callable[[SaySweep | None], T]) -> T:
    """The same for a study."""
    with stopping.told():
        if quiet:
            return work(None)
        return _behind_bars(work) if sys.stderr.isatty() else work(_runs_in_lines())


def shown_count(quiet: bool, what: str, work: Callable[[Count | None], T]) -> T:
    """The same for what is merely counted; `what` is the plural."""
    if quiet:
        return work(None)
    if not sys.stderr.isatty():
        lines = Lines()
        return work(lambda done, total: lines.say(what, done, total))
    from rich.progress import Progress as Bar

    with Bar(console=terminal(stderr=True)) as bar:
        row = bar.add_task(what, total=None)
        return work(lambda done, total: bar.update(row, completed=done, total=total))


class Lines:
    """At most one line every ten seconds: how much of how much, the state, and how long it will take.

    Parameters
    ----------
    clock : callable
        Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()
        self._first: tuple[float, int] | None = None

    def say(self, what: str, done: int, total: int, state: str = "") -> None:
        """Print a line if it is time for one; a `total` of 0 is unknown."""
        now = self._clock()
        # Of what was done already when this began, as with --resume, nothing is to be learned.
        began, before = self._first = self._first or (now, done)
        if now - self._last < EVERY_S:
            return
        self._last = now
        parts = [f"{what} {done}" + (f" of {total}" if total else ""), state]
        if before < done <= total:
            from fedlite.units import show

            parts.append(f"{show((now - began) / (done - before) * (total - done), 'time')} to go")
        print(" · ".join(part for part in parts if part), file=sys.stderr, flush=True)


@contextmanager
def patience(what: str) -> Iterator[None]:
    """Say every ten seconds that a computation, of which nobody knows how far it is, goes on."""
    began, done = time.monotonic(), threading.Event()

    def tell() -> None:
        while not done.wait(EVERY_S):
            print(f"{what}: {time.monotonic() - began:.0f} s so far", file=sys.stderr, flush=True)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


def _in_lines() -> Say:
    lines = Lines()

    def say(now: Progress) -> None:
        if now.doing:
            print(now.doing, file=sys.stderr, flush=True)
        else:
            lines.say(_kind(now), now.round_, now.rounds, _state(now))

    return say


def _runs_in_lines() -> SaySweep:
    lines = Lines()

    def say(now: SweepProgress) -> None:
        within = "" if now.within is None or now.within.doing else f", round {now.within.round_}"
        over = now.state in ("finished", "failed")
        lines.say("runs", now.number if over else now.number - 1, now.runs, f"{now.label}, seed {now.seed}{within}")

    return say


def _bar() -> Bar:
    """Return a bar whose tasks have a field `state` of words behind it."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    return Bar(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[state]}", markup=False),
        console=terminal(stderr=True),
    )


def _behind_bar(work: Callable[[Say | None], T]) -> T:
    with _bar() as bar:
        row = bar.add_task("starting", total=None, state="")

        def say(now: Progress) -> None:
            if now.doing:
                bar.update(row, state=now.doing)
                return
            bar.update(row, description=_kind(now), completed=now.round_, total=now.rounds or None, state=_state(now))

        try:
            return work(say)
        except Exception:
            # Nothing is swallowed: whatever it is goes on to where it is told, and no bar stands above what is said.
            bar.remove_task(row)
            raise


def _behind_bars(work: Callable[[SaySweep | None], T]) -> T:
    """Do the work behind two progress bars: runs of the study, rounds of the run."""
    with _bar() as bar:
        study = bar.add_task("runs", total=None, state="")
        rounds = bar.add_task("rounds", total=None, state="")

        def say(now: SweepProgress) -> None:
            over = now.state in ("finished", "failed")
            note = f"{now.label}, seed {now.seed}" + (" failed" if now.state == "failed" else "")
            bar.update(study, total=now.runs, completed=now.number if over else now.number - 1, state=note)
            if now.within is not None and now.within.doing:
                bar.update(rounds, state=now.within.doing)
            elif now.within is not None:
                bar.update(rounds, total=now.within.rounds, completed=now.within.round_)
            elif not over:
                bar.reset(rounds, state="")

        return work(say)


def _kind(now: Progress) -> str:
    return "rounds" if now.trains else "rounds of queries"


def _number(now: Progress) -> str:
    """Return the metric as pages show it: a share as a percentage."""
    return f"{100 * now.value:.1f} %" if now.is_share else f"{now.value:.3f}"


def _state(now: Progress) -> str:
    from fedlite.units import show

    value = "" if math.isnan(now.value) else f"{now.metric.replace('_', ' ')} {_number(now)} · "
    state = f"{value}virtual {show(now.virtual_time_s, 'time')} · {show(now.energy_j, 'energy')}"
    return state if now.trains else f"nothing trained · {state}"
