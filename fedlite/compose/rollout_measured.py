"""Variants out of finished runs: the final model under a plan, really encoded, decoded again and scored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zstandard

from fedlite import wire
from fedlite.compose.final_model import final_arrays, learning_of
from fedlite.compose.shipping import Shipped, ship
from fedlite.devices import memory
from fedlite.devices.compute import inference_s, on_microcontroller
from fedlite.errors import FedliteError
from fedlite.pricing import inference_memory
from fedlite.scenario.clients import PlanSection

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.devices.estimate import Estimate
    from fedlite.devices.profile import DeviceProfile
    from fedlite.scenario.rollout.model import Delta, Variant

    Arrays = list[NDArray[Any]]

_SCORE = "accuracy"
_VARIANTS = "model.variants"


@dataclass(frozen=True)
class Measured:
    """A model as it would be shipped: the packet, its work, and how good what comes out of the packet is."""

    shipped: Shipped
    precision: str | None
    """In which all layers compute, if the plan tells of one."""
    accuracy: float

    @property
    def packet(self) -> bytes:
        """The file that devices download."""
        return self.shipped.file

    def latency(self, profile: DeviceProfile) -> Estimate:
        """Return the time of an inference."""
        if self.precision is None:
            return self.shipped.latency(profile)
        return inference_s(profile, self.shipped.workload, precision=self.precision)

    def peak_bytes(self, profile: DeviceProfile) -> float:
        """Return the memory that an inference must be prepared for: the upper end of the band."""
        if self.precision is None:
            return float(inference_memory(profile, self.shipped.workload, self.shipped.precision).high)
        in_flash = on_microcontroller(profile)
        return float(memory.inference_peak_bytes(self.shipped.workload, 1, self.precision, in_flash=in_flash).high)


def measure(variant: Variant) -> Measured:
    """Return what a variant that names a run comes to.

    Raises
    ------
    FedliteError
        If the directory holds no finished scenario run, its model is scored by something else than accuracy, or a
        delivery does not apply to it.
    """
    run = Path(variant.run or "")
    learning = learning_of(run, _VARIANTS)
    plan = (variant.plan or PlanSection()).plan(("fp32",), ("fp32",))
    shipped = ship(learning.ware(final_arrays(run, learning, _VARIANTS)), plan)
    if _SCORE not in shipped.score.metrics:
        raise FedliteError(
            f"model.variants: got the run {run}, whose model is scored by {learning.goal.main.name}, expected accuracy;"
            " leave 'run' out and tell bytes, memory, macs and accuracy"
        )
    return Measured(shipped, variant.precision, float(shipped.score.metrics[_SCORE]))


def difference_bytes(delta: Delta, packet: bytes) -> float:
    """Return the size of what makes the old artefact into a packet: Zstandard with the old one as its dictionary.

    Raises
    ------
    FedliteError
        If the old one cannot be read.
    """
    old = _artifact(Path(delta.from_ or ""))
    dictionary = zstandard.ZstdCompressionDict(old, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return float(len(zstandard.ZstdCompressor(level=_LEVEL, dict_data=dictionary).compress(packet)))


_LEVEL = 19


def _artifact(path: Path) -> bytes:
    """Return a file, or the final model of a run as it is shipped whole."""
    try:
        if path.is_file():
            return path.read_bytes()
        return wire.encode(final_arrays(path, learning_of(path, _VARIANTS), _VARIANTS), ("fp32",), None)
    except OSError as error:
        raise FedliteError(f"model.delta.from: got {path}, which cannot be read ({error.strerror}); mend it") from error
