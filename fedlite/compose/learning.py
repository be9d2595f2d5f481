"""From a scenario to what the clients learn: data dealt to clients, the model, plans and what each costs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedlite import wire
from fedlite.compression import width
from fedlite.engine.task import WorkerSpec
from fedlite.learning import models, objectives
from fedlite.learning.data.held_out import held_out_parts
from fedlite.learning.data.load import load
from fedlite.learning.data.partition import partition
from fedlite.learning.objectives.fitting import check_fit
from fedlite.learning.tracing import trace
from fedlite.learning.training.threads import single_thread
from fedlite.learning.training.trainer import Trainer
from fedlite.rng import stream
from fedlite.scenario.task import partition_options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

    from fedlite.compression.plan import CompressionPlan
    from fedlite.compression.width import IndexMap
    from fedlite.devices.workload import Workload
    from fedlite.learning.data.dataset import Dataset
    from fedlite.learning.training.records import LocalConfig
    from fedlite.scenario.schema import Scenario

Array = NDArray[Any]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Learning:
    """What a run trains.

    Attributes
    ----------
    data : Dataset
    rows, test_rows : lists of index arrays
        Rows of each client's own training and test share.
    model : mapping
        Arguments of `models.build`, its width included.
    names, arrays : sequences
        The initial global model.
    workloads : mapping from width to Workload
        The traced model at every width that was asked for so far.
    objective : str
        Name of what is learned.
    """

    data: Dataset
    rows: list[Ints]
    test_rows: list[Ints]
    model: dict[str, Any]
    names: tuple[str, ...]
    arrays: list[Array]
    workloads: dict[float, Workload]
    objective: str

    def build(self, width_: float = 1.0) -> nn.Module:
        """Build the model at a share of its width."""
        return models.build(
            self.model["name"],
            input_shape=tuple(self.model["input_shape"]),
            num_classes=self.model["num_classes"],
            width=width_ * self.model["width"],
            seed=self.model["seed"],
            **self.model["params"],
        )

    def workload(self, width_: float = 1.0) -> Workload:
        """Return the work of the model at a share of its width, traced once."""
        if width_ not in self.workloads:
            net = self.build(width_)
            self.workloads[width_] = trace(net, self.data.input_shape, name=self.model["name"])
        return self.workloads[width_]

    def maps(self, plan: CompressionPlan) -> tuple[IndexMap, ...]:
        """Return where a plan's tensors lie in the full model."""
        full, sub = self.build(), self.build(plan.width)
        full_shapes, sub_shapes = ([tuple(value.shape) for value in net.state_dict().values()] for net in (full, sub))
        full_blocks, sub_blocks = (width.in_order(self.names, _blocks(net)) for net in (full, sub))
        return tuple(width.index_maps(full_shapes, sub_shapes, full_blocks, sub_blocks))

    def downlink_bytes(self, plan: CompressionPlan) -> int:
        """Return the length of the encoded model that a plan's devices receive."""
        arrays = width.take(self.arrays, self.maps(plan)) if plan.width < 1 else self.arrays
        return len(wire.encode(arrays, plan.downlink, stream(0, "length")))

    def worker_spec(self, local: LocalConfig, plans: Sequence[CompressionPlan], mode: str) -> WorkerSpec:
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
            "model": self.model,
            "local": asdict(local),
            "plans": [asdict(plan) for plan in plans],
            "mode": mode,
            "objective": self.objective,
        }
        return WorkerSpec("fedlite.engine.native:NativeWorker", options, data)


def prepare(scenario: Scenario) -> Learning:
    """Load the data, deal it to clients, and build the initial model."""
    task = scenario.task
    data = load(task.data)
    clients = task.clients or _default_clients(scenario, data)
    rows = partition(
        task.partition.kind,
        data.y_train,
        data.client_train,
        clients,
        scenario.seed,
        **partition_options(task.partition),
    )
    arguments = task.model.arguments()
    model = {
        "name": task.model.name,
        "input_shape": list(data.input_shape),
        "num_classes": data.num_classes,
        "seed": scenario.seed,
        "width": arguments.pop("width"),
        "params": arguments,
    }
    test_rows = held_out_parts(task.partition.kind, rows, data, scenario.seed)
    objective = data.objective if task.objective == "auto" else task.objective
    net = Learning(data, rows, test_rows, model, (), [], {}, objective).build()
    state = {name: value.detach().numpy().copy() for name, value in net.state_dict().items()}
    _check(net, objective, data, scenario)
    return Learning(data, rows, test_rows, model, tuple(state), list(state.values()), {}, objective)


def _check(net: nn.Module, objective: str, data: Dataset, scenario: Scenario) -> None:
    """Try the model on zeros, so that whatever cannot be trained is refused before anything is written."""
    with single_thread():
        check_fit(net, objectives.objective(objective), data)
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


def _blocks(net: nn.Module) -> dict[str, Any]:
    declared: Callable[[], dict[str, Any]] | None = getattr(net, "width_blocks", None)
    return declared() if callable(declared) else {}
