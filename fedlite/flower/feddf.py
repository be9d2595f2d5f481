"""FedDF: federated averaging whose mean then learns, on rows of the server, what the replies say together.

References
----------
Lin, Kong, Stich, Jaggi 2020, "Ensemble Distillation for Robust Model Fusion in Federated Learning", algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from flwr.app import ArrayRecord
from flwr.serverapp.strategy import FedAvg
from numpy.typing import NDArray

from fedlite.flower.post import FIRST_NODE_ID
from fedlite.flower.records import averageable, first_of, from_record, to_record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flwr.app import Message, MetricRecord

Array = NDArray[Any]
Fusion = Callable[[int, list[Array], Sequence[tuple[int, list[Array]]]], list[Array]]
"""From a round, the mean of the replies and each device's own reply to the model that fuses them."""


class FedDF(FedAvg):
    """FedAvg, fused.

    Parameters
    ----------
    fusion : callable
    **sampling
        As FedAvg's.
    """

    def __init__(self, fusion: Fusion, **sampling: Any) -> None:
        super().__init__(**sampling)
        self._fusion = fusion

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the fused model, and the mean of the metrics."""
        given = list(replies)
        mean, metrics = super().aggregate_train(server_round, given)
        if mean is None:
            return mean, metrics
        members = [
            (reply.metadata.src_node_id - FIRST_NODE_ID, from_record(record))
            for reply in given
            if reply.has_content() and (record := first_of(reply.content, ArrayRecord)) is not None
        ]
        fused = self._fusion(server_round, from_record(mean), members)
        return to_record(list(mean), averageable(fused)), metrics
