"""Keys of one client, what two clients agree on, and letters that only the other one can read.

References
----------
RFC 7748 (X25519), RFC 5869 (HKDF), RFC 8439 (ChaCha20-Poly1305).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedlite.privacy.secagg.errors import ForgedShareError, MalformedMessageError

if TYPE_CHECKING:
    import numpy as np

KEY_BYTES: Final = 32
TAG_BYTES: Final = 16
"""By which a sealed letter is longer than the letter."""
_MASK: Final = b"fedlite secagg mask"
_LETTER: Final = b"fedlite secagg letter"
_ONCE: Final = bytes(12)
"""Nonce of letters: each has a key of its own."""


@dataclass(frozen=True)
class KeyPair:
    """A private key and what others need of it."""

    private: bytes
    public: bytes
    _key: X25519PrivateKey

    @classmethod
    def of(cls, private: bytes) -> KeyPair:
        """Return the pair of a private key of `KEY_BYTES`."""
        key = X25519PrivateKey.from_private_bytes(private)
        return cls(private, key.public_key().public_bytes_raw(), key)

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> KeyPair:
        """Return a new pair."""
        return cls.of(rng.bytes(KEY_BYTES))

    def agreed(self, public: bytes) -> bytes:
        """Return what the owner of this pair and that of a public key both know, and nobody else.

        Raises
        ------
        MalformedMessageError
            If the public key is one of the few that make everybody agree on zero.
        """
        try:
            return self._key.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError as error:
            raise MalformedMessageError(
                f"public key: got {public.hex()}, expected one of X25519 ({error}); leave its owner out"
            ) from error


def mask_key(agreed: bytes) -> bytes:
    """Return the key of the mask between two clients who agreed on this."""
    return _derived(agreed, _MASK)


def seal(agreed: bytes, round_: int, sender: int, receiver: int, letter: bytes) -> bytes:
    """Return a letter that only the receiver can read, and only as the sender's in this round."""
    return ChaCha20Poly1305(_letter_key(agreed, round_, sender, receiver)).encrypt(_ONCE, letter, None)


def unseal(agreed: bytes, round_: int, sender: int, receiver: int, sealed: bytes) -> bytes:
    """Return the letter.

    Raises
    ------
    ForgedShareError
        If it is not the sender's to the receiver in this round, or was changed.
    """
    try:
        return ChaCha20Poly1305(_letter_key(agreed, round_, sender, receiver)).decrypt(_ONCE, sealed, None)
    except InvalidTag:
        raise ForgedShareError(
            f"shares for client {receiver}: got some that client {sender} did not seal for it in round {round_},"
            " expected its own; drop the round"
        ) from None


def _letter_key(agreed: bytes, round_: int, sender: int, receiver: int) -> bytes:
    return _derived(agreed, _LETTER + struct.pack("<III", round_, sender, receiver))


def _derived(agreed: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, None, purpose).derive(agreed)
