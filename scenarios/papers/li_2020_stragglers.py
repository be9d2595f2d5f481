"""Stragglers as in Li et al. 2020: of each cohort a share has time for a few local epochs only.

FedAvg drops them, FedProx takes what they have done. A Flower strategy for scenarios/papers/li-2020-fedprox.yaml.

References
----------
Li, Sahu, Zaheer, Sanjabi, Talwalkar, Smith 2020, "Federated optimization in heterogeneous networks", section 5.2.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, RecordDict
from flwr.serverapp.strategy import FedProx

from fedlite.rng import stream

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flwr.serverapp import Grid

SEED: Final = 0
"""Who straggles and by how much is the same in all runs, as in the paper; whom a round asks follows the run's seed."""


class WithStragglers(FedProx):
    """Plain averaging of ten devices of which some straggle.

    Parameters
    ----------
    share : float
        Of each cohort that straggles, 0 to 1.
    partial : bool
        Whether stragglers do 1 to `epochs` - 1 local epochs; else they are not asked, which is what dropping their
        updates comes to.
    epochs : int
        Local epochs of all others.
    cohort : int
        Devices of a round.
    mu : float
        Weight of the proximal term.
    """

    def __init__(self, share: float, *, partial: bool, epochs: int, cohort: int = 10, mu: float = 0.0) -> None:
        super().__init__(
            fraction_train=math.ulp(0.0),
            fraction_evaluate=0.0,
            min_train_nodes=cohort,
            min_available_nodes=cohort,
            proximal_mu=mu,
        )
        self.share, self.partial, self.epochs = share, partial, epochs

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask the first of a cohort, which is drawn in random order, for less, or not at all."""
        messages = list(super().configure_train(server_round, arrays, config, grid))
        late = round(self.share * len(messages))
        if not self.partial:
            return messages[late:]
        draws = stream(SEED, "stragglers", server_round).integers(1, self.epochs, size=late)
        return [*map(_asked_for, messages, draws.tolist()), *messages[late:]]


def _asked_for(message: Message, epochs: int) -> Message:
    """Return the message with fewer local epochs; its arrays are the same object."""
    content = RecordDict(dict(message.content))
    configs = message.content.config_records
    for name, config in configs.items():
        content[name] = ConfigRecord({**config, "local-epochs": epochs})
    return Message(content, message.metadata.dst_node_id, MessageType.TRAIN)
