"""From a scenario to how its server fuses replies on rows of its own, for strategies that do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fedlite.client.assignment import Noted
from fedlite.errors import FedliteError
from fedlite.flower.records import in_types
from fedlite.learning.ensemble import Ensemble, Study
from fedlite.rng import seed_of
from fedlite.scenario.strategies import FedDF

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fedlite.compose.learning import Learning
    from fedlite.flower.feddf import Fusion
    from fedlite.flower.native_clients import NativeTask
    from fedlite.scenario.schema import Scenario

    Array = NDArray[Any]


def with_fusion(scenario: Scenario, learning: Learning, task: NativeTask) -> tuple[NativeTask, Fusion | None]:
    """Return the task, its assignment noted, and how replies are fused; None for strategies that need no rows.

    Raises
    ------
    FedliteError
        If the task has no classes of which models could tell together, or its clients are a user's own.
    """
    section = scenario.training.strategy
    if not isinstance(section, FedDF):
        return task, None
    if learning.objective != "cross-entropy":
        raise FedliteError(
            f"training.strategy: got {section.name!r} with the objective {learning.objective!r}, expected"
            " 'cross-entropy', for the mean of the replies' class scores is what is learned; write 'strategy: fedavg'"
        )
    if scenario.task.app is not None:
        raise FedliteError(
            f"training.strategy: got {section.name!r} with task.app, whose arrays fedlite cannot build a net of,"
            " expected fedlite's own clients; write 'strategy: fedavg', or a strategy of your own"
        )
    study = Study(section.steps, section.batch_size, section.server_learning_rate, section.temperature)
    ensemble = Ensemble(learning.spec, learning.data.x_train[learning.public], study, seed_of(scenario.seed, "fusion"))

    noted = Noted(task.assignment)

    def fuse(round_: int, start: list[Array], replies: Sequence[tuple[int, list[Array]]]) -> list[Array]:
        members = [(noted.last[device].structure, in_types(arrays, task.dtypes)) for device, arrays in replies]
        return ensemble.fused(in_types(start, task.dtypes), members, round_)

    return replace(task, assignment=noted), fuse
