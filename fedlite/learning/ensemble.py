"""Ensemble distillation: one model learns what many, of any shape, say together of rows that nobody has labelled.

References
----------
Lin, Kong, Stich, Jaggi 2020, "Ensemble Distillation for Robust Model Fusion in Federated Learning", algorithm 1: the
mean of the members' logits is the teacher, their mean in weights is where the student begins. Here the number of steps
is fixed; the paper stops early by validation data, which a server without labels has not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.compression.structure.base import net_of
from fedlite.learning.objectives.soft_targets import SoftTargets
from fedlite.learning.training.records import ClientJob, LocalConfig
from fedlite.learning.training.trainer import Trainer
from fedlite.rng import seed_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fedlite.compression.structure.base import Structure
    from fedlite.learning.models.spec import ModelSpec

    Array = NDArray[Any]


@dataclass(frozen=True)
class Study:
    """How the student learns.

    Attributes
    ----------
    steps, batch_size : int
    lr : float
        Of Adam.
    temperature : float
    """

    steps: int
    batch_size: int
    lr: float
    temperature: float

    def samples(self, rows: int) -> int:
        """Return how many samples the student learns from, of so many rows: the last batch of an epoch may be short."""
        in_epoch = -(-rows // self.batch_size)
        epochs, rest = divmod(self.steps, in_epoch)
        return epochs * rows + rest * min(self.batch_size, rows)


class Ensemble:
    """What a server needs to fuse models.

    Parameters
    ----------
    spec : ModelSpec
        How the full net is built: the student.
    x : float32 array (N, *input_shape)
        Its rows.
    study : Study
    seed : int
    """

    def __init__(self, spec: ModelSpec, x: Array, study: Study, seed: int) -> None:
        self._spec = spec
        self._x = x
        self._study = study
        self._seed = seed
        self._trainers: dict[str, Trainer] = {}

    def logits(self, members: Sequence[tuple[Structure, Sequence[Array]]]) -> Array:
        """Return the mean of what the members say of each row, (N, classes), each in the net that it was trained in.

        Parameters
        ----------
        members : sequence of (structure, arrays)
            The arrays in the coordinates of the full model. A structure that follows the model's values cannot be
            found again in other values: such a member speaks as the full model that it was read as.
        """
        total, nothing = np.zeros((), dtype=np.float64), np.zeros((len(self._x), self._spec.num_classes), np.float32)
        for structure, arrays in members:
            own = arrays if structure.moves else structure.place(self._spec, arrays).take()
            trainer = self._trainer(None if structure.moves else structure)
            total = total + trainer.predict(own, self._x, nothing)
        return np.asarray(total / len(members), dtype=np.float32)

    def fused(
        self, start: Sequence[Array], members: Sequence[tuple[Structure, Sequence[Array]]], round_: int
    ) -> list[Array]:
        """Return the full model after it learned from the members, beginning at `start`."""
        study, wanted = self._study, self.logits(members)
        epochs = -(-study.steps * study.batch_size // len(self._x))
        config = LocalConfig(
            epochs=epochs, batch_size=study.batch_size, lr=study.lr, optimizer="adam", max_steps=study.steps
        )
        job = ClientJob(np.arange(len(self._x)), seed_of(self._seed, "ensemble", round_))
        result = self._trainer(None).train(start, [job], self._x, wanted, config)
        return [stacked[0] for stacked in result.arrays]

    def _trainer(self, structure: Structure | None) -> Trainer:
        key = "" if structure is None else structure.key
        if key not in self._trainers:
            net = self._spec.build() if structure is None else net_of(structure, self._spec)
            self._trainers[key] = Trainer(net, objective=SoftTargets(self._study.temperature), mode="sequential")
        return self._trainers[key]
