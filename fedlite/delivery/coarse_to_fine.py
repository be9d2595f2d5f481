"""Coarse classes first: a pruned net answers, and the whole one only where the pruned one confuses classes.

The channels that matter least, such as those that group lasso emptied, are taken out of a copy, which is trained on to
say what the whole net says. Which classes it confuses, held-out rows tell; such are merged to coarse classes. The copy
answers the coarse class, and the whole net, which lies beside it, chooses among its fine ones.

References
----------
Liu, Wang, Wang 2020, "A Two-Fold Group Lasso Based Lightweight Deep Neural Network for Automatic Modulation
Classification" (self-pruning by group lasso, and a second step for types that are confused; only its abstract was read,
so that how classes are merged is this module's own).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Final

import numpy as np

from fedlite.compression.part import PartError
from fedlite.delivery.base import Artefact, Calibration, Delivery
from fedlite.delivery.structured_pruning import StructuredPruning

_TRAINING: Final = 3
"""Of a forward pass: one with its backward pass of two."""


@dataclass(frozen=True)
class CoarseToFine(Delivery):
    """The pruned net for every inference, the whole one for those that it cannot tell apart.

    Attributes
    ----------
    share, importance, below
        As in `StructuredPruning`: which channels the small net has.
    confused : float
        Two classes are merged if the small net takes more than this share of their held-out rows for the other.
    steps : int
        For which the small net is trained on to say of the calibration rows what the whole one says; 0 for none.
    """

    name: ClassVar[str] = "coarse-to-fine"
    cites: ClassVar[tuple[str, ...]] = ("liu2020twofold",)

    share: float = 0.5
    importance: str = "l2"
    below: float | None = None
    confused: float = 0.05
    steps: int = 60

    def __post_init__(self) -> None:
        StructuredPruning(self.share, self.importance, below=self.below)
        if not 0 <= self.confused < 1:
            raise PartError(f"confused: got {self.confused}, expected a share of 0 up to 1; 0.05 is the default")
        if self.steps < 0:
            raise PartError(f"steps: got {self.steps}, expected 0 or more; 60 is the default")

    @property
    def label(self) -> str:
        """Such as "coarse classes first, fine above 2%"."""
        return f"coarse classes first, fine above {self.confused:.0%}"

    @property
    def remark(self) -> str:
        """What it saves and what not."""
        return (
            "where the coarse answer is enough (the facts say how often), time and energy of the whole net are saved;"
            " both nets lie on flash, and an input that goes on pays for both"
        )

    def deliver(self, artefact: Artefact, rows: Calibration) -> Artefact:
        """Return the artefact with both nets.

        Raises
        ------
        PartError
            If nothing can be pruned, or there are no held-out rows with classes.
        """
        import torch

        from fedlite.delivery.answers import accuracy_of, classes_of
        from fedlite.delivery.gate_training import teach
        from fedlite.delivery.path import Path
        from fedlite.delivery.stages import Both, Stages, confused_groups

        whole = artefact.as_trained(self.name)
        pruned = StructuredPruning(self.share, self.importance, below=self.below).deliver(artefact, rows)
        if self.steps:
            teach(pruned.net, whole, rows.x, self.steps)
        told = accuracy_of(whole, rows), accuracy_of(pruned.net, rows)
        if None in told or rows.labelled is None:
            raise PartError(f"{self.name}: got no held-out rows with classes, expected such; choose another technique")
        held, labels = rows.labelled
        said, wanted = np.asarray(classes_of(pruned.net, held), np.int64), labels.astype(np.int64)
        with torch.no_grad():
            # torch's switch, eval: nothing drops out, batch statistics stay.
            scores = pruned.net.eval()(torch.from_numpy(np.array(rows.x)))
        coarse = confused_groups(said, wanted, scores.shape[1], self.confused).tolist()
        net = Stages(pruned.net, whole, coarse)
        on = float(net.goes_on(scores)[0].double().mean())
        ways = ((1.0 - on, Stages(pruned.net, None, coarse)), (on, Both(pruned.net, whole, coarse)))
        groups = [np.flatnonzero(np.array(coarse) == one).tolist() for one in range(max(coarse) + 1)]
        return replace(
            pruned.with_net(net, forward_samples=2 * rows.held + (1 + _TRAINING * self.steps) * len(rows.x)),
            plain=Both(pruned.net, whole, coarse),
            paths=tuple(Path(share, plain) for share, plain in ways if share > 0),
        ).telling(
            merged=[group for group in groups if len(group) > 1],
            goes_on=on,
            held_accuracy=accuracy_of(net, rows),
            held_accuracy_of_whole=told[0],
            held_accuracy_of_first=told[1],
        )
