"""From a scenario to how its server fuses replies on rows of its own, for strategies that do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fedlite.client.assignment import Noted
from fedlite.compose.spending import Done
from fedlite.compression.plan import Plan
from fedlite.errors import FedliteError
from fedlite.flower.records import in_types
from fedlite.learning.ensemble import Ensemble, Study
from fedlite.rng import seed_of
from fedlite.scenario.strategies import FedDF

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fedlite.compose.learning import Learning
    from fedlite.flower.native_clients import NativeTask
    from fedlite.learning.models.spec import ModelSpec
    from fedlite.scenario.schema import Scenario

    Array = NDArray[Any]


class Fusing:
    """Fuses replies, and counts what that takes the server.

    Parameters
    ----------
    ensemble : Ensemble
    study : Study
    spec : ModelSpec
    rows : int
        That the server holds.
    task : NativeTask
        Its assignment is noted.
    noted : Noted
        Which plan each device had last.

    Attributes
    ----------
    work : list of Done
        Of all rounds so far.
    """

    def __init__(
        self, ensemble: Ensemble, study: Study, spec: ModelSpec, rows: int, task: NativeTask, noted: Noted
    ) -> None:
        self._ensemble, self._study, self._spec, self._rows = ensemble, study, spec, rows
        self._task, self._noted = task, noted
        self.work: list[Done] = []

    def __call__(self, round_: int, start: list[Array], replies: Sequence[tuple[int, list[Array]]]) -> list[Array]:
        """Return the full model after it learned from the replies."""
        types = self._task.dtypes
        members = [(self._noted.last[device].structure, in_types(arrays, types)) for device, arrays in replies]
        for structure, _ in members:
            # Such a member speaks as the full model (see Ensemble).
            asked = Plan() if structure.moves else Plan(structure=structure)
            self.work.append(Done(self._spec, asked, self._rows, at_server=True))
        self.work.append(Done(self._spec, Plan(), self._study.samples(self._rows), self._study.steps, at_server=True))
        return self._ensemble.fused(in_types(start, types), members, round_)


def with_fusion(scenario: Scenario, learning: Learning, task: NativeTask) -> tuple[NativeTask, Fusing | None]:
    """Return the task, its assignment noted, and how replies are fused; None for strategies that need no rows.

    Raises
    ------
    FedliteError
        If an objective of one's own has no classes of which models could tell together.
    """
    section = scenario.training.strategy
    if not isinstance(section, FedDF):
        return task, None
    if learning.objective != "cross-entropy":
        raise FedliteError(
            f"training.strategy: got {section.name!r} with the objective {learning.objective!r}, expected"
            " 'cross-entropy', for the mean of the replies' class scores is what is learned; write 'strategy: fedavg'"
        )
    study = Study(section.steps, section.batch_size, section.server_learning_rate, section.temperature)
    rows = learning.data.x_train[learning.public]
    ensemble = Ensemble(learning.spec, rows, study, seed_of(scenario.seed, "fusion"))
    noted = Noted(task.assignment)
    return replace(task, assignment=noted), Fusing(ensemble, study, learning.spec, len(rows), task, noted)
