"""Running a scenario or a Flower app from beginning to end, and continuing what was interrupted: the door of Python."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fedlite.compose import campaign, logs
from fedlite.compose.app_campaign import AppCampaign
from fedlite.compose.scenario_campaign import ScenarioCampaign
from fedlite.errors import FedliteError
from fedlite.scenario.loader import load_scenario
from fedlite.scenario.schema import Scenario

if TYPE_CHECKING:
    from collections.abc import Callable

    from fedlite.compose.backend import Wanted
    from fedlite.compose.finished import Run
    from fedlite.compose.progress import Progress
    from fedlite.flower.app_prices import Declared
    from fedlite.scenario.schema import FleetScenario


@dataclass(frozen=True)
class Settings:
    """How to run, as opposed to what: none of it changes a result, but for the last bits that an accelerator has.

    `backend` is "ray", "local", or "auto": Ray where a round and the run are enough work for it (`compose.backend`),
    or where one of the other two is given. `actors` defaults to the processors of the machine (at most 8);
    `ray_address` joins an existing cluster. `accelerator` is "none", "cuda", "mps", or "auto": what torch sees here.
    `log_to` are "tensorboard:FOLDER" or "mlflow:FOLDER": each round is written there when it ends.
    """

    backend: str = "auto"
    actors: int | None = None
    ray_address: str | None = None
    accelerator: str = "none"
    log_to: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.actors is not None and self.actors < 1:
            raise FedliteError(f"actors: got {self.actors}, expected 1 or more; leave it out for one per processor")
        logs.check(self.log_to)


def run(
    scenario: Scenario | str | Path,
    *,
    out: str | Path | None = None,
    settings: Wanted | None = None,
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
        Called as the engine starts and after every round.

    Raises
    ------
    FedliteError
        Whatever a user can mend: a wrong scenario, missing data, a fleet in which nobody can take part.
    """
    if not isinstance(scenario, Scenario):
        scenario = load_scenario(scenario)
    return campaign.run(
        scenario,
        partial(ScenarioCampaign.prepare, scenario),
        out=None if out is None else Path(out),
        settings=settings or Settings(),
        progress=progress,
    )


def run_app(
    folder: str | Path,
    scenario: FleetScenario,
    *,
    run_config: str = "",
    declared: Declared | None = None,
    out: str | Path | None = None,
    settings: Wanted | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Run:
    """Run a Flower app directory on a scenario's fleet and return where its results are.

    Parameters
    ----------
    folder, scenario, run_config, declared
        As `AppCampaign.prepare` takes them.
    out, settings, progress
        As `run` takes them; without `out` the directory is called after the app.

    Raises
    ------
    FedliteError
        Whatever a user can mend.
    """
    return campaign.run(
        scenario,
        partial(AppCampaign.prepare, Path(folder), scenario, run_config, declared),
        out=None if out is None else Path(out),
        settings=settings or Settings(),
        progress=progress,
    )


def resume(
    path: str | Path, *, settings: Wanted | None = None, progress: Callable[[Progress], None] | None = None
) -> Run:
    """Continue an interrupted run, a scenario's or an app's, to the bit-identical result.

    A finished run is returned as it is; what a run writes last is written if it was stopped before that, and a run of
    which a file is missing or damaged is trained again.
    """
    return campaign.resume(Path(path), settings=settings or Settings(), progress=progress)
