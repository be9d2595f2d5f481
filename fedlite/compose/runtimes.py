"""From a scenario to what its clients compute: fedlite's own trainer, or the user's ClientApp (`task.app`)."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.client.assignment import Assignment, ByCondition, ByProfile, Standing
from fedlite.client.choosers.base import Chooser, Setting
from fedlite.client.choosing import Choosing, Menu
from fedlite.compose import secure, watching
from fedlite.compression.plan import Plan
from fedlite.compression.structure.full import FULL
from fedlite.errors import FedliteError
from fedlite.flower import app_runtime
from fedlite.flower.app_classes import PLAN, AppClass
from fedlite.flower.app_prices import AppPrices, Declared
from fedlite.flower.app_runtime import AppRuntime
from fedlite.flower.app_wire import AppWire
from fedlite.flower.native_clients import NativeClients, NativeTask
from fedlite.flower.native_runtime import NativeRuntime
from fedlite.flower.records import types_of
from fedlite.rng import seed_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fedlite.client.assignment import Condition
    from fedlite.compose.fleet import DeviceClass
    from fedlite.compose.learning import Learning
    from fedlite.engine.pool import Pool
    from fedlite.engine.task import WorkerSpec
    from fedlite.fleet.state import Fleet
    from fedlite.flower.strategies import Served
    from fedlite.scenario.schema import FleetScenario, Option, Scenario
    from fedlite.scenario.task import App

AnyRuntime = NativeRuntime | AppRuntime

_log = logging.getLogger(__name__)


def native_task(scenario: Scenario, learning: Learning, classes: Sequence[DeviceClass], fleet: Fleet) -> NativeTask:
    """Return what the native runtime needs to know of a scenario's clients."""
    return NativeTask(
        spec=learning.spec,
        names=learning.names,
        dtypes=types_of(learning.arrays),
        assignment=assignment(scenario, classes, fleet),
        profiles=[device_class.profile for device_class in classes],
        profile_of=fleet.population.profile_of,
        workload_of=learning.workload,
        clients=len(learning.rows),
        examples=np.array([len(rows) for rows in learning.rows]),
        test_examples=np.array([len(rows) for rows in learning.test_rows]),
        sample_bytes=int(learning.data.x_train[0].nbytes),
        local=scenario.training.local_config(),
        metrics=learning.goal.columns,
        versions=scenario.wire.versions,
    )


def assignment(scenario: Scenario, classes: Sequence[DeviceClass], fleet: Fleet) -> Assignment:
    """Return who follows which plan: by profile, and where rules say so, by what devices have, or by a chooser."""
    menus: dict[int, Menu] = {}
    look = partial(standing, fleet)
    plan_of: list[Plan] = []
    cases: list[list[tuple[Condition, Plan]]] = []
    for one in classes:
        options = scenario.options_for(profile=one.profile.name, tier=str(one.profile.tier))
        held = [(option.condition, _held_ready(option, menus, scenario)) for option in options]
        cases.append([(condition, plan) for condition, plan in held if condition is not None])
        chooses = bool(options) and options[-1].condition is None and options[-1].choose is not None
        # `auto` has decided what the last rule says.
        plan_of.append(held[-1][1] if chooses else one.plan)
    fixed = ByProfile(plan_of, fleet.population.profile_of)
    inner = ByCondition(fixed, cases, look) if any(cases) else fixed
    return Choosing(inner, list(menus.values()), look) if menus else inner


def _held_ready(option: Option, menus: dict[int, Menu], scenario: Scenario) -> Plan:
    """Return the plan of an option, or what stands in for those of its menu, which all classes of the rule share."""
    if option.choose is None:
        return option.plans[0]
    if option.rule not in menus:
        assert isinstance(option.choose, Chooser)  # noqa: S101 (read as one)
        seed = seed_of(scenario.seed, "choose", option.rule)
        choice = option.choose.begin(Setting(len(option.plans), scenario.training.rounds, seed))
        menus[option.rule] = Menu(Plan(f"rule {option.rule}"), option.plans, choice)
    return menus[option.rule].stands_in


def standing(fleet: Fleet, devices: NDArray[np.int64], now_s: float) -> Standing:
    """Return what devices have now, a time not before the fleet's last advance."""
    capacity_j, population = fleet.capacity_of(devices), fleet.population
    mains = np.isinf(capacity_j)
    charge_j = fleet.charge_at(devices, now_s)
    at_home = fleet.presence.on_home_link(devices, now_s)
    return Standing(
        charge=np.where(mains, 1.0, charge_j / np.where(mains, 1.0, capacity_j)),
        up_bps=np.where(at_home, population.home.up_bps[devices], population.away.up_bps[devices]).astype(np.float64),
        memory_bytes=np.minimum(
            fleet.hardware.job_ram_bytes[population.profile_of[devices]], fleet.budgets.memory_bytes or np.inf
        ),
    )


def worker_spec(scenario: Scenario, learning: Learning, task: NativeTask) -> WorkerSpec:
    """Return how an actor builds its worker."""
    app = scenario.task.app
    if app is None:
        return learning.worker_spec(task.local, scenario.training.mode)
    if scenario.privacy.mechanism != "none":
        raise FedliteError(
            f"privacy.mechanism: got {scenario.privacy.mechanism!r} with task.app, whose replies fedlite does not make;"
            " wrap the strategy in a ServerApp of your own and run it with `fedlite app`"
        )
    return app_runtime.worker_spec(app.client, None, run_config(scenario))


def runtime(scenario: Scenario, task: NativeTask, fleet: Fleet, pool: Pool, served: Served | None) -> AnyRuntime:
    """Return what answers the grid's messages; `served` is None with asynchronous servers."""
    population = fleet.population
    app = scenario.task.app
    if app is None:
        aggregation = None if served is None else served.aggregation
        tape = watching.tape(scenario, task)
        clients = NativeClients(task, pool, seed=scenario.seed, aggregation=aggregation, tape=tape)
        return NativeRuntime(clients, secure.members(scenario, clients))
    prices = AppPrices(population.profiles, declared(app))
    classes = app_classes(scenario, fleet)
    return AppRuntime(
        pool,
        population.profiles,
        population.profile_of,
        prices,
        seed=scenario.seed,
        partitions=task.clients,
        classes=classes,
        drops_diverged=True,
    )


def declared(app: App) -> Declared:
    """Return what a scenario declares of its ClientApp's jobs."""
    return Declared(app.macs or {}, app.memory_bytes)


def app_classes(scenario: FleetScenario, fleet: Fleet) -> list[AppClass]:
    """Return what holds for an app's jobs on each profile: the codecs of its plan, and what fits.

    Of plans an app gets the two codecs: what else they do, it would have to do itself. Parts that have no effect are
    named in the log.

    Raises
    ------
    FedliteError
        If the scenario asks for error feedback, which needs to know what the app's arrays mean, or for plans that
        change with the state of a device.
    """
    if scenario.wire.error_feedback:
        raise FedliteError("wire.error_feedback: got true with a Flower app, expected false; remove it")
    if any(rule.when is not None or rule.choose is not None or rule.among for rule in scenario.clients):
        raise FedliteError(
            "clients: got a rule with 'when', 'choose' or 'among' with a Flower app, whose codecs are fixed, expected"
            " none; remove the rule"
        )
    wires: dict[tuple[tuple[str, ...], tuple[str, ...]], AppWire] = {}
    classes = []
    for position, profile in enumerate(fleet.population.profiles):
        plan = scenario.plan_for(profile=profile.name, tier=str(profile.tier))
        if plan.delta:
            raise FedliteError(
                f"delta: got {'+'.join(plan.delta)!r} with a Flower app, whose devices get every model whole,"
                " expected none; remove it from 'wire' or the plan"
            )
        idle = [part.name for part in plan.parts if part != FULL]
        if idle:
            _log.warning(
                "clients: got the plan %r for %s with a Flower app, of which only 'up' and 'down' act (not %s);"
                " remove the rest, or do it in the app",
                plan.name,
                profile.name,
                ", ".join(idle),
            )
        codecs = (plan.down, plan.up)
        name = PLAN if plan.name == Plan().name else plan.name
        wire = wires.setdefault(codecs, AppWire(*codecs))
        wall_bytes, storage_bytes = fleet.hardware.wall_bytes[position], fleet.hardware.storage_bytes[position]
        classes.append(AppClass(name, wire, float(wall_bytes), float(storage_bytes)))
    return classes


def run_config(scenario: Scenario) -> dict[str, Any]:
    """Return `training.local` as a ClientApp reads it: keys with hyphens, as in Flower's own examples.

    `local-epochs` is spelled as those spell it; what is not set is absent.
    """
    config = {
        name.replace("_", "-"): value for name, value in scenario.training.local.model_dump(exclude_none=True).items()
    }
    config["local-epochs"] = config.pop("epochs")
    return config
