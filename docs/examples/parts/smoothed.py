"""An objective: a tenth of every label's weight is spread over all classes.

Source: Szegedy et al. 2016, "Rethinking the Inception architecture for computer vision", section 7 (label smoothing).
"""

import torch.nn.functional as F
from torch import Tensor

from fedlite.learning.objectives.cross_entropy import CrossEntropy


class Smoothed(CrossEntropy):
    """Learns classes, and to be a little unsure of them; judged like cross entropy."""

    name = "smoothed"
    cites = ("@misc{szegedy2016rethinking, title = {Rethinking the Inception architecture for computer vision}}",)

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the cross entropy of each sample with its softened label; logits (N, classes), classes (N,)."""
        return F.cross_entropy(outputs, targets, reduction="none", label_smoothing=0.1)
