"""Rehearsals on a pool: replications cut into tasks, on this process or on Ray, with the same numbers on both."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import numpy as np

from fedlite.compose.pools import open_engine, open_pool
from fedlite.engine.task import Task, WorkerSpec
from fedlite.scenario.rollout.loading import dump_rollout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fedlite.compose.backend import Wanted
    from fedlite.engine.pool import Pool, Ticket
    from fedlite.rollout.builds import Variant
    from fedlite.rollout.candidates import Candidate
    from fedlite.scenario.rollout.plan import RolloutPlan

    Runs = dict[str, NDArray[np.float64]]

CHUNK: Final = 5
"""Replications of a task: few enough to show progress and to lose little, many enough to pay for being sent."""
LARGE: Final = 4e6
"""Devices times rehearsals from which `auto` takes Ray: about ten seconds of one core."""


class Rehearsals:
    """Starts rehearsals on a pool, collects them, and says how many are done.

    Parameters
    ----------
    pool : Pool
        Of `RehearsalWorker`s.
    total : int
        Rehearsals that there will be.
    progress : callable, optional
        Called with the rehearsals done and those there are, after every chunk.
    """

    def __init__(self, pool: Pool, total: int, progress: Callable[[int, int], None] | None) -> None:
        self._pool, self._total, self._progress = pool, total, progress
        self._shared = pool.share({})
        self._done = 0

    def start(self, world: int, first: int, last: int, candidate: Candidate | None = None) -> list[Ticket]:
        """Start replications `first` to `last` of a world, of the plan as it is or with devices let in another way."""
        steps = {"steps": candidate.record} if candidate is not None and candidate.shares else {}
        return [
            self._pool.submit(
                Task("rehearse", {"world": world, "first": begin, "last": min(begin + CHUNK, last), **steps}, {}),
                self._shared,
            )
            for begin in range(first, last, CHUNK)
        ]

    def collect(self, tickets: Sequence[Ticket]) -> Runs:
        """Return the numbers of what was started, replications first."""
        parts = []
        for ticket in tickets:
            parts.append(self._pool.collect(ticket).arrays)
            self._done += len(parts[-1]["stop_s"])
            if self._progress is not None:
                self._progress(self._done, self._total)
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@contextmanager
def open_rehearsals(
    plan: RolloutPlan,
    variants: Sequence[Variant],
    settings: Wanted,
    total: int,
    *,
    journal: Path | None = None,
    program: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Rehearsals]:
    """Open a pool for so many rehearsals of a plan, on the backend that they pay for."""
    spec = WorkerSpec(
        "fedlite.compose.rollout_worker:RehearsalWorker",
        {"plan": dump_rollout(plan), "variants": [variant.record for variant in variants]},
    )
    backend = settings.backend
    if backend == "auto":
        large = plan.fleet.devices * total >= LARGE
        backend = "ray" if large or settings.actors or settings.ray_address else "local"
    with open_engine(settings) as engine:
        pool = open_pool(spec, engine, backend, journal, program)
        try:
            yield Rehearsals(pool, total, progress)
        finally:
            pool.close()
