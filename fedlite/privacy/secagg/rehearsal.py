"""A whole round of secure aggregation in one process, with clients that are lost in any of its trips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.privacy.secagg.client import Client
from fedlite.privacy.secagg.messages import TRIPS
from fedlite.privacy.secagg.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from fedlite.privacy.secagg.terms import Terms


@dataclass(frozen=True)
class Rehearsed:
    """How a round went.

    Attributes
    ----------
    total : ndarray of uint32, shape (terms.length,)
        Sum of the vectors of `clients`, modulo `2**terms.modulus_bits`.
    clients : tuple of int
    down_bytes, up_bytes : ndarray of int, shape (4, terms.clients)
        What each client got and sent in each trip.
    """

    total: NDArray[np.uint32]
    clients: tuple[int, ...]
    down_bytes: NDArray[np.int64]
    up_bytes: NDArray[np.int64]


def rehearse(
    terms: Terms,
    levels: Callable[[int], NDArray[np.uint32]],
    stream: Callable[[str | int], np.random.Generator],
    lost: Sequence[Collection[int]] = ((), (), (), ()),
) -> Rehearsed:
    """Run a round.

    Parameters
    ----------
    terms : Terms
    levels : callable
        Each client's vector.
    stream : callable
        The stream of "graph" and of each client's secrets.
    lost : sequence of 4 collections of int
        Clients that do not answer in each trip; a client lost in one is never heard again.

    Raises
    ------
    BelowThresholdError
        If too many are lost.
    """
    server = Server(terms, stream("graph"))
    clients: dict[int, Client] = {}
    down, up = (np.zeros((len(TRIPS), terms.clients), np.int64) for _ in range(2))

    def trip(number: int, out: Mapping[int, bytes], answer: Any, take: Any) -> None:
        for index, message in out.items():
            down[number, index] = len(message)
            if index not in lost[number]:
                reply = answer(index, message)
                up[number, index] = len(reply)
                take(index, reply)

    def begun(index: int, message: bytes) -> bytes:
        clients[index] = Client(message, stream(index))
        return clients[index].keys()

    trip(0, {index: server.hello(index) for index in range(terms.clients)}, begun, server.take_keys)
    trip(1, server.rosters(), lambda index, message: clients[index].share(message), server.take_shares)
    trip(
        2,
        server.deliveries(),
        lambda index, message: clients[index].mask(message, levels(index)),
        server.take_masked,
    )
    trip(3, server.requests(), lambda index, message: clients[index].unmask(message), server.take_shown)
    return Rehearsed(server.total(), tuple(sorted(server.masked)), down, up)
