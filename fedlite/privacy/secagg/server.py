"""The server of secure aggregation: it passes letters on, adds masked vectors, and takes the masks off their sum."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import numpy as np

from fedlite.privacy.secagg import masks, messages, shamir
from fedlite.privacy.secagg.errors import (
    BelowThresholdError,
    ForgedShareError,
    MalformedMessageError,
    OutOfTurnError,
)
from fedlite.privacy.secagg.graph import ring
from fedlite.privacy.secagg.keys import KeyPair, mask_key

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from fedlite.privacy.secagg.terms import Terms

_DID: Final = ("sent keys", "shared secrets", "sent a masked vector", "helped to unmask")
"""What clients do in each trip."""


class Server:
    """The server in one round: of each of four trips, messages out, then messages in, in any order.

    Whoever's message is missing when the next trip begins has dropped out. The sets of clients shrink:
    `keyed`, `shared`, `masked`, `shown`.

    Parameters
    ----------
    terms : Terms
    rng : Generator
        Draws who is whose neighbour.
    """

    def __init__(self, terms: Terms, rng: np.random.Generator) -> None:
        self.terms = terms
        self.keyed: dict[int, messages.Keys] = {}
        self.shared: dict[int, dict[int, bytes]] = {}
        self.masked: set[int] = set()
        self.shown: set[int] = set()
        self.neighbours: dict[int, tuple[int, ...]] = {}
        self._rng = rng
        self._trip = 0
        self._sum = np.zeros(terms.length, np.uint32)
        self._of_seed: dict[int, dict[int, messages.Share]] = defaultdict(dict)
        self._of_key: dict[int, dict[int, messages.Share]] = defaultdict(dict)

    # -- keys ---------------------------------------------------------------------------------------------------------

    def hello(self, index: int) -> bytes:
        """Return what the client of this number, from 0 to `terms.clients - 1`, is asked with."""
        return messages.hello(self.terms, index)

    def take_keys(self, index: int, message: bytes) -> None:
        """Take a client's public keys."""
        self._turn(0, index, range(self.terms.clients), self.keyed)
        self.keyed[index] = messages.read_keys(message)

    # -- shares -------------------------------------------------------------------------------------------------------

    def rosters(self) -> dict[int, bytes]:
        """Return what each client is told of its neighbours; who has sent no keys is nobody's neighbour.

        Raises
        ------
        BelowThresholdError
        """
        self._end(0, self.keyed)
        self.neighbours = ring(self.keyed, self.terms.neighbours, self._rng)
        return {
            index: messages.roster({peer: self.keyed[peer] for peer in peers})
            for index, peers in sorted(self.neighbours.items())
        }

    def take_shares(self, index: int, message: bytes) -> None:
        """Take a client's letters to its neighbours."""
        self._turn(1, index, self.keyed, self.shared)
        sealed = messages.read_shares(message)
        if {*sealed} != {*self.neighbours[index]}:
            raise MalformedMessageError(
                f"shares of client {index}: got letters to {sorted(sealed)}, expected one to each neighbour; drop it"
            )
        self.shared[index] = sealed

    # -- masked vectors -----------------------------------------------------------------------------------------------

    def deliveries(self) -> dict[int, bytes]:
        """Return the letters that each client gets.

        Raises
        ------
        BelowThresholdError
            If somebody's secrets could not be found again by those who are left.
        """
        self._end(1, self.shared)
        return {
            index: messages.letters({peer: self.shared[peer][index] for peer in self._peers(index)})
            for index in sorted(self.shared)
        }

    def take_masked(self, index: int, message: bytes) -> None:
        """Add a client's masked vector to the sum."""
        self._turn(2, index, self.shared, self.masked)
        np.add(self._sum, messages.read_masked(message, self.terms), out=self._sum)
        self.masked.add(index)

    # -- unmasking ----------------------------------------------------------------------------------------------------

    def requests(self) -> dict[int, bytes]:
        """Return what each client is told of who is left of its neighbours and who is not.

        Raises
        ------
        BelowThresholdError
        """
        self._end(2, self.masked)
        requests = {}
        for index in sorted(self.masked):
            peers = self._peers(index)
            alive = tuple(peer for peer in peers if peer in self.masked)
            requests[index] = messages.left(alive, tuple(peer for peer in peers if peer not in self.masked))
        return requests

    def take_shown(self, index: int, message: bytes) -> None:
        """Take the shares that a client shows."""
        self._turn(3, index, self.masked, self.shown)
        found = messages.read_shown(message)
        if {*found} != {*self._peers(index), index}:
            raise MalformedMessageError(
                f"shares shown by client {index}: got those of {sorted(found)}, expected one of each neighbour and its"
                " own; drop it"
            )
        for peer, share in found.items():
            (self._of_seed if peer in self.masked else self._of_key)[peer][index + 1] = share
        self.shown.add(index)

    def total(self) -> NDArray[np.uint32]:
        """Return the sum of the vectors of the clients in `masked`, modulo `2**terms.modulus_bits`.

        Raises
        ------
        BelowThresholdError, ForgedShareError
        """
        self._end(3, self.shown)
        for index in sorted(self.masked):
            masks.subtract(self._sum, self._found(self._of_seed[index]))
        for index in sorted({*self.shared} - self.masked):
            self._cancel(index)
        masks.reduce(self._sum, self.terms.modulus_bits)
        return self._sum

    def _cancel(self, gone: int) -> None:
        """Take off the sum the masks that clients who are left share with one who is gone."""
        pair = KeyPair.of(self._found(self._of_key[gone]))
        if pair.public != self.keyed[gone][1]:
            raise ForgedShareError(f"key of client {gone}: got shares of another, expected its own; drop the round")
        for peer in self._peers(gone):
            if peer in self.masked:
                key = mask_key(pair.agreed(self.keyed[peer][1]))
                (masks.subtract if peer < gone else masks.add)(self._sum, key)

    def _found(self, shares: dict[int, messages.Share]) -> bytes:
        points = sorted(shares)[: self.terms.threshold]
        return shamir.combine(points, np.stack([shares[point] for point in points]))

    # -- inside -------------------------------------------------------------------------------------------------------

    def _peers(self, index: int) -> list[int]:
        """Return a client's neighbours who shared secrets, as it did."""
        return [peer for peer in self.neighbours[index] if peer in self.shared]

    def check(self, answered: Collection[int]) -> None:
        """Raise BelowThresholdError if the round is lost where these clients, and no others, answer in this trip."""
        # Before the second trip nobody has secrets that others hold.
        owners = (None, answered, self.shared, self.shared)[self._trip]
        fewest = self._fewest(owners, answered)
        if fewest < self.terms.threshold:
            raise BelowThresholdError(
                f"secure aggregation, round {self.terms.round_}: got {fewest} who {_DID[self._trip]}, expected at least"
                f" {self.terms.threshold} who hold shares of a client; ask more clients, or lower the threshold"
            )

    def _fewest(self, owners: Collection[int] | None, left: Collection[int]) -> int:
        """Return how many are left of the holders of that owner's shares who has the fewest."""
        if owners is None:
            return len(left)
        return min((sum(peer in left for peer in (*self.neighbours[index], index)) for index in owners), default=0)

    def _end(self, trip: int, answered: Collection[int]) -> None:
        """End a trip, and begin the next."""
        if trip != self._trip:
            raise OutOfTurnError(
                f"server: got the end of trip {messages.TRIPS[trip]!r} where {self._trip} trips are over, expected them"
                " in turn; begin a new round"
            )
        self.check(answered)
        self._trip += 1

    def _turn(self, trip: int, index: int, expected: Collection[int], have: Collection[int]) -> None:
        if trip != self._trip or index not in expected or index in have:
            raise OutOfTurnError(
                f"client {index}: got its message of trip {messages.TRIPS[trip]!r}, expected that once, in this trip,"
                " of who took part in the one before; drop the message"
            )
