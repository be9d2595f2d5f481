"""Rehearsals on an actor: a task is a few replications in one world, its result their numbers, replications first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fedlite.compose.rollout_plan import rehearsed
from fedlite.engine.task import Arrays, Result, Task
from fedlite.rollout.builds import Variant
from fedlite.rollout.candidates import Candidate
from fedlite.rollout.rehearsal import play
from fedlite.rollout.summary import stacked
from fedlite.rollout.tally import tally
from fedlite.scenario.rollout.loading import parse_rollout

if TYPE_CHECKING:
    from collections.abc import Sequence


class RehearsalWorker:
    """Plays a plan again and again; a pure function of plan, variants, world and replication.

    Parameters
    ----------
    data : mapping
        Nothing.
    plan : str
        The plan as YAML, every default written out.
    variants : sequence of dict
        Priced variants, see `Variant.record`.
    """

    def __init__(self, data: Arrays, plan: str, variants: Sequence[dict[str, Any]]) -> None:
        del data
        told = [Variant.of_record(record) for record in variants]
        self._rehearsed = rehearsed(parse_rollout(plan), told)

    def run(self, task: Task, shared: Arrays) -> Result:
        """Play replications `first` to `last` of a world, with devices let in by the plan or by the task's `steps`."""
        del shared
        made, steps = self._rehearsed, task.meta.get("steps")
        plan = made.plan if steps is None else Candidate.of_record(steps).carried(made.plan)
        world = made.worlds[task.meta["world"]]
        tallies = [
            tally(plan, made.fleet, world, play(plan, made.fleet, world, replication, made.charges))
            for replication in range(task.meta["first"], task.meta["last"])
        ]
        return Result({}, stacked(tallies))
