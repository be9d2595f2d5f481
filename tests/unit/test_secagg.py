"""Secure aggregation as a whole: what the server learns, who may be lost, what is refused, how long messages are."""

from functools import partial

import numpy as np
import pytest
from scipy import stats

from fedlite.privacy.secagg import fixed_point, masks, messages, shamir
from fedlite.privacy.secagg.abort import most_likely
from fedlite.privacy.secagg.client import Client
from fedlite.privacy.secagg.errors import (
    BelowThresholdError,
    ForgedShareError,
    MalformedMessageError,
    OutOfTurnError,
    SecAggError,
    TermsError,
    UnsafeRequestError,
)
from fedlite.privacy.secagg.graph import ring
from fedlite.privacy.secagg.keys import KeyPair, mask_key, seal, unseal
from fedlite.privacy.secagg.rehearsal import rehearse
from fedlite.privacy.secagg.server import Server
from fedlite.privacy.secagg.terms import Terms
from fedlite.rng import stream

HUNDRED = Terms(round_=3, clients=100, neighbours=20, threshold=9, length=40, bits=16, clip=1.0)
TWENTY = Terms(round_=4, clients=20, neighbours=8, threshold=5, length=400, bits=16, clip=1.0)
SMALL = Terms(round_=1, clients=6, neighbours=4, threshold=3, length=8, bits=8, clip=1.0)

secrets = partial(stream, 5, "secagg")


def vectors(terms, seed=0):
    return np.random.default_rng(seed).integers(0, 2**terms.bits, (terms.clients, terms.length)).astype(np.uint32)


def dropped(terms, trip, share):
    lost = [(), (), (), ()]
    count = round(share * terms.clients)
    lost[trip] = set(np.random.default_rng(trip).choice(terms.clients, count, replace=False).tolist())
    return lost


# -- the sum ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trip", range(4))
def test_the_sum_is_exact_with_thirty_of_a_hundred_lost_in_any_trip(trip):
    levels, lost = vectors(HUNDRED), dropped(HUNDRED, trip, 0.3)
    done = rehearse(HUNDRED, lambda index: levels[index], secrets, lost)
    heard = set(range(100)) - (lost[trip] if trip < 3 else set())
    assert set(done.clients) == heard
    assert np.array_equal(done.total, levels[sorted(heard)].sum(axis=0))


def test_the_sum_is_exact_with_a_hundred_neighbours_of_whom_thirty_are_lost_over_the_trips():
    terms = Terms(round_=3, clients=101, neighbours=100, threshold=51, length=5, bits=16, clip=1.0)
    levels, lost = vectors(terms), [{0, 1}, {2, 3, 4}, set(range(5, 25)), set(range(25, 30))]
    done = rehearse(terms, lambda index: levels[index], secrets, lost)
    assert done.clients == tuple(range(25, 101))
    assert np.array_equal(done.total, levels[25:].sum(axis=0))
    assert most_likely(101, 101, 51, 0.3) < 1e-4


def test_a_vector_of_another_length_is_refused():
    server, clients = begun(trips=1)
    with pytest.raises(SecAggError, match="got 7 numbers, expected 8"):
        clients[0].mask(server.deliveries()[0], np.zeros(7, np.uint32))


def test_the_sum_of_all_is_exact_where_all_are_neighbours_and_the_modulus_is_full():
    terms = Terms(round_=0, clients=8, neighbours=7, threshold=5, length=5, bits=29, clip=1.0)
    levels = np.full((8, 5), 2**29 - 1, np.uint32)
    done = rehearse(terms, lambda index: levels[index], secrets)
    assert done.total.tolist() == [8 * (2**29 - 1)] * 5
    assert terms.modulus_bits == 32


def test_the_mean_of_numbers_is_theirs_within_the_steps_of_their_levels():
    numbers = np.random.default_rng(1).uniform(-0.9, 0.9, (TWENTY.clients, TWENTY.length))
    levels = [fixed_point.levels(row, 1.0, 16, stream(0, "rounding", i)) for i, row in enumerate(numbers)]
    done = rehearse(TWENTY, lambda index: levels[index], secrets)
    total = fixed_point.total(done.total, 20, 1.0, 16)
    # Rounding is right on average: five standard deviations of the sum are far below its greatest error, 20 steps.
    assert np.abs(total - numbers.sum(axis=0)).max() < 5 * np.sqrt(20 / 4) * fixed_point.step(1.0, 16)


# -- what the server sees ---------------------------------------------------------------------------------------------


def masked_vectors(levels, terms):
    """Return the masked vectors that a server takes of clients with these levels."""
    seen, take = {}, Server.take_masked

    def watching(self, index, message):
        seen[index] = messages.read_masked(message, terms)
        take(self, index, message)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Server, "take_masked", watching)
        rehearse(terms, lambda index: levels[index], secrets)
    return seen


def test_a_masked_vector_is_uniform_and_tells_nothing_of_the_plain_one():
    terms = Terms(round_=0, clients=5, neighbours=4, threshold=3, length=20_000, bits=5, clip=1.0)
    levels = np.sort(np.tile(np.arange(32, dtype=np.uint32), (5, 625)), axis=1)
    seen = masked_vectors(levels, terms)
    for index in range(5):
        counts = np.bincount(seen[index], minlength=256)
        assert len(counts) == 2**terms.modulus_bits
        assert stats.chisquare(counts).pvalue > 1e-3
        table = np.histogram2d(levels[index], seen[index] // 8, bins=(32, 32))[0]
        assert stats.chi2_contingency(table).pvalue > 1e-3


def test_masks_cancel_only_together():
    levels = vectors(SMALL)
    seen = masked_vectors(levels, SMALL)
    for index in range(SMALL.clients):
        assert not np.array_equal(seen[index], levels[index])
    some = sum(seen[index].astype(np.int64) for index in range(5)) % 2**SMALL.modulus_bits
    assert not np.array_equal(some, levels[:5].sum(axis=0))


def test_masks_differ_by_every_bit_of_their_key():
    key = bytes(range(32))
    plain = masks.words(key, 1000)
    for bit in range(256):
        other = bytearray(key)
        other[bit // 8] ^= 1 << bit % 8
        assert (masks.words(bytes(other), 1000) == plain).sum() < 5


# -- who may be lost --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trip", [1, 2, 3])
def test_a_round_is_lost_if_and_only_if_somebody_has_too_few_holders(trip):
    terms = Terms(round_=0, clients=12, neighbours=4, threshold=3, length=4, bits=8, clip=1.0)
    levels, fates = vectors(terms), set()
    for seed in range(15):
        graph = ring(range(12), 4, secrets("graph"))
        gone = set(np.random.default_rng(seed).choice(12, 1 + seed % 5, replace=False).tolist())
        owners = set(range(12)) - (gone if trip == 1 else set())
        enough = min(sum(peer not in gone for peer in (*graph[index], index)) for index in owners) >= 3
        lost = [(), (), (), ()]
        lost[trip] = gone
        fates.add(enough)
        if not enough:
            with pytest.raises(BelowThresholdError, match="expected at least 3"):
                rehearse(terms, lambda index: levels[index], secrets, lost)
            continue
        done = rehearse(terms, lambda index: levels[index], secrets, lost)
        assert np.array_equal(done.total, levels[list(done.clients)].sum(axis=0))
    assert fates == {True, False}


def test_too_few_keys_begin_no_round():
    levels = vectors(SMALL)
    with pytest.raises(BelowThresholdError, match="got 2 who sent keys"):
        rehearse(SMALL, lambda index: levels[index], secrets, [{0, 1, 2, 3}, (), (), ()])


# -- bytes ------------------------------------------------------------------------------------------------------------


def test_messages_are_as_long_as_the_formula_says():
    levels = vectors(TWENTY)
    done = rehearse(TWENTY, lambda index: levels[index], secrets)
    assert done.up_bytes.tolist() == [[each] * 20 for each in messages.most_up_bytes(TWENTY)]
    assert done.down_bytes.tolist() == [[each] * 20 for each in messages.most_down_bytes(TWENTY)]
    packed = -(-400 * (16 + 5) // 8)
    assert messages.most_up_bytes(TWENTY) == (65, 1 + 8 * 92, 1 + packed, 1 + 9 * 40)


def test_who_is_lost_sends_nothing_and_shortens_what_others_get():
    levels = vectors(SMALL)
    done = rehearse(SMALL, lambda index: levels[index], secrets, [(), {0}, (), ()])
    assert done.up_bytes[1, 0] == 0
    assert done.down_bytes[2, 0] == 0
    assert done.down_bytes[2, 1:].min() == messages.most_down_bytes(SMALL)[2] - 92


# -- what is refused --------------------------------------------------------------------------------------------------


def begun(terms=SMALL, trips=0):
    """Return a server and clients who have gone through some trips."""
    server, levels = Server(terms, secrets("graph")), vectors(terms)
    clients = {index: Client(server.hello(index), secrets(index)) for index in range(terms.clients)}
    for index, client in clients.items():
        server.take_keys(index, client.keys())
    if trips > 0:
        for index, message in server.rosters().items():
            server.take_shares(index, clients[index].share(message))
    if trips > 1:
        for index, message in server.deliveries().items():
            server.take_masked(index, clients[index].mask(message, levels[index]))
    return server, clients


def test_a_server_that_asks_for_both_secrets_of_a_client_is_refused():
    server, clients = begun(trips=2)
    peers = tuple(server.neighbours[0])
    for left in ((peers, peers[:1]), (peers[1:], ()), (peers[:1] * 2 + peers[2:], peers[1:2])):
        with pytest.raises(UnsafeRequestError, match="expected each of its 4 neighbours once"):
            begun(trips=2)[1][0].unmask(messages.left(*left))
    with pytest.raises(BelowThresholdError, match="got 1 neighbours, expected 2 or more"):
        clients[0].unmask(messages.left(peers[:1], peers[1:]))


def test_a_changed_or_misdirected_letter_is_refused():
    server, clients = begun(trips=1)
    delivered = messages.read_letters(server.deliveries()[0])
    first, second, *_ = sorted(delivered)
    forged = delivered | {first: delivered[second]}
    clients[0].mask(messages.letters(forged), vectors(SMALL)[0])
    with pytest.raises(ForgedShareError, match=f"client {first} did not seal"):
        clients[0].unmask(messages.left(tuple(sorted(forged)), ()))


def test_letters_are_for_one_round_and_one_direction():
    ours, theirs = KeyPair.drawn(secrets("a")), KeyPair.drawn(secrets("b"))
    agreed = ours.agreed(theirs.public)
    assert theirs.agreed(ours.public) == agreed
    sealed = seal(agreed, 1, 0, 1, b"shares")
    assert unseal(agreed, 1, 0, 1, sealed) == b"shares"
    for round_, sender, receiver in ((2, 0, 1), (1, 1, 0), (1, 2, 1)):
        with pytest.raises(ForgedShareError):
            unseal(agreed, round_, sender, receiver, sealed)
    with pytest.raises(MalformedMessageError, match="expected one of X25519"):
        ours.agreed(bytes(32))
    assert mask_key(agreed) not in (agreed, ours.private)


def test_a_wrong_key_share_is_noticed():
    server, clients = begun(trips=1)
    for index, message in server.deliveries().items():
        if index:
            server.take_masked(index, clients[index].mask(message, vectors(SMALL)[index]))
    for index, message in server.requests().items():
        shown = messages.read_shown(clients[index].unmask(message))
        if 0 in shown:
            shown[0] = (shown[0] + np.uint64(1)) % np.uint64(shamir.PRIME)
        server.take_shown(index, messages.shown(shown))
    with pytest.raises(ForgedShareError, match="shares"):
        server.total()


def test_messages_out_of_turn_are_refused():
    server, clients = begun()
    with pytest.raises(OutOfTurnError, match="'keys'"):
        server.take_keys(0, messages.keys((bytes(32), bytes(32))))
    with pytest.raises(OutOfTurnError, match="client 0: got trip 'keys' after 1 of 4"):
        clients[0].keys()
    with pytest.raises(OutOfTurnError, match="client 7"):
        server.take_keys(7, b"")
    with pytest.raises(OutOfTurnError, match="server: got the end of trip 'unmask' where 0 trips are over"):
        server.total()


@pytest.mark.parametrize(
    ("read", "good"),
    [
        (messages.read_hello, messages.hello(SMALL, 2)),
        (messages.read_keys, messages.keys((bytes(32), bytes(32)))),
        (messages.read_roster, messages.roster({1: (bytes(32), bytes(32))})),
        (messages.read_shares, messages.shares({1: bytes(88)})),
        (messages.read_letters, messages.letters({1: bytes(88), 2: bytes(88)})),
        (lambda data: messages.read_masked(data, SMALL), messages.masked(np.zeros(8, np.uint32), SMALL)),
        (messages.read_left, messages.left((1, 2), (3,))),
        (messages.read_shown, messages.shown({1: np.zeros(9, np.uint64)})),
    ],
)
def test_malformed_messages_are_refused(read, good):
    read(good)
    for bad in (b"", bytes([99]) + good[1:], good[:-1], good + b"\x01"):
        with pytest.raises(MalformedMessageError):
            read(bad)


def test_tables_with_a_client_twice_shares_beyond_the_field_and_impossible_terms_are_malformed():
    row = (1).to_bytes(4, "little") + bytes(88)
    with pytest.raises(MalformedMessageError, match="each client once"):
        messages.read_shares(messages.shares({}) + row + row)
    with pytest.raises(MalformedMessageError, match="numbers below"):
        messages.read_shown(messages.shown({}) + (1).to_bytes(4, "little") + b"\xff" * 36)
    hello = bytearray(messages.hello(SMALL, 0))
    hello[9:13] = (77).to_bytes(4, "little")
    with pytest.raises(MalformedMessageError, match="neighbours: got 77"):
        Client(bytes(hello), secrets(0))


def test_rosters_and_letters_of_strangers_are_refused():
    server, clients = begun()
    own = (bytes(32), bytes(32))
    with pytest.raises(MalformedMessageError, match="got itself, or keys twice"):
        clients[0].share(messages.roster({1: own, 2: own, 3: own}))
    with pytest.raises(BelowThresholdError, match="client 1: got 1 neighbours"):
        clients[1].share(messages.roster({2: own}))
    rosters = server.rosters()
    with pytest.raises(MalformedMessageError, match="expected one to each neighbour"):
        server.take_shares(2, messages.shares({}))
    clients[2].share(rosters[2])
    with pytest.raises(MalformedMessageError, match="clients \\[77\\]"):
        clients[2].mask(messages.letters({77: bytes(88)}), vectors(SMALL)[2])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"clients": 1}, "clients: got 1"),
        ({"neighbours": 3}, "write 4"),
        ({"neighbours": 6}, "of 5 other clients"),
        ({"threshold": 1}, "threshold: got 1 of the 5 shares"),
        ({"threshold": 6}, "expected 2 to 5"),
        ({"bits": 30}, "expected 2 to 29"),
        ({"bits": 1}, "bits: got 1"),
        ({"length": 0}, "length: got 0"),
        ({"clip": float("nan")}, "clip: got nan"),
    ],
)
def test_terms_that_nobody_can_keep_are_refused(changed, said):
    kept = {"round_": 1, "clients": 6, "neighbours": 4, "threshold": 3, "length": 8, "bits": 8, "clip": 1.0}
    with pytest.raises(TermsError, match=said):
        Terms(**(kept | changed))


def test_numbers_that_are_none_are_refused():
    with pytest.raises(SecAggError, match="not finite"):
        fixed_point.levels(np.array([0.0, np.nan]), 1.0, 8, secrets("rounding"))
