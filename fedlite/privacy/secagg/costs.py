"""What secure aggregation asks of a device's processor, in cycles of one core.

Nobody has published this for the devices here, so that each count is that of one old or small core and stands for all:
cores with wider arithmetic need fewer (X25519 takes 95,437 cycles on a desktop's), those with the smallest multipliers
more (3,229,983 on a Cortex-M0+).

References
----------
X25519 on a Cortex-M4: https://doubleodd.group/benchmarks.html, line "X25519".
ChaCha20 by OpenSSL on a Cortex-A7: E. Biggers, Linux kernel mailing list, 14 August 2018, "Re: [PATCH v1 2/3] zinc".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fedlite.privacy.secagg.shamir import LIMBS

if TYPE_CHECKING:
    from fedlite.privacy.secagg.terms import Terms

AGREEMENT_CYCLES: Final = 563_310.0
"""One X25519."""
STREAM_CYCLES: Final = 13.9
"""One byte of ChaCha20."""
LETTER_CYCLES: Final = 20_000.0
"""Deriving a key and sealing or opening one letter: some twenty blocks of SHA-256 and ChaCha20. Assumed."""
PRODUCT_CYCLES: Final = 10.0
"""One product modulo 2^31 - 1 with its sum. Assumed."""
_WORD_BYTES: Final = 4
_BAND: Final = 2.0


def band() -> tuple[float, float]:
    """Return the factors around the energy of this work: as wide as for devices known by their spec sheet. Assumed."""
    return 1 / _BAND, _BAND


def cycles(terms: Terms) -> tuple[float, float, float, float]:
    """Return the cycles of a client in each trip if all its neighbours live."""
    peers = terms.neighbours
    shares = 2 * terms.holders * terms.threshold * LIMBS * PRODUCT_CYCLES
    masks = (peers + 1) * terms.length * _WORD_BYTES * STREAM_CYCLES
    return (
        2 * AGREEMENT_CYCLES,
        peers * (AGREEMENT_CYCLES + LETTER_CYCLES) + shares,
        peers * (AGREEMENT_CYCLES + LETTER_CYCLES) + masks,
        peers * LETTER_CYCLES,
    )
