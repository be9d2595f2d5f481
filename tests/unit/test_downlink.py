"""The way down: whole models and differences, what devices hold, and that nothing adds up over rounds."""

from __future__ import annotations

import numpy as np
import pytest

from fedlite import wire
from fedlite.client.downlink import EXACT, Downlink, Offer, plain_codec
from fedlite.compression.plan import Plan
from fedlite.compression.structure.width import Width
from fedlite.rng import stream

SHAPES = ((24, 10), (24,), (), (5, 24))
ROUNDS, DEVICES = 40, 9


def start(rng):
    return [(0.2 * rng.standard_normal(shape)).astype(np.float32) for shape in SHAPES[:2]] + [
        np.array(3),
        (0.2 * rng.standard_normal(SHAPES[3])).astype(np.float32),
    ]


def stepped(arrays, rng):
    return [a + (0.01 * rng.standard_normal(a.shape)).astype(np.float32) if wire.is_float(a) else a + 1 for a in arrays]


class Device:
    """A device that knows nothing but the packets that reached it."""

    def __init__(self, plan, like):
        self._plan, self._like, self.packet = plan, like, None

    def read(self, packet, whole):
        if whole:
            arrays = wire.decode(packet, like=self._like)
            # Formats without dice: what was read is written again to the bit.
            self.packet = wire.encode(arrays, plain_codec(self._plan.down) if self._plan.delta == EXACT else ("fp32",))
        elif self._plan.delta == EXACT:
            self.packet = wire.decode_delta(packet, self.packet)
            arrays = wire.decode(self.packet, like=self._like)
        else:
            held = wire.decode(self.packet, like=self._like)
            arrays = wire.from_update(wire.decode(packet, like=self._like), held)
            self.packet = wire.encode(arrays, ("fp32",))
        return arrays


def campaign(plan, *, most=16, rounds=ROUNDS, seed=1):
    """Yield (model, device, held before, download, went through) of a fleet that skips rounds and loses downloads."""
    rng, dice = stream(seed, "model"), stream(seed, "who")
    arrays, downlink = start(rng), Downlink(most)
    devices = [Device(plan, arrays) for _ in range(DEVICES)]
    for round_ in range(rounds):
        arrays = stepped(arrays, rng)
        offer = Offer(arrays, plan, seed, ("downlink", round_))
        for device in np.flatnonzero(dice.random(DEVICES) < 0.4).tolist():
            base = downlink.base(device, plan)
            download = offer.to(base)
            through = bool(dice.random() < 0.7)
            if through:
                read = devices[device].read(download.packet, download.base is None)
                for got, known in zip(read, download.received, strict=True):
                    np.testing.assert_array_equal(got, known)
                downlink.hold(device, download)
            yield arrays, device, base, download, through
    campaign.downlink = downlink


@pytest.mark.parametrize("down", [("fp32",), ("fp16", "zstd"), ("bf16",)])
def test_a_device_comes_to_hold_the_very_bits_of_a_whole_download(down):
    plan, deltas = Plan("p", down=down, delta=EXACT), 0
    for arrays, _, base, download, _ in campaign(plan):
        wanted = wire.decode(wire.encode(arrays, down), like=arrays)
        for got, was in zip(download.received, wanted, strict=True):
            assert got.tobytes() == was.tobytes()
        if download.base is not None:
            deltas += 1
            assert download.base is base
            assert len(download.packet) < len(wire.encode(arrays, down))
    assert deltas > ROUNDS


def test_dice_of_the_number_format_are_those_of_a_whole_download():
    """Both forms of a stochastic codec are drawn from one stream, so that they say the same."""
    rng = stream(3, "dice")
    plan = Plan("p", down=("int8", "zstd"), delta=EXACT)
    old = start(rng)
    downlink, first = Downlink(), Offer(old, plan, 1, ("downlink", "a")).to(None)
    downlink.hold(0, first)
    offer = Offer(stepped(old, rng), plan, 1, ("downlink", "b"))
    whole, delta = offer.to(None), offer.to(downlink.base(0, plan))
    assert delta.base is not None
    assert delta.received is whole.received
    assert len(delta.packet) < len(whole.packet)


def test_a_lossy_difference_leaves_out_no_more_than_one_encoding_however_many_came_before():
    plan = Plan("p", delta=("int8", "zstd"))
    checked = 0
    for arrays, _, _, download, _ in campaign(plan):
        if download.base is None:
            continue
        held = wire.decode(download.base.packet, like=arrays)
        for new, got, old in zip(arrays, download.received, held, strict=True):
            if not wire.is_float(new):
                np.testing.assert_array_equal(got, new)
                continue
            # One step of 8 bits of what was still missing, and the rounding of one addition.
            step = np.abs(new - old).max() / 127
            assert np.abs(got - new).max() <= step + 1e-6
            checked += 1
    assert checked > 3 * ROUNDS


def test_a_sparsifier_may_leave_out_most_and_the_rest_comes_later():
    """Sent again and again, the same model is known in the end: what was left out is part of the next difference."""
    rng = stream(4, "model")
    plan, downlink = Plan("p", delta=("topk:0.1",)), Downlink()
    old = start(rng)
    downlink.hold(0, Offer(old, plan, 1, ("a",)).to(None))
    new, errors = stepped(old, rng), []
    for round_ in range(14):
        download = Offer(new, plan, 1, ("b", round_)).to(downlink.base(0, plan))
        downlink.hold(0, download)
        errors.append(max(float(np.abs(a - b).max()) for a, b in zip(new, download.received, strict=True)))
    assert errors[0] > 1e-3
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-6


def test_the_same_campaign_gives_the_same_packets():
    plan = Plan("p", delta=("int4", "zstd"))
    first, again = ([one[3].packet for one in campaign(plan)] for _ in range(2))
    assert first == again


@pytest.mark.parametrize("delta", [EXACT, ("int8",)])
def test_the_server_keeps_few_versions_and_tells_how_many(delta):
    plan = Plan("p", delta=delta)
    whole = {most: sum(one[3].base is None for one in campaign(plan, most=most)) for most in (2, 16)}
    told = campaign.downlink.told
    assert whole[2] > whole[16]
    list(campaign(plan, most=2))
    few = campaign.downlink.told
    assert few.kept_versions == 2
    assert few.kept_bytes == 2 * len(wire.encode(start(stream(1, "model")), ("fp32",)))
    assert told.kept_versions > 2


def test_a_version_that_nobody_holds_is_forgotten():
    rng = stream(5, "model")
    plan, downlink = Plan("p", delta=EXACT), Downlink()
    arrays = start(rng)
    for round_ in range(5):
        arrays = stepped(arrays, rng)
        for device in range(3):
            downlink.hold(device, Offer(arrays, plan, 1, (round_,)).to(downlink.base(device, plan)))
    # While two devices still held the one before.
    assert downlink.told.kept_versions == 2


def test_what_went_through_is_counted_and_nothing_else():
    plan = Plan("p", down=("fp16",), delta=EXACT)
    sent = [(one[3], one[4]) for one in campaign(plan)]
    told = campaign.downlink.told
    came = [download for download, through in sent if through]
    assert len(came) < len(sent)
    assert told.whole == sum(one.base is None for one in came)
    assert told.deltas == sum(one.base is not None for one in came)
    assert told.whole_bytes + told.delta_bytes == sum(len(one.packet) for one in came)


def test_a_device_without_a_known_version_of_this_net_gets_the_whole():
    rng = stream(6, "model")
    arrays, plan, downlink = start(rng), Plan("p", delta=EXACT), Downlink()
    assert downlink.base(0, plan) is None
    downlink.hold(0, Offer(arrays, plan, 1, ("a",)).to(None))
    assert downlink.base(0, plan) is not None
    assert downlink.base(0, Plan("half", Width(0.5), delta=EXACT)) is None
    assert downlink.base(0, Plan("p")) is None
    # A plan without differences leaves a model that nobody keeps track of.
    downlink.hold(0, Offer(arrays, Plan("p"), 1, ("b",)).to(None))
    assert downlink.base(0, plan) is None


def test_a_difference_that_is_longer_than_the_whole_is_not_sent():
    rng = stream(7, "model")
    plan, downlink = Plan("p", down=("fp32", "zstd"), delta=EXACT), Downlink()
    downlink.hold(0, Offer(start(rng), plan, 1, ("a",)).to(None))
    zeros = [np.zeros_like(array) for array in start(rng)]
    download = Offer(zeros, plan, 1, ("b",)).to(downlink.base(0, plan))
    assert download.base is None


def test_a_device_stores_the_difference_beside_what_it_is_put_on():
    rng = stream(8, "model")
    plan, downlink, old = Plan("p", delta=EXACT), Downlink(), start(rng)
    whole = Offer(old, plan, 1, ("a",)).to(None)
    downlink.hold(0, whole)
    delta = Offer(stepped(old, rng), plan, 1, ("b",)).to(downlink.base(0, plan))
    assert whole.stored_bytes == len(whole.packet)
    assert delta.stored_bytes == len(delta.packet) + len(whole.packet)
