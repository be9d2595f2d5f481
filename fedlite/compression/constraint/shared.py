"""Weight sharing: the weights of a layer have as many values as there are clusters, while they are trained, too.

The clusters are those of the received values, by k-means in one dimension, and fixed for the job. Training begins from
the centroids, all weights of a cluster get the mean of their gradients, and stay one value. (Deep Compression sums the
gradients; the mean is the same direction at a rate that does not grow with the cluster.) A weight that is zero when it
is received, or that a constraint before this one holds at zero, belongs to no cluster and stays zero.

Work and memory are those of training without it, and a little more. What is saved is bytes, where a layer is kept as a
codebook and indices of a few bits.

References
----------
Han, Mao, Dally 2016, "Deep Compression: Compressing Deep Neural Networks with Pruning, Trained Quantization and Huffman
Coding", section 3 (shared weights, linear initialisation).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from fedlite.compression.constraint.base import Array, Constraint, Received
from fedlite.compression.constraint.magnitude import finite, prunable, with_passes
from fedlite.compression.kmeans import kmeans
from fedlite.compression.part import Effects, PartError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

MOST_CLUSTERS: Final = 256
PASSES: Final = 6.0
"""Over the weights in a step: gradients are read and added up by cluster, and written back as their means; the same for
the weights, which stay one value whatever the optimiser did."""
INDEX_COPIES: Final = 2.0
"""Memory of the clusters' numbers: eight bytes for each weight of four."""


@dataclass(frozen=True)
class Shared(Constraint):
    """Every weight is one of its layer's few centroids.

    Attributes
    ----------
    clusters : int
        Values of a layer, 2 to 256.
    """

    name: ClassVar[str] = "shared"
    cites: ClassVar[tuple[str, ...]] = ("han2016deep",)

    clusters: int = 16

    def __post_init__(self) -> None:
        if not 2 <= self.clusters <= MOST_CLUSTERS:  # noqa: PLR2004 (stated in the message)
            raise PartError(f"clusters: got {self.clusters}, expected 2 to {MOST_CLUSTERS}; 16 takes 4 bits a weight")

    @property
    def effects(self) -> Effects:
        """Passes over weights and gradients in every step, and the indices; stored by whoever knows of codebooks."""
        return Effects(step_time=with_passes(PASSES), weight_copies=INDEX_COPIES)

    @property
    def label(self) -> str:
        """Such as "16 shared values"."""
        return f"{self.clusters} shared values"

    @property
    def remark(self) -> str:
        """Where it gains."""
        return "nothing gets faster or smaller in training; bytes are saved where a codebook and indices are kept"

    def init(self, received: Received) -> list[torch.Tensor | None]:
        """Return the cluster of each weight by parameter, -1 for a zero; None where nothing is shared."""
        import torch

        finite(received.parameters, received.names)
        found = [_ids(array, self.clusters) if prunable(array) else None for array in received.parameters]
        return [None if ids is None else torch.from_numpy(ids).to(received.device) for ids in found]

    def gradients(
        self, gradients: list[torch.Tensor], state: list[torch.Tensor | None], *, stacked: bool
    ) -> list[torch.Tensor]:
        """Return the mean over its cluster for every weight, and nothing for zeros."""
        return [
            gradient if ids is None else self._means(gradient, ids, ids.expand_as(gradient) >= 0)
            for gradient, ids in zip(gradients, state, strict=True)
        ]

    def after(self, parameters: list[torch.Tensor], state: list[torch.Tensor | None], *, stacked: bool) -> None:
        """Give all weights of a cluster that are not zero their mean, which is what they are if they are one value."""
        for parameter, ids in zip(parameters, state, strict=True):
            if ids is not None:
                parameter.copy_(self._means(parameter, ids, (ids >= 0) & (parameter != 0)))

    def _means(self, values: torch.Tensor, ids: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
        """Return the mean over each client's cluster where `counted`, and 0 elsewhere.

        Sums are in float64: of equal float32 values they are exact, so that a mean of equal values is that value.
        """
        import torch

        flat = values.reshape(-1, ids.numel()).double()
        counts = counted.reshape(flat.shape).double()
        places = ids.reshape(1, -1).clamp(min=0).expand_as(flat)
        empty = torch.zeros(len(flat), self.clusters, dtype=torch.float64, device=values.device)
        sums, sizes = empty.scatter_add(1, places, flat * counts), empty.scatter_add(1, places, counts)
        means = (sums / sizes.clamp(min=1.0)).gather(1, places) * counts
        return means.reshape(values.shape).to(values.dtype)


def _ids(array: Array, count: int) -> NDArray[np.int64] | None:
    live = array != 0
    if not live.any():
        return None  # a layer that begins at zero has to get away from there
    ids = np.full(array.shape, -1, np.int64)
    ids[live] = kmeans(array[live], count).indices
    return ids
