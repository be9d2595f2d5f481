"""Rehearsing a plan in all of its worlds: replications cut into tasks, on this process or on Ray, resumable."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fedlite.compose import rollout_models, rollout_power, rollout_watched
from fedlite.compose.pools import check_backend, open_engine, open_pool
from fedlite.compose.program import Program
from fedlite.compose.rollout_facts import facts
from fedlite.compose.rollout_plan import Rehearsed, rehearsed
from fedlite.engine.task import Task, WorkerSpec
from fedlite.errors import FedliteError, unwritten
from fedlite.results.directory import RunDirectory
from fedlite.rollout.summary import of_world
from fedlite.scenario.profiles import load_profile
from fedlite.scenario.rollout.loading import dump_rollout
from fedlite.scenario.rollout.reach import remarks

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fedlite.compose.backend import Wanted
    from fedlite.engine.pool import Pool
    from fedlite.scenario.rollout.plan import RolloutPlan

CHUNK: Final = 5
"""Replications of a task: few enough to show progress and to lose little, many enough to pay for being sent."""
LARGE: Final = 4e6
"""Devices times replications times worlds from which `auto` takes Ray: about ten seconds of one core."""


@dataclass(frozen=True)
class Rollout:
    """Finished rehearsals in their directory."""

    path: Path
    summary: dict[str, Any]


def rehearse(
    plan: RolloutPlan,
    *,
    out: Path | None = None,
    settings: Wanted,
    progress: Callable[[int, int], None] | None = None,
) -> Rollout:
    """Rehearse a plan and return what came of it.

    Parameters
    ----------
    plan : RolloutPlan
    out : path, optional
        Directory; the next free `runs/NAME-001` if not given. One that holds an interrupted rehearsal of the same
        plan is continued; what another version of fedlite has rehearsed there is rehearsed anew.
    settings : Settings
    progress : callable, optional
        Called with the rehearsals done and those there are, after every chunk.

    Raises
    ------
    FedliteError
        Whatever a user can mend.
    """
    check_backend(settings)
    profiles = [load_profile(name) for name in plan.fleet.mix]
    variants = rollout_models.variants(plan.model, profiles)
    made = rehearsed(plan, variants)
    directory = _directory(plan, out)
    records = [variant.record for variant in variants]
    spec = WorkerSpec(
        "fedlite.compose.rollout_worker:RehearsalWorker", {"plan": dump_rollout(plan), "variants": records}
    )
    backend = settings.backend
    if backend == "auto":
        work = plan.fleet.devices * plan.replications * len(plan.worlds)
        backend = "ray" if work >= LARGE or settings.actors or settings.ray_address else "local"
    with open_engine(settings) as engine:
        pool = open_pool(spec, engine, backend, directory.journal, Program.of_rollout(plan, made.fleet).digest)
        try:
            runs = _played(pool, plan, progress)
        finally:
            pool.close()
    summary = _summary(plan, made, runs)
    _write(directory, summary, runs)
    return Rollout(directory.path, summary)


def _directory(plan: RolloutPlan, out: Path | None) -> RunDirectory:
    text = dump_rollout(plan)
    directory = RunDirectory.next_free(Path("runs"), plan.name) if out is None else RunDirectory(out)
    file = directory.path / "plan.yaml"
    if (directory.path / "rollout.json").exists() or (directory.path / "scenario.yaml").exists():
        raise FedliteError(f"--out: got {out}, which holds finished results; choose another folder")
    if file.exists() and file.read_text(encoding="utf-8") != text:
        raise FedliteError(f"--out: got {out}, which holds rehearsals of another plan; choose another folder")
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise unwritten(file, error) from error
    return directory


def _played(
    pool: Pool, plan: RolloutPlan, progress: Callable[[int, int], None] | None
) -> list[dict[str, NDArray[np.float64]]]:
    shared = pool.share({})
    bounds = list(range(0, plan.replications, CHUNK))
    tickets = [
        [
            pool.submit(
                Task("rehearse", {"world": world, "first": first, "last": min(first + CHUNK, plan.replications)}, {}),
                shared,
            )
            for first in bounds
        ]
        for world in range(len(plan.worlds))
    ]
    done, total = 0, plan.replications * len(plan.worlds)
    runs = []
    for of_one_world in tickets:
        parts = []
        for ticket in of_one_world:
            parts.append(pool.collect(ticket).arrays)
            done += len(parts[-1]["stop_s"])
            if progress is not None:
                progress(done, total)
        runs.append({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    return runs


def _summary(plan: RolloutPlan, made: Rehearsed, runs: list[dict[str, NDArray[np.float64]]]) -> dict[str, Any]:
    return {
        "name": plan.name,
        "seed": plan.seed,
        "replications": plan.replications,
        "devices": plan.fleet.devices,
        "horizon_s": plan.horizon_s,
        "classes": {
            name: int(number) for name, number in zip(made.profiles, made.devices, strict=True) if number
        },
        "worlds": [
            of_world(world, made.plan.watches, runs[i], made.profiles, made.devices, made.plan.assigned.names)
            for i, world in enumerate(made.worlds)
        ],
        "gates": rollout_power.of_plan(plan, made),
        "curves": rollout_power.curves(plan, made),
        "watched": rollout_watched.of_plan(made, runs),
        "plan": facts(plan, made),
        "remarks": remarks(plan),
    }  # fmt: skip


def _write(directory: RunDirectory, summary: dict[str, Any], runs: list[dict[str, NDArray[np.float64]]]) -> None:
    from safetensors.numpy import save_file

    tensors = {
        f"{i}/{name}": np.ascontiguousarray(values) for i, run in enumerate(runs) for name, values in run.items()
    }
    file = directory.path / "replications.safetensors"
    try:
        save_file(tensors, file)
        (directory.path / "rollout.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise unwritten(file, error) from error
    directory.journal.unlink(missing_ok=True)
