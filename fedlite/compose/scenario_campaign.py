"""The campaign that a scenario describes whole: fedlite serves its strategy, to its own trainer or to `task.app`."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fedlite.compose import fleet as compose_fleet
from fedlite.compose import fusing, runtimes, secure
from fedlite.compose import learning as compose_learning
from fedlite.compose.backend import Load
from fedlite.compose.guarding import guard_of, terms_of
from fedlite.compose.program import Program
from fedlite.compose.protocol import policy
from fedlite.compose.record import Particulars, Record, Trained
from fedlite.compose.scenario_results import scenario_particulars
from fedlite.errors import FedliteError
from fedlite.flower import compat, serving, strategies
from fedlite.flower.app_runtime import AppRuntime
from fedlite.flower.asynchronous import AsyncServer, FedAsync, FedBuff, Rule
from fedlite.flower.finite import FiniteModel, ModelDivergedError
from fedlite.flower.private_mean import BudgetSpentError, PrivateMean
from fedlite.flower.secagg_grid import Agreement, Course, SecureGrid
from fedlite.rng import seed_of
from fedlite.scenario.loader import parse_scenario
from fedlite.scenario.strategies import FedAsync as FedAsyncSection
from fedlite.scenario.strategies import FedBuff as FedBuffSection
from fedlite.wire import WireError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fedlite.compose.learning import Learning
    from fedlite.compose.round_log import RoundLog
    from fedlite.engine.pool import Pool
    from fedlite.engine.task import WorkerSpec
    from fedlite.fleet.state import Fleet
    from fedlite.flower.grid import FleetGrid, RoundPolicy
    from fedlite.flower.native_clients import NativeTask
    from fedlite.learning.objectives import Metric
    from fedlite.learning.training.accelerator import Accelerator
    from fedlite.learning.training.trainer import Trainer
    from fedlite.privacy.releases import Release, Terms
    from fedlite.results.directory import RunDirectory
    from fedlite.scenario.schema import Scenario

    Array = NDArray[Any]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScenarioCampaign:
    """A scenario with its data loaded, its model built, its plans priced and its fleet drawn, ready to train.

    See `campaign.Campaign`. `served` is None with asynchronous servers, `terms` without central noise,
    `agreed` without secure aggregation, of which `course` tells how it went.
    """

    scenario: Scenario
    learning: Learning
    classes: list[compose_fleet.DeviceClass]
    task: NativeTask
    fleet: Fleet
    worker: WorkerSpec
    terms: Terms | None
    served: strategies.Served | None
    fusing: fusing.Fusing | None = None
    agreed: Agreement | None = None
    course: Course = field(default_factory=Course)
    files: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @classmethod
    def prepare(cls, scenario: Scenario) -> ScenarioCampaign:
        """Load the data, build the model, price the plans and draw the fleet; most mistakes show here."""
        learning = compose_learning.prepare(scenario)
        classes = compose_fleet.classes(scenario, learning)
        fleet = compose_fleet.build(scenario, [c.profile for c in classes], [bool(c.excluded) for c in classes])
        if fleet.excluded.all():
            present = np.unique(fleet.population.profile_of).tolist()
            raise FedliteError(compose_fleet.nobody_fits([classes[position] for position in present]))
        task = runtimes.native_task(scenario, learning, classes, fleet)
        task, fused = fusing.with_fusion(scenario, learning, task)
        worker = runtimes.worker_spec(scenario, learning, task)
        clients = len(learning.rows)
        terms = terms_of(scenario, clients, fleet)
        guard = None if terms is None else guard_of(scenario, terms, clients, fleet)
        with compat.quiet_logs():
            asynchronous = scenario.training.strategy.asynchronous
            served = None if asynchronous else strategies.build(scenario, guard, fused)
        agreed = secure.agreement(scenario, task)
        for remark in scenario.remarks:
            _log.warning("%s", remark)
        return cls(scenario, learning, classes, task, fleet, worker, terms, served, fused, agreed)

    @classmethod
    def reopen(cls, directory: RunDirectory) -> ScenarioCampaign:
        """Return the campaign of an interrupted run."""
        text = directory.read_text("scenario.yaml")
        return cls.prepare(parse_scenario(text, str(directory.path / "scenario.yaml")))

    @property
    def name(self) -> str:
        """The scenario's."""
        return self.scenario.name

    @property
    def program(self) -> Program:
        """What the bits rest on."""
        return Program.of(self.scenario, self.worker, self.fleet)

    @property
    def clients(self) -> int:
        """Data partitions: whose data there is."""
        return len(self.learning.rows)

    @property
    def metrics(self) -> Sequence[Metric]:
        """Those of the objective."""
        return self.learning.goal.metrics

    @property
    def load(self) -> Load | None:
        """The work of the devices that are asked, were they an average of those that may be."""
        if self.scenario.task.app is not None:
            return None
        kept = [not each.excluded for each in self.classes]
        shares = np.bincount(self.task.profile_of, minlength=len(kept)) * kept
        sizes, clients = np.unique(self.task.examples, return_counts=True)
        mean = np.average([self.task.local.samples(n) for n in sizes.tolist()], weights=clients)
        samples = self.scenario.asked * float(mean)
        macs = [self.task.training_macs(each.plan.structure, samples) for each in self.classes]
        return Load(float(np.average(macs, weights=shares)), self.scenario.training.rounds)

    @property
    def policy(self) -> RoundPolicy:
        """As the scenario says. Over-selection is there to have enough replies soon: it closes with the cohort."""
        first = self.scenario.cohort if self.scenario.over_select > 1 else None
        return policy(self.scenario, first)

    def runtime(self, pool: Pool) -> runtimes.AnyRuntime:
        """Return what trains: fedlite's own trainer, or the user's ClientApp."""
        return runtimes.runtime(self.scenario, self.task, self.fleet, pool, self.served)

    def serve(self, grid: FleetGrid, log: RoundLog, accelerator: Accelerator) -> Trained:
        """Serve the scenario's strategy."""
        training, seed = self.scenario.training, self.scenario.seed
        names, arrays = self.learning.names, self.learning.arrays
        log.expected = training.rounds
        tester = self._tester(grid, self.learning.trainer(accelerator), log)
        finite = FiniteModel(tester)
        try:
            if self.served is None:
                rule, concurrency = _rule(training.strategy)
                server = AsyncServer(grid, rule, concurrency, names, seed)
                with compat.quiet_logs():
                    final = server.run(arrays, training.rounds, finite)
            else:
                strategy, flower_seed = self.served.strategy, seed_of(seed, "flower")
                secured = None if self.agreed is None else SecureGrid(grid, self.agreed, self.course, seed)
                final = serving.serve(
                    grid, strategy, names, arrays, training.rounds, finite, flower_seed, secured=secured
                )
        except BudgetSpentError as error:
            grid.finish()
            return Trained(names, finite.arrays, verdict=f"{error}; this is the model of round {finite.round_}")
        except (ModelDivergedError, WireError) as error:
            # What no codec takes from the first round on is a mistake; later the model has outgrown it.
            if isinstance(error, WireError) and finite.round_ == 0:
                raise
            grid.finish()
            return Trained(names, finite.arrays, verdict=f"{error}; this is the model of round {finite.round_}")
        return Trained(names, final)

    def particulars(self, record: Record, runtime: runtimes.AnyRuntime) -> Particulars:
        """Return what a scenario adds to the record of its run: tests of its model, and the privacy it spent."""
        told = scenario_particulars(
            self.scenario,
            self.learning,
            self.classes,
            record,
            terms=self.terms,
            released=self._released,
            modes=sorted(runtime.modes),
            uncounted=list(runtime.prices.uncounted) if isinstance(runtime, AppRuntime) else [],
            downloads=None if isinstance(runtime, AppRuntime) else runtime.downloads,
            server=() if self.fusing is None else self.fusing.work,
            secured=secure.told(self.scenario, self.course, getattr(runtime, "members", None)),
        )
        return told if isinstance(runtime, AppRuntime) else replace(told, seen=runtime.seen)

    @property
    def _released(self) -> Sequence[Release]:
        """What a server that adds noise has published."""
        strategy = None if self.served is None else self.served.strategy
        return strategy.releases if isinstance(strategy, PrivateMean) else ()

    def _tester(self, grid: FleetGrid, trainer: Trainer, log: RoundLog) -> serving.Tester:
        every, last = self.scenario.training.evaluate_every, self.scenario.training.rounds
        data = self.learning.test_set
        x, y = trainer.table(data.x_test), trainer.table(data.y_test)

        def test(round_: int, arrays: Sequence[Array]) -> dict[str, float]:
            metrics: dict[str, float] = {}
            if round_ == last or (every and round_ % every == 0):
                metrics = trainer.evaluate(list(arrays), x, y).metrics
            log.close(round_, eligible=grid.eligible, metrics=metrics)
            return metrics

        return test


def _rule(section: Any) -> tuple[Rule, int]:
    if isinstance(section, FedBuffSection):
        rule: Rule = FedBuff(section.buffer, section.server_learning_rate, section.staleness_exponent)
        return rule, section.concurrency
    if isinstance(section, FedAsyncSection):
        return FedAsync(section.mixing, section.staleness_exponent), section.concurrency
    raise FedliteError(f"training.strategy: got {section.name!r}, expected fedbuff or fedasync")
