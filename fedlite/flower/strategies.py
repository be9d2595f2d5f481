"""Flower's own strategies, built from a scenario; none is modified.

FedDF, which Flower has not, stands on FedAvg; a server that adds noise stands around them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from flwr.serverapp import strategy as flower

from fedlite import own_code
from fedlite.client.job import EQUAL_WEIGHT
from fedlite.errors import FedliteError
from fedlite.flower.feddf import FedDF
from fedlite.flower.native_clients import Aggregation
from fedlite.flower.private_mean import PrivateMean

if TYPE_CHECKING:
    from collections.abc import Callable

    from fedlite.flower.feddf import Fusion
    from fedlite.flower.private_mean import Guard
    from fedlite.scenario.schema import Scenario

_STOCK: Final[dict[str, Callable[..., flower.Strategy]]] = {
    "fedavg": flower.FedAvg,
    "fedavgm": flower.FedAvgM,
    "fedprox": flower.FedProx,
    "fedadam": flower.FedAdam,
    "fedadagrad": flower.FedAdagrad,
    "fedyogi": flower.FedYogi,
    "qfedavg": flower.QFedAvg,
    "fedmedian": flower.FedMedian,
    "fedtrimmedavg": flower.FedTrimmedAvg,
    "krum": flower.Krum,
    "multikrum": flower.MultiKrum,
    "bulyan": flower.Bulyan,
}


@dataclass(frozen=True)
class Served:
    """A strategy and how its replies may be prepared."""

    strategy: flower.Strategy
    aggregation: Aggregation


def build(scenario: Scenario, guard: Guard | None = None, fusion: Fusion | None = None) -> Served:
    """Return the scenario's synchronous strategy, guarded by its privacy mechanism.

    Parameters
    ----------
    scenario : Scenario
    guard : Guard, optional
        What the server does to be private; needed if the scenario's mechanism is a server's.
    fusion : callable, optional
        How replies are fused on the server's rows; needed by strategies that have such.
    """
    section, guarded = scenario.training.strategy, guard is not None
    # One noisy mean is private only if every client weighs the same.
    sampling: dict[str, Any] = {
        "fraction_train": math.ulp(0.0),  # not 0, which turns training off; the number asked is min_train_nodes
        "fraction_evaluate": 0.0,
        "min_train_nodes": scenario.asked,
        "min_available_nodes": scenario.asked,
    }
    if scenario.protocol or (guard is not None and guard.sampling != "none"):
        # The cohort is chosen already: all nodes that are shown.
        sampling |= {"fraction_train": 1.0, "min_train_nodes": 1, "min_available_nodes": 1}
    if guarded:
        sampling["weighted_by_key"] = EQUAL_WEIGHT
    if section.public_rows:
        strategy = _fused(section.name, sampling, fusion)
    else:
        strategy = _made(section.name, section.arguments(), sampling, scenario.training.local.lr)
    if guard is not None:
        strategy = PrivateMean(strategy, guard)
    # A user's own strategy is taken at the law's word that it averages, if clients of other shapes take part.
    mean = (section.mean or section.overlaps) and not guarded
    alone = scenario.training.replies == "separate" or scenario.privacy.secure_aggregation is not None
    one_reply = section.mean and not guarded and not alone
    return Served(strategy, Aggregation(mean, one_reply, equal_weights=guarded))


def _made(name: str, options: dict[str, Any], sampling: dict[str, Any], lr: float) -> flower.Strategy:
    if name in _STOCK:
        if name == "qfedavg":
            options["client_learning_rate"] = options["client_learning_rate"] or lr
        return _STOCK[name](**sampling, **options)
    try:
        factory = own_code.load(name)
    except own_code.OwnCodeError as error:
        raise FedliteError(
            f"training.strategy: got {name!r}, which cannot be imported ({error}); {own_code.REMEDY}"
        ) from error
    try:
        made = own_code.call(factory, **options)
    except FedliteError as error:
        raise FedliteError(
            f"training.strategy: got {name!r}, which refuses the options {options} ({error});"
            " mend the options, or the class"
        ) from error
    if not isinstance(made, flower.Strategy):
        raise FedliteError(
            f"training.strategy: got {name!r}, which made a {type(made).__name__}, expected a Flower Strategy;"
            " return an instance of flwr.serverapp.strategy.Strategy"
        )
    return made


def _fused(name: str, sampling: dict[str, Any], fusion: Fusion | None) -> flower.Strategy:
    if fusion is None:
        raise FedliteError(f"training.strategy: got {name!r} without rows on the server, expected some; give a fusion")
    return FedDF(fusion, **sampling)
