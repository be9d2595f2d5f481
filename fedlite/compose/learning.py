"""From a scenario to what the clients learn: data dealt to clients, the model, plans and what each costs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from fedlite import own_code, wire
from fedlite.compose.shipping import CALIBRATION_ROWS, Ware
from fedlite.compose.target import target_of
from fedlite.compression.structure.base import net_of
from fedlite.compression.structure.full import Full
from fedlite.engine.task import WorkerSpec
from fedlite.errors import MOST_QUOTED, FedliteError, clipped
from fedlite.learning import objectives
from fedlite.learning.data.held_out import held_out_parts
from fedlite.learning.data.load import load
from fedlite.learning.data.partition import partition
from fedlite.learning.data.people import hold_out, scored_on
from fedlite.learning.models import ModelError
from fedlite.learning.models.spec import ModelSpec, spec_of
from fedlite.learning.objectives.fitting import check_fit
from fedlite.learning.tracing import trace
from fedlite.learning.training.place import Place
from fedlite.learning.training.threads import single_thread
from fedlite.learning.training.trainer import Trainer
from fedlite.results.rounds import refuse_taken
from fedlite.rng import stream
from fedlite.scenario.names import references_in
from fedlite.scenario.schema import as_written
from fedlite.scenario.task import People, partition_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from fedlite.compression.plan import Plan
    from fedlite.compression.structure.base import Structure
    from fedlite.devices.workload import Workload
    from fedlite.learning.data.dataset import Dataset
    from fedlite.learning.objectives import Objective
    from fedlite.learning.training.accelerator import Accelerator
    from fedlite.learning.training.records import LocalConfig
    from fedlite.scenario.schema import Scenario
    from fedlite.scenario.task import Task

Array = NDArray[Any]
Ints = NDArray[np.int64]

_HELD: Final = 256
"""Rows by which a delivery may search."""


@dataclass(frozen=True)
class Learning:
    """What a run trains.

    Attributes
    ----------
    data : Dataset
        What the clients have.
    judge : Dataset
        Whom the global model is tested on: `data`, or the same with a test split of people held out.
    tested : index array
        Test rows of `judge` on which it is.
    rows, test_rows : lists of index arrays
        Rows of each client's own training and test share.
    public : index array
        Training rows that the server holds, and no client.
    spec : ModelSpec
        How the full net is built.
    names, arrays : sequences
        The initial global model.
    workloads : mapping from key of a structure to Workload
        The traced net of every structure that was asked for so far.
    objective : str
        Name of what is learned.
    rounds : int
    """

    data: Dataset
    judge: Dataset
    tested: Ints
    rows: list[Ints]
    test_rows: list[Ints]
    public: Ints
    spec: ModelSpec
    names: tuple[str, ...]
    arrays: list[Array]
    workloads: dict[str, Workload]
    objective: str
    rounds: int

    @property
    def goal(self) -> Objective:
        """What is learned."""
        return objectives.objective(self.objective)

    @property
    def scored_on(self) -> str:
        """Whose rows the test set is of, how many where that is not all, and how many are of unknown classes.

        Empty if the data records nobody and none of it is to be told.
        """
        whose, lost = scored_on(self.judge, self.rows), self._never_learned
        tested, every = len(self.tested), len(self.judge.y_test)
        some = f"{tested:,} of {every:,} test rows" if tested < every else f"{every:,} test rows" if lost else ""
        return ", ".join(part for part in (some, whose, lost) if part)

    @property
    def _never_learned(self) -> str:
        """Say how many of the test rows nobody can learn, for no training row is of their class."""
        data, asked = self.data, self.judge.y_test[self.tested]
        if not data.has_classes or data.objective != "cross-entropy":
            return ""
        lost = np.setdiff1d(asked, data.y_train)
        if not len(lost):
            return ""
        names = ", ".join(data.class_names[label] if data.class_names else str(label) for label in lost.tolist())
        rows = int(np.isin(asked, lost).sum())
        return f"{rows:,} of them of classes that no training row has ({clipped(names, MOST_QUOTED)})"

    @property
    def test_set(self) -> Dataset:
        """The judge with those test rows alone on which the global model is tested."""
        if len(self.tested) == len(self.judge.y_test):
            return self.judge
        owners = None if self.judge.client_test is None else self.judge.client_test[self.tested]
        x, y = self.judge.x_test[self.tested], self.judge.y_test[self.tested]
        return replace(self.judge, x_test=x, y_test=y, client_test=owners)

    def build(self) -> nn.Module:
        """Build the full net."""
        return self.spec.build()

    def trainer(self, accelerator: Accelerator) -> Trainer:
        """Return what tests the full net."""
        return Trainer(self.build(), objective=self.objective, place=Place(accelerator.device()))

    def workload(self, structure: Structure | None = None) -> Workload:
        """Return the work of the net that a structure builds (the full one if none is given), traced once."""
        chosen = structure or Full()
        if chosen.key not in self.workloads:
            net = net_of(chosen, self.spec)
            self.workloads[chosen.key] = trace(net, self.data.input_shape, name=self.spec.name)
        return self.workloads[chosen.key]

    def part(self, plan: Plan) -> list[Array]:
        """Return what of the initial model goes to the devices of a plan."""
        return plan.structure.place(self.spec, self.arrays).take()

    def ware(self, arrays: Sequence[Array]) -> Ware:
        """Return a trained full model with what it may be calibrated and judged by: rows of the first client."""
        rows = self.rows[0]
        return Ware(
            self.spec,
            arrays,
            self.test_set,
            rows[:CALIBRATION_ROWS],
            rows[-_HELD:],
            self.spec.seed,
            self.objective,
            self.rounds,
        )

    def downlink_bytes(self, plan: Plan) -> int:
        """Return the length of the encoded model that a plan's devices receive."""
        return len(wire.encode(self.part(plan), plan.down, stream(0, "length")))

    def worker_spec(self, local: LocalConfig, mode: str) -> WorkerSpec:
        """Return how an actor builds its native worker on this data."""
        data: dict[str, Any] = {
            "x": self.data.x_train,
            "y": self.data.y_train,
            **_packed(self.rows, ""),
            "test_x": self.data.x_test,
            "test_y": self.data.y_test,
            **_packed(self.test_rows, "test_"),
        }
        options = {
            "model": self.spec.record,
            "local": asdict(local),
            "objective": self.objective,
            "mode": mode,
        }
        return WorkerSpec("fedlite.client.worker:ClientWorker", options, data)


def prepare(scenario: Scenario) -> Learning:
    """Load the data, deal it to clients, and build the initial model."""
    task = scenario.task
    # Another scenario may have been read meanwhile, with code of the same names.
    own_code.look_in(map(Path, scenario.modules), references_in(as_written(scenario)))
    data, judge = _splits(scenario)
    clients = task.clients or _default_clients(scenario, data)
    public, private = _public(scenario, data)
    owners = None if data.client_train is None else data.client_train[private]
    dealt = partition(
        task.partition.kind, data.y_train[private], owners, clients, scenario.seed, **partition_options(task.partition)
    )
    rows = [private[part] for part in dealt]
    arguments = task.model.arguments()
    spec = spec_of(task.model.name, data.input_shape, data.num_classes, scenario.seed, **arguments)
    spec = replace(spec, layers=task.layers)
    test_rows = held_out_parts(task.partition.kind, rows, data, scenario.seed)
    objective = data.objective if task.objective == "auto" else task.objective
    net = _built(spec, task)
    state = {name: value.detach().numpy().copy() for name, value in net.state_dict().items()}
    _check(net, objective, data, scenario)
    return Learning(
        data,
        judge,
        _tested(scenario, judge),
        rows,
        test_rows,
        public,
        spec,
        tuple(state),
        list(state.values()),
        {},
        objective,
        scenario.training.rounds,
    )


def _built(spec: ModelSpec, task: Task) -> nn.Module:
    try:
        return spec.build()
    except ModelError as error:
        # Of data of the user's own nobody could tell before it was read.
        shape = "" if isinstance(task.data, str) else ", or say in task.data which 'shape' a sample has"
        raise ModelError(f"task.model: {error}{shape}") from error


def _splits(scenario: Scenario) -> tuple[Dataset, Dataset]:
    """Return the data of those who take part, and that which the model is tested on."""
    data, split = load(scenario.task.source), scenario.task.split
    return hold_out(data, split.share, scenario.seed) if isinstance(split, People) else (data, data)


def _tested(scenario: Scenario, judge: Dataset) -> Ints:
    """Return the test rows that judge the global model: no matter by which seed, so that seeds differ in training."""
    asked, every = scenario.training.evaluate_on, len(judge.y_test)
    if asked is None:
        return np.arange(every)
    if asked > every:
        raise FedliteError(
            f"training.evaluate_on: got {asked}, expected at most the {every} test rows of {judge.name!r};"
            " write fewer, or leave it out"
        )
    return np.sort(stream(0, "tested rows").permutation(every)[:asked])


def _public(scenario: Scenario, data: Dataset) -> tuple[Ints, Ints]:
    """Return the training rows that the server holds, drawn by the seed, and those that are dealt to clients."""
    strategy, every = scenario.training.strategy, np.arange(len(data.y_train))
    if strategy.public_rows > len(every) // 2:
        raise FedliteError(
            f"training.strategy.rows: got {strategy.public_rows}, expected at most half of the {len(every)} training"
            f" rows of {data.name!r}, for clients need some; write {len(every) // 2} or fewer"
        )
    public = np.sort(stream(scenario.seed, "public rows").permutation(every)[: strategy.public_rows])
    return public, np.setdiff1d(every, public)


def _check(net: nn.Module, objective: str, data: Dataset, scenario: Scenario) -> None:
    """Try the model on zeros, so that whatever cannot be trained is refused before anything is written."""
    with single_thread():
        check_fit(net, objectives.objective(objective), data)
    target_of(scenario, objectives.objective(objective))
    refuse_taken(objectives.objective(objective).columns)
    if scenario.task.app is None:
        Trainer(net, objective=objective, mode=scenario.training.mode).mode_for([], data.input_shape)


def _default_clients(scenario: Scenario, data: Dataset) -> int:
    """One partition per device, but never more than there are natural owners, or a tenth of the rows."""
    if scenario.task.partition.kind == "natural":
        return min(scenario.fleet.devices, data.natural_clients)
    return min(scenario.fleet.devices, max(1, len(data.y_train) // _FEWEST_ROWS))


_FEWEST_ROWS = 10


def _packed(rows: Sequence[Ints], prefix: str) -> dict[str, Array]:
    starts = np.concatenate([[0], np.cumsum([len(part) for part in rows])]).astype(np.int64)
    return {f"{prefix}rows": np.concatenate(rows).astype(np.int64), f"{prefix}starts": starts}
