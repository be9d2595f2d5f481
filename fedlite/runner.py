"""Running one scenario from beginning to end: the composition root."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedlite.compose import fleet as compose_fleet
from fedlite.compose import runtimes, telling
from fedlite.compose.apps import ASKED
from fedlite.compose.finished import Run
from fedlite.compose.learning import Learning, prepare
from fedlite.compose.pools import check_backend, open_pool
from fedlite.compose.progress import Progress
from fedlite.compose.record import Record
from fedlite.errors import FedliteError
from fedlite.fleet.ledger import Ledger
from fedlite.flower import compat, serving, strategies
from fedlite.flower.asynchronous import AsyncServer, FedAsync, FedBuff, Rule
from fedlite.flower.grid import FleetGrid, RoundPolicy
from fedlite.flower.native_clients import NativeTask
from fedlite.learning import objectives
from fedlite.learning.training.trainer import Trainer
from fedlite.privacy import accounting
from fedlite.report.run_data import read_run
from fedlite.report.run_page import write_report
from fedlite.results.directory import RunDirectory
from fedlite.results.rounds import Rounds
from fedlite.rng import seed_of
from fedlite.scenario.dump import dump_scenario
from fedlite.scenario.loader import load_scenario, parse_scenario
from fedlite.scenario.schema import Scenario
from fedlite.scenario.strategies import FedAsync as FedAsyncSection
from fedlite.scenario.strategies import FedBuff as FedBuffSection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fedlite.engine.pool import Pool
    from fedlite.engine.task import WorkerSpec
    from fedlite.fleet.state import Fleet

Array = NDArray[Any]


@dataclass(frozen=True)
class Settings:
    """How to run, as opposed to what: none of it changes a result.

    `backend` is "ray" or "local"; `actors` defaults to the processors of the machine (at most 8); `ray_address` joins
    an existing cluster.
    """

    backend: str = "ray"
    actors: int | None = None
    ray_address: str | None = None

    def __post_init__(self) -> None:
        if self.actors is not None and self.actors < 1:
            raise FedliteError(f"actors: got {self.actors}, expected 1 or more; leave it out for one per processor")


def run(
    scenario: Scenario | str | Path,
    *,
    out: str | Path | None = None,
    settings: Settings | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Run:
    """Run a scenario and return where its results are.

    Parameters
    ----------
    scenario : Scenario or path
    out : path, optional
        Run directory, new or without a run in it; the next free `runs/NAME-001` if not given.
    settings : Settings, optional
    progress : callable, optional
        Called after every round.

    Raises
    ------
    FedliteError
        Whatever a user can mend: a wrong scenario, missing data, a fleet in which nobody can take part.
    """
    if not isinstance(scenario, Scenario):
        scenario = load_scenario(scenario)
    session = _Session(scenario, settings or Settings(), progress)
    text = dump_scenario(scenario)
    if out is not None:
        RunDirectory.refuse_used(Path(out), text)
    # Whatever is wrong with the scenario shows here, before anything is written.
    prepared = session.prepare()
    directory = RunDirectory(Path(out)) if out is not None else RunDirectory.next_free(Path("runs"), scenario.name)
    with directory.held():
        RunDirectory.refuse_used(directory.path, text)
        directory.write_text("scenario.yaml", text)
        return session.run(prepared, directory)


def resume(
    path: str | Path, *, settings: Settings | None = None, progress: Callable[[Progress], None] | None = None
) -> Run:
    """Continue an interrupted run to the bit-identical result; a finished run is left as it is and returned."""
    path = Path(path)
    directory = RunDirectory(path) if path.is_dir() else None
    if directory is None:
        raise FedliteError(f"--resume: got {path}, which is no folder; expected the directory of an interrupted run")
    with directory.held():
        if (path / "summary.json").exists():
            return finished(directory)
        if (path / ASKED).exists():
            raise FedliteError(f"--resume: got {path}, which holds an app's run; write 'fedlite app --resume {path}'")
        scenario = parse_scenario(directory.read_text("scenario.yaml"), str(path / "scenario.yaml"))
        session = _Session(scenario, settings or Settings(), progress)
        return session.run(session.prepare(), directory)


def finished(directory: RunDirectory) -> Run:
    """Return a run whose summary is written, after what a run does last if it was stopped in between."""
    directory.journal.unlink(missing_ok=True)
    read_run(directory.path)  # raises if what is there is not what a run leaves
    if not directory.report.exists():
        write_report(directory.path)
    return Run(directory.path)


@dataclass(frozen=True)
class _Prepared:
    """What a scenario comes to before anything is trained."""

    learning: Learning
    classes: list[compose_fleet.DeviceClass]
    task: NativeTask
    fleet: Fleet
    spec: WorkerSpec
    noise: float | None
    served: strategies.Served | None


class _Session:
    """Everything that one run owns while it lasts."""

    def __init__(
        self,
        scenario: Scenario,
        settings: Settings,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        check_backend(settings)
        self._scenario = scenario
        self._settings = settings
        self._progress = progress
        self._began_s = time.perf_counter()
        self._rounds = Rounds()
        self._ledger = Ledger()
        self._rows_seen = 0
        self._round_began_s = 0.0
        self._round_wall_s = 0.0

    def prepare(self) -> _Prepared:
        """Load the data, build the model, price the plans and draw the fleet; most mistakes show here."""
        scenario = self._scenario
        learning = prepare(scenario)
        classes = compose_fleet.classes(scenario, learning)
        if all(device_class.excluded for device_class in classes):
            raise FedliteError(compose_fleet.nobody_fits(classes))
        task = native_task(scenario, learning, classes)
        fleet = compose_fleet.build(scenario, [c.profile for c in classes], [bool(c.excluded) for c in classes])
        spec = runtimes.worker_spec(scenario, learning, task)
        noise = _noise_multiplier(scenario)
        with compat.quiet_logs():
            asynchronous = scenario.training.strategy.asynchronous
            served = None if asynchronous else strategies.build(scenario, noise)
        return _Prepared(learning, classes, task, fleet, spec, noise, served)

    def run(self, prepared: _Prepared, directory: RunDirectory) -> Run:
        """Train, and write what came of it."""
        scenario = self._scenario
        learning = prepared.learning
        pool = open_pool(prepared.spec, self._settings, directory.journal)
        try:
            final, runtime, grid = self._train(prepared, pool)
            self._rounds.settle(self._ledger.columns(self._rows_seen))
            record = Record(
                scenario=scenario,
                fleet=prepared.fleet,
                ledger=self._ledger,
                rounds=self._rounds,
                names=learning.names,
                final=final,
                end_s=grid.clock.now_s,
                wall_s=time.perf_counter() - self._began_s,
                engine=pool.description,
                backend=self._settings.backend,
            )
            modes = sorted(runtime.modes)
            story = telling.Story(
                record, scenario, learning, prepared.classes, prepared.noise, modes, self._trainer(learning)
            )
        finally:
            pool.close()
        return telling.tell(story, directory)

    def _train(self, prepared: _Prepared, pool: Pool) -> tuple[list[Array], runtimes.AnyRuntime, FleetGrid]:
        scenario = self._scenario
        learning, fleet, served = prepared.learning, prepared.fleet, prepared.served
        section = scenario.training.strategy
        runtime = runtimes.runtime(scenario, prepared.task, fleet, pool, served)
        grid = FleetGrid(fleet, runtime, self._ledger, policy=_policy(scenario), start_s=scenario.fleet.start_s)
        self._round_began_s, self._round_wall_s = scenario.fleet.start_s, time.perf_counter()
        tester = self._tester(grid, self._trainer(learning), learning)
        if served is None:
            rule, concurrency = _rule(section)
            server = AsyncServer(grid, rule, concurrency, learning.names, scenario.seed)
            with compat.quiet_logs():
                final = server.run(learning.arrays, scenario.training.rounds, tester)
        else:
            final = serving.serve(
                grid,
                served.strategy,
                learning.names,
                learning.arrays,
                scenario.training.rounds,
                tester,
                seed_of(scenario.seed, "flower"),
            )
        return final, runtime, grid

    def _trainer(self, learning: Learning) -> Trainer:
        return Trainer(learning.build(), objective=learning.objective)

    def _tester(self, grid: FleetGrid, trainer: Trainer, learning: Learning) -> serving.Tester:
        every, last = self._scenario.training.evaluate_every, self._scenario.training.rounds

        def test(round_: int, arrays: Sequence[Array]) -> dict[str, float]:
            metrics: dict[str, float] = {}
            if round_ == last or (every and round_ % every == 0):
                metrics = trainer.evaluate(list(arrays), learning.data.x_test, learning.data.y_test).metrics
            self._close_round(round_, grid, metrics)
            return metrics

        return test

    def _close_round(self, round_: int, grid: FleetGrid, metrics: dict[str, float]) -> None:
        now_wall_s = time.perf_counter()
        row = self._rounds.close(
            round_=round_,
            start_s=self._round_began_s,
            end_s=grid.clock.now_s,
            eligible=grid.eligible,
            jobs=self._ledger.columns(self._rows_seen),
            metrics=metrics,
            wall_s=now_wall_s - self._round_wall_s,
        )
        self._rows_seen = len(self._ledger)
        self._round_began_s, self._round_wall_s = grid.clock.now_s, time.perf_counter()
        if self._progress is not None:
            energy_j = sum(float(done["energy_j"]) for done in self._rounds.rows)
            total = self._scenario.training.rounds
            virtual_s = grid.clock.now_s - self._scenario.fleet.start_s
            self._progress(Progress(round_, total, virtual_s, float(row["accuracy"]), energy_j))


def native_task(scenario: Scenario, learning: Learning, classes: Sequence[compose_fleet.DeviceClass]) -> NativeTask:
    """Return what the native runtime needs to know of a scenario's clients."""
    plans = tuple(dict.fromkeys(device_class.plan for device_class in classes))
    return NativeTask(
        names=learning.names,
        dtypes=tuple(array.dtype for array in learning.arrays),
        plans=plans,
        maps=tuple(learning.maps(plan) for plan in plans),
        plan_of_profile=np.array([plans.index(device_class.plan) for device_class in classes]),
        costs=tuple(device_class.cost for device_class in classes),
        clients=len(learning.rows),
        examples=np.array([len(rows) for rows in learning.rows]),
        test_examples=np.array([len(rows) for rows in learning.test_rows]),
        sample_bytes=int(learning.data.x_train[0].nbytes),
        macs=tuple(3.0 * learning.workload(plan.width).macs for plan in plans),
        local=scenario.training.local_config(),
        metrics=objectives.objective(learning.objective).columns,
    )


def _policy(scenario: Scenario) -> RoundPolicy:
    training = scenario.training
    # Over-selection is there to have enough replies soon: the round closes when the cohort is complete.
    first = training.first or (scenario.cohort if training.over_select > 1 else None)
    deadline_s = float("inf") if training.deadline_s is None else training.deadline_s
    return RoundPolicy(first, deadline_s, training.failures)


def _rule(section: Any) -> tuple[Rule, int]:
    if isinstance(section, FedBuffSection):
        rule: Rule = FedBuff(section.buffer, section.server_learning_rate, section.staleness_exponent)
        return rule, section.concurrency
    if isinstance(section, FedAsyncSection):
        return FedAsync(section.mixing, section.staleness_exponent), section.concurrency
    raise FedliteError(f"training.strategy: got {section.name!r}, expected fedbuff or fedasync")


def _noise_multiplier(scenario: Scenario) -> float | None:
    privacy = scenario.privacy
    if not privacy.central:
        return None
    told: float | None = getattr(privacy, "noise_multiplier", None)
    if told is not None:
        return told
    target, delta = getattr(privacy, "target_epsilon", None), getattr(privacy, "delta", None)
    return accounting.noise_for(float(target or 0), float(delta or 0), scenario.training.rounds)
