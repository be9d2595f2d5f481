"""One client of secure aggregation: four answers, and what it has to keep between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fedlite.privacy.secagg import masks, messages, shamir
from fedlite.privacy.secagg.errors import (
    BelowThresholdError,
    MalformedMessageError,
    OutOfTurnError,
    SecAggError,
    UnsafeRequestError,
)
from fedlite.privacy.secagg.keys import KEY_BYTES, KeyPair, mask_key, seal, unseal

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Client:
    """A client in one round.

    Parameters
    ----------
    hello : bytes
        What the server sent first.
    rng : Generator
        Draws its secrets. Of a seeded stream they are no secrets.
    """

    def __init__(self, hello: bytes, rng: np.random.Generator) -> None:
        self.terms, self.index = messages.read_hello(hello)
        self._rng = rng
        self._answered = 0
        self._letters = KeyPair.drawn(rng)
        self._masks = KeyPair.drawn(rng)
        self._seed = rng.bytes(KEY_BYTES)
        self._peers: dict[int, messages.Keys] = {}
        self._agreed: dict[int, bytes] = {}
        self._sealed: dict[int, bytes] = {}
        self._own_share: messages.Share | None = None

    def keys(self) -> bytes:
        """Return its public keys."""
        self._turn(0)
        return messages.keys((self._letters.public, self._masks.public))

    def share(self, roster: bytes) -> bytes:
        """Return, sealed for each neighbour of a roster, shares of the seed of its own mask and of its key to others'.

        Raises
        ------
        MalformedMessageError, BelowThresholdError
        """
        self._turn(1)
        self._peers = messages.read_roster(roster)
        if self.index in self._peers or len(set(self._peers.values())) < len(self._peers):
            raise MalformedMessageError(
                f"roster of client {self.index}: got itself, or keys twice, expected other clients; stay away"
            )
        self._check_enough(len(self._peers))
        holders = sorted({*self._peers, self.index})
        points = [holder + 1 for holder in holders]
        halves = [
            shamir.split(secret, points, self.terms.threshold, self._rng)
            for secret in (self._seed, self._masks.private)
        ]
        sealed = {}
        for holder, of_seed, of_key in zip(holders, *halves, strict=True):
            if holder == self.index:
                self._own_share = of_seed
                continue
            self._agreed[holder] = self._letters.agreed(self._peers[holder][0])
            letter = messages.letter(of_seed, of_key)
            sealed[holder] = seal(self._agreed[holder], self.terms.round_, self.index, holder, letter)
        return messages.shares(sealed)

    def mask(self, letters: bytes, levels: NDArray[np.uint32]) -> bytes:
        """Return its vector of levels, masked for the neighbours who sent letters; they are kept unopened.

        Parameters
        ----------
        letters : bytes
        levels : ndarray of uint32, shape (terms.length,)
            Below `2**terms.bits`.

        Raises
        ------
        MalformedMessageError, BelowThresholdError
        SecAggError
            If the vector has another length.
        """
        if levels.shape != (self.terms.length,):
            raise SecAggError(f"vector: got {levels.size} numbers, expected {self.terms.length}; send those")
        self._turn(2)
        self._sealed = messages.read_letters(letters)
        if strangers := sorted({*self._sealed} - {*self._peers}):
            raise MalformedMessageError(
                f"letters to client {self.index}: got some of the clients {strangers}, expected its neighbours';"
                " stay away"
            )
        self._check_enough(len(self._sealed))
        vector = levels.astype(np.uint32)
        masks.add(vector, self._seed)
        for peer in sorted(self._sealed):
            key = mask_key(self._masks.agreed(self._peers[peer][1]))
            (masks.add if self.index < peer else masks.subtract)(vector, key)
        masks.reduce(vector, self.terms.modulus_bits)
        return messages.masked(vector, self.terms)

    def unmask(self, left: bytes) -> bytes:
        """Return one share for each neighbour, and its own: of the seed of who is left, of the key of who is gone.

        Never both of one client: with these anybody's vector could be read.

        Raises
        ------
        MalformedMessageError, BelowThresholdError, UnsafeRequestError, ForgedShareError
        """
        self._turn(3)
        alive, gone = messages.read_left(left)
        if len({*alive, *gone}) != len(alive) + len(gone) or {*alive, *gone} != {*self._sealed}:
            raise UnsafeRequestError(
                f"unmasking at client {self.index}: got {len(alive)} clients left and {len(gone)} gone, expected each"
                f" of its {len(self._sealed)} neighbours once; refuse it"
            )
        self._check_enough(len(alive))
        shown = {self.index: self._own_share}
        for peer, sealed in self._sealed.items():
            opened = unseal(self._agreed[peer], self.terms.round_, peer, self.index, sealed)
            of_seed, of_key = messages.read_letter(opened)
            shown[peer] = of_key if peer in gone else of_seed
        return messages.shown({peer: share for peer, share in shown.items() if share is not None})

    def _check_enough(self, peers: int) -> None:
        if peers + 1 < self.terms.threshold:
            raise BelowThresholdError(
                f"client {self.index}: got {peers} neighbours, expected {self.terms.threshold - 1} or more, or too few"
                " hold shares of its secrets; wait for another round"
            )

    def _turn(self, trip: int) -> None:
        if trip != self._answered:
            raise OutOfTurnError(
                f"client {self.index}: got trip {messages.TRIPS[trip]!r} after {self._answered} of"
                f" {len(messages.TRIPS)}, expected them in turn; drop the round"
            )
        self._answered += 1
