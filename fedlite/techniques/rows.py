"""The kinds of techniques that surveys of lightweight learning tell apart, by number: the catalogue covers each.

Collected from a survey of lightweight deep learning (Vaddepally), a review of lightweighting at the edge (Liu) and an
article by SoftServe on compression of models; what a kind needs to truly save is in docs/concepts/compression.md.
"""

from __future__ import annotations

from typing import Final

ROWS: Final[dict[int, str]] = {
    1: "unstructured pruning",
    2: "structured pruning",
    3: "dynamic pruning, in training or at inference",
    4: "adaptive pruning, by the device's resources",
    5: "local and global pruning",
    6: "pruning of layers and connections by Shapley values",
    7: "pruning of neurons by determinantal point processes",
    8: "group sparsity and self-pruning",
    9: "coarse-to-fine masks of several levels",
    10: "filter pruning by cosine and spatial correlation",
    11: "dynamic quantisation",
    12: "static quantisation after training",
    13: "quantisation-aware training",
    14: "mixed precision",
    15: "numbers of 16, 8, 4, 2 and 1 bits",
    16: "binarisation",
    17: "binary transformers with a low-rank residual",
    18: "schemes chosen by reinforcement learning",
    19: "weight sharing by clustering",
    20: "circulant matrices",
    21: "hierarchical sharing",
    22: "low rank",
    23: "distillation",
    24: "distillation of relations, experts and generated features",
    25: "architecture search for a device",
    26: "supernets that share weights",
    27: "compact nets",
    28: "compression that adapts to client and round",
    29: "inference that adapts to the device's state",
    30: "incremental compression",
    31: "on the device or on a server",
}
