"""What devices remember, and the way of memories, masks and packets through named arrays."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from fedlite import wire
from fedlite.client.job import held_by, pack_held, pack_memories, packet_of, unpack_memories
from fedlite.client.memory import DeviceMemories, storable
from fedlite.client.stages.base import Stage
from fedlite.compression.constraint.magnitude import Magnitude
from fedlite.compression.part import PartError
from fedlite.compression.plan import Plan
from fedlite.compression.structure.width import Width
from fedlite.flower.native_exchange import _after_loss

FULL, HALF = Plan(), Plan("half", Width(0.5))


def test_a_device_that_never_had_a_job_remembers_nothing():
    assert DeviceMemories().of(3, FULL) == {}


def test_memory_belongs_to_a_device_and_a_net():
    memories = DeviceMemories()
    memories.keep(3, FULL, {"error-feedback": {"residual": np.arange(2)}})
    memories.keep(3, HALF, {"error-feedback": {"residual": np.arange(9)}})
    assert memories.of(3, FULL)["error-feedback"]["residual"].size == 2
    assert memories.of(3, HALF)["error-feedback"]["residual"].size == 9
    assert memories.of(4, FULL) == {}
    same_net = Plan("masked", constraints=(Magnitude(0.5),), up=("int8",))
    assert memories.of(3, same_net) is memories.of(3, FULL)


def test_a_job_replaces_what_its_own_parts_kept_and_leaves_the_rest():
    memories = DeviceMemories()
    memories.keep(1, FULL, {"a": {"x": np.ones(1)}, "b": {"x": np.ones(1)}})
    memories.keep(1, FULL, {"b": {"y": np.zeros(1)}})
    kept = memories.of(1, FULL)
    assert sorted(kept) == ["a", "b"]
    assert sorted(kept["b"]) == ["y"]


def test_memories_cross_as_named_arrays():
    memories = [{"part": {"a/b": np.arange(3)}}, {}, {"part": {"a/b": np.zeros(0)}, "other": {"n": np.array([7])}}]
    packed = pack_memories(memories)
    assert sorted(packed) == ["memory/0/part/a/b", "memory/2/other/n", "memory/2/part/a/b"]
    back = unpack_memories({**packed, "loss": np.zeros(3)}, 3)
    assert back[1] == {}
    assert back[0]["part"]["a/b"].tolist() == [0, 1, 2]
    assert back[2]["other"]["n"].tolist() == [7]


def test_masks_cross_once_if_all_hold_the_same_and_else_one_by_one():
    first, second = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    shared = pack_held([[None, first]])
    assert {name: masks.tolist() for name, masks in shared.items()} == {"held/1": [[True, False]]}
    own = pack_held([[None, first], [None, second]])
    for place, mask in enumerate((first, second)):
        assert held_by(shared, place, 2)[1].tolist() == first.astype(bool).tolist()
        assert held_by(own, place, 2)[1].tolist() == mask.astype(bool).tolist()
        assert held_by(own, place, 2)[0] is None
    assert pack_held([None, None]) == {}
    assert held_by({"lengths": np.zeros(1)}, 0, 2) is None


@pytest.mark.parametrize("place", [0, 1, 2])
def test_packets_of_a_chunk_lie_behind_each_other(place):
    packets = [b"one", b"", b"three"]
    arrays = {
        "lengths": np.array([len(packet) for packet in packets]),
        "packets": np.frombuffer(b"".join(packets), np.uint8),
    }
    assert packet_of(arrays, place) == packets[place]


@pytest.mark.parametrize("kind", ["?", "i1", "u8", "f2", "f4", "f8"])
def test_what_is_stored_comes_back_as_it_was(kind):
    memory = {"part": {"whole": np.ones((2, 3), kind), "one": np.ones(1, kind)[0], "none": np.ones(0, kind)}}
    (back,) = unpack_memories(pack_memories([storable(memory)]), 1)
    for key, values in memory["part"].items():
        assert (back["part"][key].dtype, back["part"][key].shape) == (values.dtype, values.shape)


@pytest.mark.parametrize(
    "values", [3, 0.5, None, [1.0], np.array([None]), np.array("x"), np.ones(2, "c8"), np.ones(2, "g")]
)
def test_what_cannot_be_written_down_is_refused_by_the_name_of_its_part(values):
    with pytest.raises(
        PartError, match=r"^own: got \S+( of \S+)? as 'a' in its memory, expected a numpy array of numbers"
    ):
        storable({"part": {"a": np.ones(1)}, "own": {"a": values}})


def test_what_is_remembered_after_a_loss_is_looked_at_too():
    class Loses(Stage):
        name, remembers = "loses", True

        def lost(self, decoded, memory):
            return {"owed": list(decoded)}

    received = [np.zeros(3, np.float32)]
    packet = np.frombuffer(wire.encode(received, FULL.up), np.uint8)
    leg = SimpleNamespace(plan=Plan(stages=(Loses(),)), received=received)
    done = SimpleNamespace(leg=leg, arrays={"lengths": np.array([packet.size]), "packets": packet})
    with pytest.raises(PartError, match="loses: got list as 'owed' in its memory"):
        _after_loss(done, 0, {"loses": {"owed": np.zeros(3)}})
