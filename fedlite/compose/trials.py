"""What a search asks of a bench: what recipes come to, what nets take untrained, and models to look into."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from fedlite import wire
from fedlite.compose.bench_rows import quantities
from fedlite.compose.shipping import state_of
from fedlite.compose.spending import spent, traced
from fedlite.compression.structure.base import net_of
from fedlite.compression.structure.full import FULL
from fedlite.devices.compute import inference_s
from fedlite.pricing import inference_memory
from fedlite.scenario.profiles import load_profile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fedlite.compose.bench import Bench, Trained
    from fedlite.compose.spending import Done
    from fedlite.compression.structure.base import Structure
    from fedlite.devices.profile import DeviceProfile
    from fedlite.techniques.technique import Recipe

_MILLI = 1e3


class Trials:
    """A bench on a device, for searches.

    Parameters
    ----------
    bench : Bench
    profile : DeviceProfile
        Whose time and energy count.
    batch : int

    Attributes
    ----------
    tried : int
        Recipes that were trained.
    measured : set of Recipe
        Those of them whose outcome is known.
    """

    def __init__(self, bench: Bench, profile: DeviceProfile, batch: int) -> None:
        self._bench, self._profile, self._batch = bench, profile, batch
        self.tried = 0
        self.measured: set[Recipe] = set()

    def measure(self, recipe: Recipe) -> Mapping[str, Any]:
        """Return the quantities of a recipe, its metrics on held-out rows: other rows judge what was chosen."""
        self.tried += 1
        self.measured.add(recipe)
        outcome = self._bench.run([recipe])
        return quantities(replace(outcome, metrics=outcome.held), self._profile, self._batch)

    def weigh(self, recipe: Recipe, device: str = "") -> dict[str, float]:
        """Return what the net of a recipe takes, without training it."""
        spec = self._bench.spec(recipe)
        profile = load_profile(device) if device else self._profile
        workload = traced(recipe.plan.structure, spec)
        return {
            "params": float(workload.params),
            "macs": float(workload.macs),
            "stored_bytes": float(len(wire.encode(state_of(net_of(recipe.plan.structure, spec)), ("fp32",)))),
            "latency_ms": _MILLI * float(inference_s(profile, workload).value),
            "inference_memory_bytes": float(inference_memory(profile, workload, {}).value),
        }

    def train(self, recipe: Recipe, rounds: int = 0) -> Trial:
        """Return a model trained under a recipe, by so many rounds from scratch if any are named."""
        self.tried += 1
        before = len(self._bench.work)
        trained = self._bench.train(recipe, rounds)
        trial = Trial(self._bench, trained, self._profile, self._batch)
        trial.charge(self._bench.work[before:])
        return trial


@dataclass
class Trial:
    """A trained model that may be looked into; what that takes is added to what its training took.

    Attributes
    ----------
    device_s, device_j : float
        Of its rounds and of all testing so far, had devices of one profile done it.
    """

    bench: Bench
    trained: Trained
    profile: DeviceProfile
    batch: int
    device_s: float = 0.0
    device_j: float = 0.0
    _known: dict[Structure, dict[str, float]] = field(default_factory=dict)

    def held(self, structure: Structure = FULL) -> dict[str, float]:
        """Return the metrics, on rows that nobody trains on, of the net that a structure cuts out of the model."""
        if structure not in self._known:
            before = len(self.bench.work)
            self._known[structure] = self.bench.score(self.trained, structure)
            self.charge(self.bench.work[before:])
        return self._known[structure]

    def charge(self, work: Sequence[Done]) -> None:
        """Add what devices did of some work."""
        found = spent(work, self.profile, self.batch)
        self.device_s += float(found.device.value)
        self.device_j += float(found.device_energy.value)
