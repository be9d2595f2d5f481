"""The messages of secure aggregation as bytes: little-endian, one byte of kind first, no padding.

    trip          to each client                             from each client
    keys          terms, the client's number                 two public keys
    shares        number and keys of each neighbour          a sealed letter with two shares for each neighbour
    masked        the letters for it                         the masked vector, `modulus_bits` a number
    unmask        who is left of its neighbours, who is not  one share of each of them and of itself

Clients are numbers from 0. A share takes 36 bytes, a sealed letter 88.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fedlite.privacy.secagg.errors import MalformedMessageError, SecAggError
from fedlite.privacy.secagg.keys import KEY_BYTES, TAG_BYTES
from fedlite.privacy.secagg.shamir import LIMBS, PRIME
from fedlite.privacy.secagg.terms import Terms
from fedlite.wire.bits import pack_wide, packed_bytes, unpack_wide
from fedlite.wire.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

SHARE_BYTES: Final = 4 * LIMBS
SEALED_BYTES: Final = 2 * SHARE_BYTES + TAG_BYTES
TRIPS: Final = ("keys", "shares", "masked", "unmask")
_HELLO, _KEYS, _ROSTER, _SHARES, _LETTERS, _MASKED, _LEFT, _SHOWN = (bytes([kind]) for kind in range(8))
_TERMS: Final = struct.Struct("<IIIIIBdI")
_PEER: Final = struct.Struct("<I")

Keys = tuple[bytes, bytes]
"""Public keys of a client: for letters, for masks."""
Share = np.ndarray[Any, np.dtype[np.uint64]]
"""A share of one secret, shape (LIMBS,)."""


def hello(terms: Terms, index: int) -> bytes:
    """Return what the server asks a client to take part with."""
    told = terms.round_, terms.clients, terms.neighbours, terms.threshold, terms.length, terms.bits, terms.clip
    return _HELLO + _TERMS.pack(*told, index)


def read_hello(message: bytes) -> tuple[Terms, int]:
    """Undo `hello`; terms that cannot be kept are malformed."""
    body = _body(message, _HELLO, "terms")
    _check(len(body) == _TERMS.size, message, "terms", f"{1 + _TERMS.size} bytes")
    *told, index = _TERMS.unpack(body)
    try:
        return Terms(*told), index
    except SecAggError as error:
        raise MalformedMessageError(f"terms: got some that no client can keep ({error}); stay away") from error


def keys(pair: Keys) -> bytes:
    """Return a client's public keys."""
    return _KEYS + b"".join(pair)


def read_keys(message: bytes) -> Keys:
    """Undo `keys`."""
    body = _body(message, _KEYS, "keys")
    _check(len(body) == 2 * KEY_BYTES, message, "keys", f"{1 + 2 * KEY_BYTES} bytes")
    return body[:KEY_BYTES], body[KEY_BYTES:]


def roster(of: Mapping[int, Keys]) -> bytes:
    """Return the public keys of a client's neighbours."""
    return _ROSTER + _table({peer: b"".join(pair) for peer, pair in of.items()})


def read_roster(message: bytes) -> dict[int, Keys]:
    """Undo `roster`."""
    found = _read_table(message, _ROSTER, "roster", 2 * KEY_BYTES)
    return {peer: (pair[:KEY_BYTES], pair[KEY_BYTES:]) for peer, pair in found.items()}


def shares(sealed: Mapping[int, bytes]) -> bytes:
    """Return the sealed letters of a client, by receiver."""
    return _SHARES + _table(sealed)


def read_shares(message: bytes) -> dict[int, bytes]:
    """Undo `shares`."""
    return _read_table(message, _SHARES, "shares", SEALED_BYTES)


def letters(sealed: Mapping[int, bytes]) -> bytes:
    """Return the sealed letters to a client, by sender."""
    return _LETTERS + _table(sealed)


def read_letters(message: bytes) -> dict[int, bytes]:
    """Undo `letters`."""
    return _read_table(message, _LETTERS, "letters", SEALED_BYTES)


def masked(vector: NDArray[np.uint32], terms: Terms) -> bytes:
    """Return a masked vector, whose numbers are below the modulus."""
    return _MASKED + pack_wide(vector, terms.modulus_bits)


def read_masked(message: bytes, terms: Terms) -> NDArray[np.uint32]:
    """Undo `masked`."""
    body = _body(message, _MASKED, "masked vector")
    try:
        return unpack_wide(memoryview(body), terms.length, terms.modulus_bits).astype(np.uint32)
    except WireError as error:
        raise MalformedMessageError(f"masked vector: {error}") from error


def left(alive: tuple[int, ...], gone: tuple[int, ...]) -> bytes:
    """Return who of a client's neighbours sent a masked vector, and who only shared secrets."""
    return _LEFT + _PEER.pack(len(alive)) + b"".join(_PEER.pack(peer) for peer in (*alive, *gone))


def read_left(message: bytes) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Undo `left`."""
    body = _body(message, _LEFT, "list of who is left")
    whole = len(body) >= _PEER.size and len(body) % _PEER.size == 0
    _check(whole, message, "list of who is left", "a count and numbers of 4 bytes")
    count, *peers = (number for (number,) in _PEER.iter_unpack(body))
    _check(count <= len(peers), message, "list of who is left", f"{count} clients or more")
    return tuple(peers[:count]), tuple(peers[count:])


def shown(own: Mapping[int, Share]) -> bytes:
    """Return the shares that a client shows the server, by whose secret they are of."""
    return _SHOWN + _table({peer: share.astype("<u4").tobytes() for peer, share in own.items()})


def read_shown(message: bytes) -> dict[int, Share]:
    """Undo `shown`."""
    found = _read_table(message, _SHOWN, "shown shares", SHARE_BYTES)
    return {peer: read_share(share) for peer, share in found.items()}


def letter(seed: Share, key: Share) -> bytes:
    """Return the two shares that one client gives another: of the seed of its own mask, of its key to shared masks."""
    return np.concatenate((seed, key)).astype("<u4").tobytes()


def read_letter(opened: bytes) -> tuple[Share, Share]:
    """Undo `letter`."""
    _check(len(opened) == 2 * SHARE_BYTES, opened, "letter", f"{2 * SHARE_BYTES} bytes")
    return read_share(opened[:SHARE_BYTES]), read_share(opened[SHARE_BYTES:])


def read_share(data: bytes) -> Share:
    """Return a share; one that is of no secret is malformed."""
    share = np.frombuffer(data, "<u4").astype(np.uint64)
    _check(bool((share < PRIME).all()), data, "share", f"numbers below {PRIME}")
    return share


def most_up_bytes(terms: Terms) -> tuple[int, int, int, int]:
    """Return the bytes that a client sends in each trip if all its neighbours live."""
    peers = terms.neighbours
    return (
        1 + 2 * KEY_BYTES,
        1 + peers * (_PEER.size + SEALED_BYTES),
        1 + packed_bytes(terms.length, terms.modulus_bits),
        1 + terms.holders * (_PEER.size + SHARE_BYTES),
    )


def most_down_bytes(terms: Terms) -> tuple[int, int, int, int]:
    """Return the bytes that a client receives in each trip if all its neighbours live."""
    peers = terms.neighbours
    return (
        1 + _TERMS.size,
        1 + peers * (_PEER.size + 2 * KEY_BYTES),
        1 + peers * (_PEER.size + SEALED_BYTES),
        1 + _PEER.size * (1 + peers),
    )


def _table(rows: Mapping[int, bytes]) -> bytes:
    return b"".join(_PEER.pack(peer) + rows[peer] for peer in sorted(rows))


def _read_table(message: bytes, kind: bytes, name: str, row_bytes: int) -> dict[int, bytes]:
    body, width = _body(message, kind, name), _PEER.size + row_bytes
    _check(len(body) % width == 0, message, name, f"rows of {width} bytes")
    starts = range(0, len(body), width)
    peers = [_PEER.unpack_from(body, start)[0] for start in starts]
    _check(len(set(peers)) == len(peers), message, name, "each client once")
    return {peer: body[start + _PEER.size : start + width] for peer, start in zip(peers, starts, strict=True)}


def _body(message: bytes, kind: bytes, name: str) -> bytes:
    _check(message[:1] == kind, message, name, f"a first byte of {kind[0]}")
    return message[1:]


def _check(holds: bool, message: bytes, name: str, wanted: str) -> None:  # noqa: FBT001 - it reads as a sentence
    if not holds:
        raise MalformedMessageError(
            f"{name}: got {len(message)} bytes that begin with {message[:8].hex() or 'nothing'}, expected {wanted};"
            " drop the sender"
        )
