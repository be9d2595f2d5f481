"""The native runtime: Flower's train and evaluate messages answered by fedlite's own trainer, chunk by chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlite.errors import FedliteError
from fedlite.flower.native_exchange import NativeExchange
from fedlite.flower.secagg_exchange import MaskedExchange
from fedlite.flower.secagg_members import QueryExchange

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from flwr.app import Message
    from numpy.typing import NDArray

    from fedlite.client.downlink import Downloads
    from fedlite.flower.exchange import Exchange
    from fedlite.flower.native_clients import NativeClients
    from fedlite.flower.secagg_members import Members
    from fedlite.flower.tape import Seen


class NativeRuntime:
    """Answers messages with the native trainer.

    Parameters
    ----------
    clients : NativeClients
    members : Members, optional
        The same clients where they take part in secure aggregation: of what they train only masked vectors leave them.
    """

    def __init__(self, clients: NativeClients, members: Members | None = None) -> None:
        self._clients = clients
        self.members = members

    @property
    def tracebacks(self) -> Mapping[str, str]:
        """None: what a scenario's own parts raise ends the run."""
        return {}

    @property
    def modes(self) -> set[str]:
        """Execution modes that the trainer has used."""
        return self._clients.modes

    @property
    def seen(self) -> Seen | None:
        """What an adversary saw so far; None where nobody watches."""
        return None if self._clients.tape is None else self._clients.tape.seen()

    @property
    def downloads(self) -> Downloads:
        """The downloads so far."""
        return self._clients.downlink.told

    def open(self, messages: Sequence[Message], devices: NDArray[np.int64], now_s: float) -> Exchange:
        """Begin an exchange.

        Raises
        ------
        FedliteError
            If a message is of another type than train or evaluate.
        """
        kind = messages[0].metadata.message_type.partition(".")[0]
        if self.members is not None and kind == "query":
            return QueryExchange(self.members, messages, devices, now_s)
        if self.members is not None and kind == "train":
            return MaskedExchange(self.members, messages, devices, now_s)
        if kind not in ("train", "evaluate"):
            raise FedliteError(
                f"message type: got {kind!r}, expected train or evaluate; write a ClientApp for messages of your own"
            )
        return NativeExchange(self._clients, kind, messages, devices, now_s)
