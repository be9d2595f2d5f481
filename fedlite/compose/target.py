"""The target of a scenario: the value of a metric for which a run says what it took to get there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from fedlite.learning.objectives import Metric, Objective
    from fedlite.scenario.schema import Scenario

SHORTHAND = "target_accuracy"
"""Key of `training` that names its metric; `training.target` is of the main one."""


@dataclass(frozen=True)
class Target:
    """A metric and the value it is to reach."""

    metric: Metric
    value: float

    def reached_by(self, value: float) -> bool:
        """Return whether a value is as good as the target; not-a-number never is."""
        return value >= self.value if self.metric.goal == "max" else value <= self.value


def target_of(scenario: Scenario, objective: Objective) -> Target | None:
    """Return the target of a run, None if it has none.

    Raises
    ------
    FedliteError
        If it is of a metric that the objective does not have.
    """
    training = scenario.training
    if training.target is not None:
        return Target(objective.main, training.target)
    if training.target_accuracy is None:
        return None
    wanted = SHORTHAND.removeprefix("target_")
    metric = next((metric for metric in objective.metrics if metric.name == wanted), None)
    if metric is None:
        raise FedliteError(
            f"training.{SHORTHAND}: got {training.target_accuracy} with the objective {objective.name!r}, which "
            f"has no {wanted}; write 'target: ...', the wanted {objective.main.name}"
        )
    return Target(metric, training.target_accuracy)
