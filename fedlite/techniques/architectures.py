"""Architecture search: a supernet that clients train path by path, and evolution on it for each class of devices.

Members of the family are ranked by their loss on held-out rows with the supernet's weights, which tells more of few
rows than their accuracy does. Some members are also trained alone, to tell how far that order is to be trusted; if all
are, the best of them is the oracle's choice. Only members within the budgets are chosen from; latency and memory are
the device model's. The one that is found is trained anew.

References
----------
Guo et al. 2020, "Single path one-shot neural architecture search with uniform sampling" (supernet, then evolution under
constraints). Real et al. 2019, "Regularized evolution for image classifier architecture search". Cai et al. 2020,
"Once-for-All" (one architecture for each class of devices from one supernet).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from fedlite.compression.part import PartError
from fedlite.compression.plan import Plan
from fedlite.compression.structure.subnet import Subnet, Supernet
from fedlite.planning.agreement import agreement
from fedlite.planning.budgets import exceeded, nearest
from fedlite.planning.evolution import Best, Evolution, SearchError, evolve, exhaustive
from fedlite.planning.search_space import Space
from fedlite.rng import stream
from fedlite.techniques.technique import (
    COMPUTE,
    DEVICE,
    DOWNLINK,
    MEMORY,
    STORED,
    UPLINK,
    WIRE,
    Example,
    Recipe,
    Search,
    Technique,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fedlite.compression.structure.subnet import Choice
    from fedlite.planning.budgets import Excess
    from fedlite.techniques.technique import Bench, Trial

FAMILY: Final = "elastic"
SPACE: Final = Space((("blocks", (1, 2, 3)), ("channels", (8, 16, 24)), ("kernel", (3, 5)), ("expansion", (2, 3))))
EVOLUTION: Final = Evolution()
_HOUR_S: Final = 3600.0


@dataclass(frozen=True)
class Budgets:
    """The most that a net may take; infinite where nothing is said."""

    latency_ms: float = math.inf
    inference_memory_bytes: float = math.inf
    stored_bytes: float = math.inf


@dataclass(frozen=True)
class ArchitectureSearch(Search):
    """See the module.

    Attributes
    ----------
    budgets : Budgets
    devices : tuple of str
        Further profiles that get an architecture of their own, within the same budgets.
    rounds : int
        Of training the supernet.
    alone : int
        Members that are trained alone as well.
    evolution : Evolution
    space : Space
    seed : int
    """

    budgets: Budgets
    devices: tuple[str, ...] = ()
    rounds: int = 50
    alone: int = 10
    evolution: Evolution = EVOLUTION
    space: Space = SPACE
    seed: int = 1

    def find(self, bench: Bench) -> tuple[Recipe, dict[str, Any]]:
        """Return the net for the bench's device, and what was found out.

        Raises
        ------
        PartError
            If no member is within the budgets on the bench's device.
        """
        whole = Recipe(Plan("supernet", Supernet(self.space.axes, self.seed)), model=FAMILY, options=self.space.largest)
        supernet = bench.train(whole, self.rounds)
        own = _Members(self, bench, supernet, "")
        found = own.best()
        others = {device: _Members(self, bench, supernet, device).told() for device in self.devices}
        alone = self._alone(bench)
        facts = {
            "architecture": own.record(found.choice),
            "architectures": others,
            "nets": len(self.space),
            "scored": found.asked,
            "rank_correlation": self._agreement(supernet, alone),
            "search_cost": {
                "supernet_device_h": supernet.device_s / _HOUR_S,
                "supernet_device_j": supernet.device_j,
                "alone_device_h": sum(trial.device_s for trial in alone.values()) / _HOUR_S,
                "alone_device_j": sum(trial.device_j for trial in alone.values()),
            },
        }
        if len(alone) == len(self.space):
            facts["oracle"] = self._oracle(own, found.choice, alone)
        return Recipe(Plan("architecture"), model=FAMILY, options=found.choice), facts

    def _alone(self, bench: Bench) -> dict[Choice, Trial]:
        """Return some members, drawn, trained by themselves."""
        choices = self.space.choices()
        order = stream(self.seed, "architectures alone").permutation(len(choices))[: self.alone]
        return {choices[place]: bench.train(member(choices[place])) for place in sorted(order.tolist())}

    def _agreement(self, supernet: Trial, alone: Mapping[Choice, Trial]) -> dict[str, Any]:
        """Return how far the supernet's order is that of members trained alone."""
        shared = [-supernet.held(Subnet(choice))["loss"] for choice in alone]
        judged = [-trial.held()["loss"] for trial in alone.values()]
        return asdict(agreement(shared, judged, stream(self.seed, "agreement")))

    @staticmethod
    def _oracle(own: _Members, found: Choice, alone: Mapping[Choice, Trial]) -> dict[str, Any]:
        """Return the best of all members within the budgets, trained alone, and how many beat the found one."""
        scores = {choice: -trial.held()["loss"] for choice, trial in alone.items()}
        best = exhaustive(own.search.space, scores.__getitem__, own.fits)
        better = sum(scores[choice] > scores[found] for choice in scores if own.fits(choice))
        return {**dict(best.choice), "loss": -best.score, "found_loss": -scores[found], "better_than_found": better}


def member(choice: Choice) -> Recipe:
    """Return the recipe that trains a member of the family by itself."""
    return Recipe(model=FAMILY, options=choice)


@dataclass(frozen=True)
class _Members:
    """The members of the family as one class of devices sees them."""

    search: ArchitectureSearch
    bench: Bench
    supernet: Trial
    device: str

    @cached_property
    def takes(self) -> dict[Choice, Mapping[str, float]]:
        """What each member takes: pricing one is nothing beside training one."""
        return {choice: self.bench.weigh(member(choice), self.device) for choice in self.search.space.choices()}

    def score(self, choice: Choice) -> float:
        """Return how good a member is with the supernet's weights; more is better."""
        return -self.supernet.held(Subnet(choice))["loss"]

    @cached_property
    def over(self) -> dict[Choice, dict[str, Excess]]:
        """Which budgets each member exceeds."""
        return {choice: exceeded(self.search.budgets, takes) for choice, takes in self.takes.items()}

    def fits(self, choice: Choice) -> bool:
        """Tell whether a member is within all budgets."""
        return not self.over[choice]

    def best(self) -> Best:
        """Return what evolution finds within the budgets.

        Raises
        ------
        PartError
            If there is nothing within them.
        """
        if all(self.over.values()):
            names = [Subnet(choice).label for choice in self.over]
            raise PartError(
                "architecture-search: got budgets that no net is within;"
                f" {nearest(names, list(self.over.values()))}; allow more"
            )
        rng = stream(self.search.seed, "evolution", self.device)
        try:
            return evolve(self.search.space, self.score, self.fits, rng, self.search.evolution)
        except SearchError as error:
            raise PartError(f"architecture-search: {error}") from error

    def record(self, choice: Choice) -> dict[str, Any]:
        """Return a member, what it takes, and how good it is with the supernet's weights."""
        quality = {f"supernet_{name}": self.supernet.held(Subnet(choice))[name] for name in ("accuracy", "loss")}
        return {**dict(choice), **self.takes[choice], **quality}

    def told(self) -> dict[str, Any]:
        """Return the best member, or why there is none."""
        try:
            return self.record(self.best().choice)
        except PartError as error:
            return {"none": str(error)}


def architecture_search(
    latency_ms: float = math.inf,
    memory_bytes: float = math.inf,
    stored_bytes: float = math.inf,
    devices: tuple[str, ...] = (),
    rounds: int = 50,
    alone: int = 10,
    seed: int = 1,
) -> ArchitectureSearch:
    """Find the best small net within budgets on a supernet that clients train path by path, for each device named."""
    for name, value, least in (("rounds", rounds, 1), ("alone", alone, 2)):
        if value < least:
            raise PartError(f"{name}: got {value}, expected {least} or more; write another")
    budgets = Budgets(latency_ms, memory_bytes, stored_bytes)
    return ArchitectureSearch(budgets, devices, rounds, alone, seed=seed)


TECHNIQUES: Final = (
    Technique(
        "architecture-search", "search", (25, 26), (STORED, WIRE, COMPUTE, MEMORY), (DEVICE, UPLINK, DOWNLINK),
        ("guo2020single", "real2019regularized", "cai2020once"), architecture_search,
        Example(device="esp32-s3", set={"latency_ms": 8, "devices": "nrf52840,pi-4b"}),
    ),
)  # fmt: skip
