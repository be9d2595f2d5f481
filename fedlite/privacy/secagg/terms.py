"""What server and clients of one round of secure aggregation agree on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from fedlite.privacy.secagg.errors import TermsError

WORD_BITS: Final = 32
"""Greatest modulus: sums are taken in words that wrap around at it, and a smaller power of two divides it."""


@dataclass(frozen=True)
class Terms:
    """The terms of one round.

    Attributes
    ----------
    round_ : int
    clients : int
        The most whose vectors are summed: those that are asked.
    neighbours : int
        With how many others each shares masks and secrets; even, or all others.
    threshold : int
        Shares that find a secret again; `threshold - 1` of them tell nothing about it.
    length : int
        Numbers in a vector.
    bits : int
        Of one client's number.
    clip : float
        Numbers are clipped to `[-clip, clip]` before they are rounded to levels of `bits` bits.
    """

    round_: int
    clients: int
    neighbours: int
    threshold: int
    length: int
    bits: int
    clip: float

    def __post_init__(self) -> None:
        most = self.clients - 1
        if self.clients < 2:  # noqa: PLR2004 - a sum of one is that one
            raise TermsError(f"clients: got {self.clients}, expected 2 or more; ask more clients in a round")
        if not 1 <= self.neighbours <= most or (self.neighbours % 2 and self.neighbours != most):
            raise TermsError(
                f"neighbours: got {self.neighbours} of {most} other clients, expected an even number, or all of them;"
                f" write {min(most, self.neighbours + self.neighbours % 2)}"
            )
        if not 2 <= self.threshold <= self.holders:  # noqa: PLR2004 - one share must not be the secret
            raise TermsError(
                f"threshold: got {self.threshold} of the {self.holders} shares of a secret, expected 2 to"
                f" {self.holders}; write about two thirds of them"
            )
        if self.bits < 2 or self.modulus_bits > WORD_BITS:  # noqa: PLR2004 - one bit has no level for zero
            raise TermsError(
                f"bits: got {self.bits} for the sum of {self.clients} clients, expected 2 to"
                f" {WORD_BITS - self.modulus_bits + self.bits}; sums of more do not fit {WORD_BITS} bits"
            )
        if self.length < 1:
            raise TermsError(f"length: got {self.length}, expected 1 or more; send something")
        if not (math.isfinite(self.clip) and self.clip > 0):
            raise TermsError(f"clip: got {self.clip}, expected a finite number above 0; write for example 1.0")

    @property
    def holders(self) -> int:
        """Who holds shares of a client's secrets: its neighbours and itself."""
        return self.neighbours + 1

    @property
    def modulus_bits(self) -> int:
        """Bits of a masked number. Sums of all clients' numbers are below `2**modulus_bits`, so that none wraps."""
        return self.bits + (self.clients - 1).bit_length()
