"""Rehearsing a plan in all of its worlds, resumable: what came of it, in a directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.compose import rollout_models, rollout_power, rollout_watched
from fedlite.compose.finished_rollout import Rollout
from fedlite.compose.pools import check_backend
from fedlite.compose.program import Program
from fedlite.compose.rollout_facts import facts
from fedlite.compose.rollout_plan import Rehearsed, rehearsed
from fedlite.compose.rollout_pool import open_rehearsals
from fedlite.compose.rollout_remarks import remarks
from fedlite.errors import FedliteError, unwritten
from fedlite.results.directory import RunDirectory
from fedlite.rollout.summary import of_world
from fedlite.scenario.profiles import load_profile
from fedlite.scenario.rollout.loading import dump_rollout

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fedlite.compose.backend import Wanted
    from fedlite.scenario.rollout.plan import RolloutPlan


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
    program = Program.of_rollout(plan, made.fleet).digest
    with open_rehearsals(
        plan, variants, settings, plan.replications * len(plan.worlds),
        journal=directory.journal, program=program, progress=progress,
    ) as rehearsals:  # fmt: skip
        # All are on their way before the first is waited for.
        tickets = [rehearsals.start(world, 0, plan.replications) for world in range(len(plan.worlds))]
        runs = [rehearsals.collect(of_one_world) for of_one_world in tickets]
    _write(directory, _summary(plan, made, runs), runs)
    return Rollout(directory.path)


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


def _summary(plan: RolloutPlan, made: Rehearsed, runs: list[dict[str, NDArray[np.float64]]]) -> dict[str, Any]:
    worlds = [
        of_world(world, made.plan.watches, run, made.profiles, made.devices, made.plan.assigned.names)
        for world, run in zip(made.worlds, runs, strict=True)
    ]
    return {
        "name": plan.name,
        "seed": plan.seed,
        "replications": plan.replications,
        "devices": plan.fleet.devices,
        "horizon_s": plan.horizon_s,
        "classes": {
            name: int(number) for name, number in zip(made.profiles, made.devices, strict=True) if number
        },
        "worlds": worlds,
        "gates": rollout_power.of_plan(plan, made),
        "curves": rollout_power.curves(plan, made),
        "watched": rollout_watched.of_plan(made, runs),
        "plan": facts(plan, made),
        "remarks": remarks(plan, made, worlds),
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
