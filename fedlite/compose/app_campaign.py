"""The campaign of somebody else's Flower app: its ServerApp serves, its ClientApp trains, on a scenario's fleet."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.compose import fleet as compose_fleet
from fedlite.compose.app_privacy import app_privacy
from fedlite.compose.app_request import APP_FILE, AppRequest, read_request
from fedlite.compose.app_results import app_particulars
from fedlite.compose.app_rounds import AppRounds
from fedlite.compose.program import Program
from fedlite.compose.protocol import policy
from fedlite.compose.record import Particulars, Record, Trained
from fedlite.compose.runtimes import app_classes
from fedlite.compose.runtimes import declared as declared_by
from fedlite.errors import EngineLostError, FedliteError, FleetExhaustedError
from fedlite.flower.app_dir import AppDirectory, app_files, overridden, read_app
from fedlite.flower.app_prices import AppPrices, Declared
from fedlite.flower.app_runtime import AppRuntime, worker_spec
from fedlite.flower.app_server import load_server, serve_app
from fedlite.flower.app_worker import load_client
from fedlite.learning.objectives import objective
from fedlite.rng import seed_of
from fedlite.scenario.loader import load_fleet
from fedlite.scenario.profiles import load_profile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fedlite.compose.round_log import RoundLog
    from fedlite.engine.pool import Pool
    from fedlite.engine.task import WorkerSpec
    from fedlite.fleet.state import Fleet
    from fedlite.flower.app_classes import AppClass
    from fedlite.flower.grid import FleetGrid, RoundPolicy
    from fedlite.learning.objectives import Metric
    from fedlite.learning.training.accelerator import Accelerator
    from fedlite.results.directory import RunDirectory
    from fedlite.scenario.schema import FleetScenario


@dataclass(frozen=True)
class AppCampaign:
    """An app on a fleet, ready to train (see `campaign.Campaign`). `server` is its ServerApp."""

    scenario: FleetScenario
    app: AppDirectory
    request: AppRequest
    server: Any
    fleet: Fleet
    worker: WorkerSpec
    classes: Sequence[AppClass]

    @classmethod
    def prepare(
        cls, folder: Path, scenario: FleetScenario, run_config: str = "", declared: Declared | None = None
    ) -> AppCampaign:
        """Read an app and set up its fleet.

        Parameters
        ----------
        folder : Path
            The app: a directory with a pyproject.toml that has `[tool.flwr.app.components]`.
        scenario : FleetScenario
            Its fleet, seed, and of its training section `first`, `deadline` and `failures`; the app says the rest.
        run_config : str
            Overrides of the app's config, as in `flwr run --run-config`.
        declared : Declared, optional
            Work and memory of one job; what the scenario declares if not given.

        Raises
        ------
        FedliteError
            If the app cannot be imported, or asks for what a fleet of devices cannot give.
        """
        app = read_app(folder)
        config = overridden(app.config, run_config)
        request = AppRequest(str(app.path), config, declared or _declared_in(scenario))
        return cls._of(scenario, app, request)

    @classmethod
    def reopen(cls, directory: RunDirectory) -> AppCampaign:
        """Return the campaign of an interrupted run.

        Raises
        ------
        FedliteError
            If its files are damaged, or the app cannot be imported any more.
        """
        request = read_request(directory)
        app = read_app(Path(request.folder))
        return cls._of(load_fleet(directory.path / "scenario.yaml"), app, request)

    @classmethod
    def _of(cls, scenario: FleetScenario, app: AppDirectory, request: AppRequest) -> AppCampaign:
        server = load_server(app.server, app.path)
        # Nobody needs it here, but what is wrong with it is told before the run, and alike on every backend.
        load_client(app.client, app.path)
        profiles = [load_profile(name) for name in scenario.fleet.mix]
        fleet = compose_fleet.build(scenario, profiles, [False] * len(profiles))
        worker = worker_spec(app.client, app.path, request.run_config)
        classes = app_classes(scenario, fleet)
        return cls(scenario, app, request, server, fleet, worker, classes)

    @property
    def name(self) -> str:
        """The app's."""
        return self.app.name

    @property
    def metrics(self) -> Sequence[Metric]:
        """Those that most apps tell; whether this one does shows when it runs."""
        return objective("cross-entropy").metrics

    @property
    def load(self) -> None:
        """Nobody knows what an app's code will ask for."""
        return None

    @property
    def policy(self) -> RoundPolicy:
        """As the scenario says; how many are asked, the app decides."""
        return policy(self.scenario, self.scenario.cohort if self.scenario.protocol else None, asks_busy=True)

    @property
    def program(self) -> Program:
        """The app's files are part of it."""
        return Program.of(self.scenario, self.worker, self.fleet, app_files(self.app.path))

    @property
    def files(self) -> Mapping[str, Mapping[str, Any]]:
        """What was asked of the app."""
        return {APP_FILE: asdict(self.request)}

    def runtime(self, pool: Pool) -> AppRuntime:
        """Return what hands messages to the ClientApp.

        Raises
        ------
        FleetExhaustedError
            If it is known beforehand that none of the devices can ever run it.
        """
        population = self.fleet.population
        runtime = AppRuntime(
            pool,
            population.profiles,
            population.profile_of,
            AppPrices(population.profiles, self.request.declared),
            seed=self.scenario.seed,
            partitions=self._partitions,
            classes=self.classes,
        )
        if all(profile.name in runtime.misfits for profile in population.profiles):
            name, reason = next(iter(runtime.misfits.items()))
            raise FleetExhaustedError(
                f"fleet.mix: got no device that can ever take part: on {name} {reason}; add devices that can, or make"
                " the app smaller"
            )
        return runtime

    @property
    def _partitions(self) -> int:
        """Number of parts that nodes are told their data is dealt into."""
        task = self.scenario.task
        return (task.clients if task is not None else None) or len(self.fleet)

    def serve(self, grid: FleetGrid, log: RoundLog, accelerator: Accelerator) -> Trained:
        """Run the ServerApp, which chooses its devices itself; its rounds are seen at the grid."""
        del accelerator
        rounds = AppRounds(grid, log)
        seed = seed_of(self.scenario.seed, "server app") % 2**63
        failure = None
        try:
            serve_app(grid, self.server, self.request.run_config, self.app.path, rounds, seed)
        except EngineLostError:
            raise
        except FedliteError as error:
            if not len(grid.ledger):
                raise
            failure = error
            # What was under way is paid for; if the failure is that it cannot be computed, it is told already.
            with suppress(FedliteError):
                grid.finish()
        metrics = rounds.finish()
        privacy = app_privacy(rounds.starts, self._partitions)
        return Trained(rounds.names, rounds.final, metrics, failure, _verdict(rounds.final), privacy)

    def particulars(self, record: Record, runtime: AppRuntime) -> Particulars:
        """Return what an app adds to the record of its run."""
        return app_particulars(self.app, self.request, record, runtime, self.metrics)


def _verdict(final: Sequence[NDArray[Any]]) -> str | None:
    """Say so if an app's own strategy ended with a model that is no good."""
    if all(array.dtype.kind not in "fc" or np.isfinite(array).all() for array in final):
        return None
    return (
        "the model that the app ended with is not finite: its strategy took in what no client should send; with a codec"
        " in wire.up (int8, say) fedlite throws such replies away as diverged"
    )


def _declared_in(scenario: FleetScenario) -> Declared:
    app = scenario.task.app if scenario.task is not None else None
    return Declared() if app is None else declared_by(app)
