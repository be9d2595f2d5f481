"""The next character of a text: cross entropy over the alphabet, judged by perplexity.

References
----------
Jelinek, Mercer, Bahl, Baker 1977, "Perplexity: a measure of the difficulty of speech recognition tasks".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fedlite.learning.objectives.base import SHARE, Metric
from fedlite.learning.objectives.cross_entropy import CrossEntropy, accuracy

if TYPE_CHECKING:
    from fedlite.learning.objectives.base import Array


class NextCharacter(CrossEntropy):
    """Learns which character follows; perplexity is the number of characters between which the model still wavers."""

    name = "next-character"
    metrics = (Metric("perplexity", "min"), Metric("accuracy", "max", SHARE))
    cites = ("jelinek1977perplexity",)

    def summary(self, scores: Array, targets: Array, losses: Array) -> dict[str, float]:
        """Return perplexity, exp(mean loss in nats), and accuracy."""
        with np.errstate(over="ignore"):
            return {"perplexity": float(np.exp(losses.mean())), "accuracy": accuracy(scores, targets)}
