"""Which backend `auto` takes: a fixed rule on the work of a round and of the run, never a timing.

The figures behind the thresholds are in benchmarks/speed. No result depends on the choice.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from fedlite.engine.chunks import CHUNK_MACS

if TYPE_CHECKING:
    from collections.abc import Sequence

BACKENDS: Final = ("auto", "local", "ray")

ROUND_MACS: Final = 2 * CHUNK_MACS
"""Multiply-accumulates of a round that make two chunks, below which a second process has nothing to do."""
RUN_MACS: Final = 200e9
"""Multiply-accumulates of a run: some twelve seconds on one core, of which two actors save what starting Ray takes."""
START_S: Final = "4 to 8 s"
"""How long Ray takes to start, measured on two cores."""


class Wanted(Protocol):
    """Which pool a user wants."""

    @property
    def backend(self) -> str:
        """`auto`, `ray` or `local`."""
        ...

    @property
    def actors(self) -> int | None:
        """How many Ray actors, None for one per processor."""
        ...

    @property
    def ray_address(self) -> str | None:
        """Cluster to join, None to start one."""
        ...

    @property
    def accelerator(self) -> str:
        """One of `accelerator.WANTED`."""
        ...

    @property
    def log_to(self) -> Sequence[str]:
        """Where rounds are logged as they end: "tensorboard:FOLDER", "mlflow:FOLDER"."""
        ...


@dataclass(frozen=True)
class Load:
    """What a campaign expects to train: multiply-accumulates of a round, and rounds."""

    round_macs: float
    rounds: int


@dataclass(frozen=True)
class Choice:
    """A backend, and why it is that one."""

    backend: str
    why: str


def choose(wanted: Wanted, load: Load | None, processors: int | None = None) -> Choice:
    """Return the backend of a run.

    Parameters
    ----------
    wanted : Wanted
        A backend by its name; with "auto" a number of actors or an address still means Ray.
    load : Load, optional
        None where nobody knows beforehand: a Flower app's code.
    processors : int, optional
        Of this machine, if not given.
    """
    if wanted.backend != "auto":
        return Choice(wanted.backend, "asked for")
    if wanted.actors is not None or wanted.ray_address is not None:
        return Choice("ray", "actors or an address were asked for")
    if (processors or usable_processors()) < 2:  # noqa: PLR2004 (a driver and somebody beside it)
        return Choice("local", "one processor")
    if load is None:
        return Choice("ray", "an app's work is not known beforehand")
    a_round, a_run = load.round_macs, load.round_macs * load.rounds
    if a_round < ROUND_MACS:
        return Choice("local", f"{_told(a_round)} per round are fewer than {_told(ROUND_MACS)}")
    if a_run < RUN_MACS:
        return Choice("local", f"{_told(a_run)} in all are fewer than {_told(RUN_MACS)}, which starting Ray takes")
    return Choice("ray", f"{_told(a_round)} per round, {_told(a_run)} in all")


def usable_processors() -> int:
    """Return the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _told(macs: float) -> str:
    size, name = (1e9, "billion") if macs >= 1e9 else (1e6, "million")  # noqa: PLR2004 (a billion)
    return f"{macs / size:,.2f}".rstrip("0").rstrip(".") + f" {name} multiply-adds"
