"""Variants out of finished runs: the final model under a plan, really encoded, decoded again and scored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zstandard
from safetensors import SafetensorError
from safetensors.numpy import load_file

from fedlite import wire
from fedlite.compose.learning import Learning, prepare
from fedlite.compression.structure.base import net_of
from fedlite.devices import memory
from fedlite.devices.compute import inference_s, on_microcontroller
from fedlite.errors import FedliteError
from fedlite.learning.training.records import ClientJob, LocalConfig
from fedlite.learning.training.trainer import Trainer
from fedlite.rng import stream
from fedlite.scenario.clients import PlanSection
from fedlite.scenario.loader import load_scenario

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fedlite.compression.plan import Plan
    from fedlite.devices.estimate import Estimate
    from fedlite.devices.profile import DeviceProfile
    from fedlite.devices.workload import Workload
    from fedlite.scenario.rollout.model import Delta, Variant

    Arrays = list[NDArray[Any]]

_SCORE = "accuracy"


@dataclass(frozen=True)
class Measured:
    """A model as it would be shipped: the packet, its work, and how good what comes out of the packet is."""

    packet: bytes
    workload: Workload
    precision: str
    accuracy: float

    def latency(self, profile: DeviceProfile) -> Estimate:
        """Return the time of an inference."""
        return inference_s(profile, self.workload, precision=self.precision)

    def peak_bytes(self, profile: DeviceProfile) -> float:
        """Return the memory that an inference must be prepared for: the upper end of the band."""
        in_flash = on_microcontroller(profile)
        return float(memory.inference_peak_bytes(self.workload, 1, self.precision, in_flash=in_flash).high)


def measure(variant: Variant) -> Measured:
    """Return what a variant that names a run comes to.

    Raises
    ------
    FedliteError
        If the directory holds no finished scenario run, or its model is scored by something else than accuracy.
    """
    run = Path(variant.run or "")
    learning = _learning(run)
    plan = (variant.plan or PlanSection()).plan(("fp32",), ("fp32",))
    packet = wire.encode(_constrained(learning, plan, _final(run, learning)), *_codec(plan))
    received = wire.decode(packet, most_elements=wire.MOST_ELEMENTS)
    net = net_of(plan.structure, learning.spec)
    judge = learning.judge
    score = Trainer(net, objective=learning.objective).evaluate(received, judge.x_test, judge.y_test)
    if _SCORE not in score.metrics:
        raise FedliteError(
            f"model.variants: got the run {run}, whose model is scored by {learning.goal.main.name}, expected accuracy;"
            " leave 'run' out and tell bytes, memory, macs and accuracy"
        )
    precision = variant.precision or plan.effects.inference
    return Measured(packet, learning.workload(plan.structure), precision, float(score.metrics[_SCORE]))


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
        return wire.encode(_final(path, _learning(path)), ("fp32",), None)
    except OSError as error:
        raise FedliteError(f"model.delta.from: got {path}, which cannot be read ({error.strerror}); mend it") from error


def _learning(run: Path) -> Learning:
    file = run / "scenario.yaml"
    if (run / "app.json").exists() or not file.is_file():
        raise FedliteError(
            f"model.variants: got the run {run}, expected that of a scenario; name the encoded model as 'artifact', and"
            " tell memory, macs and accuracy"
        )
    return prepare(load_scenario(file))


def _final(run: Path, learning: Learning) -> Arrays:
    try:
        tensors = load_file(run / "model.safetensors")
        return [tensors[name] for name in learning.names]
    except (OSError, SafetensorError, KeyError) as error:
        raise FedliteError(
            f"model.variants: got the run {run}, whose model.safetensors is damaged or of another model ({error});"
            " train it again"
        ) from error


def _constrained(learning: Learning, plan: Plan, arrays: Sequence[NDArray[Any]]) -> Arrays:
    """Return the part of the model that the plan's net has, with its constraints met."""
    part = plan.structure.place(learning.spec, arrays).take()
    if not plan.constraints:
        return part
    trainer = Trainer(net_of(plan.structure, learning.spec), objective=learning.objective, mode="sequential")
    rows = np.arange(min(len(learning.data.y_train), _FEW))
    cohort = trainer.train(
        part, [ClientJob(rows, 0)], learning.data.x_train, learning.data.y_train, LocalConfig(batch_size=_FEW),
        constraints=plan.constraints,
    )  # fmt: skip
    return list(cohort.start)


_FEW = 4


def _codec(plan: Plan) -> tuple[Any, Any]:
    codec = wire.parse_codec(plan.effects.stored or ("fp32",))
    return codec, stream(0, "stored") if codec.stochastic else None
