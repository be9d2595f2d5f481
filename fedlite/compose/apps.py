"""Running somebody else's Flower app on a fleet, from beginning to end."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedlite.compose import app_telling
from fedlite.compose import fleet as compose_fleet
from fedlite.compose.app_rounds import AppRounds
from fedlite.compose.finished import Run
from fedlite.compose.pools import check_backend, open_pool
from fedlite.compose.record import Record
from fedlite.compose.runtimes import app_wire
from fedlite.compose.runtimes import declared as declared_by
from fedlite.errors import FedliteError
from fedlite.fleet.ledger import Ledger
from fedlite.flower.app_dir import AppDirectory, RunConfig, fingerprint, overridden, read_app
from fedlite.flower.app_prices import AppPrices, Declared
from fedlite.flower.app_runtime import AppRuntime, worker_spec
from fedlite.flower.app_server import load_server, serve_app
from fedlite.flower.grid import FleetGrid, RoundPolicy
from fedlite.results.directory import RunDirectory
from fedlite.rng import seed_of
from fedlite.scenario.dump import dump_scenario
from fedlite.scenario.loader import load_fleet
from fedlite.scenario.profiles import load_profile

if TYPE_CHECKING:
    from collections.abc import Callable

    from fedlite.compose.pools import Wanted
    from fedlite.compose.progress import Progress
    from fedlite.scenario.schema import FleetScenario

ASKED = "app.json"
"""File of the run directory that says which app was run, and how."""


@dataclass(frozen=True)
class Asked:
    """What a user asked of an app, beside the scenario: everything that decides the result.

    Attributes
    ----------
    folder : str
        The app's directory.
    run_config : dict
        The app's own, overrides included.
    declared : Declared
        Work and memory of one job, where they are not to be counted.
    fingerprint : str
        Digest of the app's source files.
    """

    folder: str
    run_config: RunConfig
    declared: Declared
    fingerprint: str


def run_app(
    folder: Path,
    scenario: FleetScenario,
    *,
    settings: Wanted,
    run_config: str = "",
    declared: Declared | None = None,
    out: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Run:
    """Run a Flower app directory on a scenario's fleet and return where its results are.

    Parameters
    ----------
    folder : Path
        The app: a directory with a pyproject.toml that has `[tool.flwr.app.components]`.
    scenario : FleetScenario
        Its fleet, seed, and of its training section `first`, `deadline` and `failures`; the app says the rest.
    settings : Wanted
        Backend, actors, Ray address.
    run_config : str
        Overrides of the app's config, as in `flwr run --run-config`.
    declared : Declared, optional
    out : Path, optional
        Run directory; the next free `runs/NAME-001`, called after the app, if not given.
    progress : callable, optional
        Called after every round.

    Raises
    ------
    FedliteError
        Whatever a user can mend.
    """
    check_backend(settings)
    app = read_app(folder)
    load_server(app.server, app.path)  # what is wrong with it shows here, before anything is written
    declared = declared or _declared_in(scenario)
    asked = Asked(str(app.path), overridden(app.config, run_config), declared, fingerprint(app.path))
    text = dump_scenario(scenario)
    if out is not None:
        RunDirectory.refuse_used(out, text)
    directory = RunDirectory(out) if out is not None else RunDirectory.next_free(Path("runs"), app.name)
    with directory.held():
        RunDirectory.refuse_used(directory.path, text)
        directory.write_text("scenario.yaml", text)
        directory.write_json(ASKED, asdict(asked))
        return _run(app, asked, scenario, directory, settings, progress)


def resume_app(path: Path, *, settings: Wanted, progress: Callable[[Progress], None] | None = None) -> Run:
    """Continue an interrupted app run to the bit-identical result; a finished one is returned as it is.

    Raises
    ------
    FedliteError
        If the folder is no app run, or the app's code is not what it was.
    """
    if not (path / ASKED).is_file():
        raise FedliteError(f"--resume: got {path}, which has no {ASKED}; expected the directory of a `fedlite app` run")
    directory = RunDirectory(path)
    with directory.held():
        if (path / "summary.json").exists():
            return Run(path)
        asked = _asked(directory)
        app = read_app(Path(asked.folder))
        if fingerprint(app.path) != asked.fingerprint:
            raise FedliteError(
                f"--resume: got an app in {app.path} that has changed since {path} was begun, expected the same code;"
                " restore it, or start a new run"
            )
        return _run(app, asked, load_fleet(path / "scenario.yaml"), directory, settings, progress)


def _asked(directory: RunDirectory) -> Asked:
    try:
        found = json.loads(directory.read_text(ASKED))
        return Asked(**{**found, "declared": Declared(**found["declared"])})
    except (ValueError, TypeError, KeyError) as error:
        raise FedliteError(
            f"{directory.path / ASKED}: got a damaged file ({error}), expected what fedlite wrote; start a new run"
        ) from error


def _declared_in(scenario: FleetScenario) -> Declared:
    app = scenario.task.app if scenario.task is not None else None
    return Declared() if app is None else declared_by(app)


def _run(
    app: AppDirectory,
    asked: Asked,
    scenario: FleetScenario,
    directory: RunDirectory,
    settings: Wanted,
    progress: Callable[[Progress], None] | None,
) -> Run:
    began_s = time.perf_counter()
    server = load_server(app.server, app.path)
    profiles = [load_profile(name) for name in scenario.fleet.mix]
    fleet = compose_fleet.build(scenario, profiles, [False] * len(profiles))
    ledger = Ledger()
    pool = open_pool(worker_spec(app.client, app.path, asked.run_config), settings, directory.journal)
    try:
        runtime = AppRuntime(
            pool,
            profiles,
            fleet.population.profile_of,
            AppPrices(profiles, asked.declared),
            seed=scenario.seed,
            partitions=scenario.task.clients if scenario.task is not None else None,
            wire=app_wire(scenario),
        )
        grid = FleetGrid(fleet, runtime, ledger, policy=_policy(scenario), start_s=scenario.fleet.start_s)
        rounds = AppRounds(grid, ledger, progress)
        serve_app(grid, server, asked.run_config, app.path, rounds, seed_of(scenario.seed, "server app") % 2**63)
        metrics = rounds.finish()
        record = Record(
            scenario=scenario,
            fleet=fleet,
            ledger=ledger,
            rounds=rounds.table,
            names=rounds.names,
            final=rounds.final,
            end_s=grid.clock.now_s,
            wall_s=time.perf_counter() - began_s,
            engine=pool.description,
            backend=settings.backend,
        )
        story = app_telling.AppStory(
            record=record,
            app=app,
            run_config=asked.run_config,
            fingerprint=asked.fingerprint,
            metrics=metrics,
            counts=runtime.counts,
            declared=asked.declared,
        )
    finally:
        pool.close()
    return app_telling.tell(story, directory)


def _policy(scenario: FleetScenario) -> RoundPolicy:
    training = scenario.training
    deadline_s = float("inf") if training.deadline_s is None else training.deadline_s
    return RoundPolicy(training.first, deadline_s, training.failures)


__all__ = ["Asked", "Declared", "resume_app", "run_app"]
