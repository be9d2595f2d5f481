"""The scenario's codecs on an app's messages: what is charged is a packet's length, what comes back has its error."""

import logging

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from fedlite import wire
from fedlite.cli.init import write_app
from fedlite.flower import compat
from fedlite.flower.app_wire import AppWire
from fedlite.flower.records import from_record, to_record
from fedlite.rng import stream
from fedlite.runner import Settings, run_app

LOCAL = Settings("local")
NAMES = ["weight", "mean", "count", "seen"]


def model(seed):
    """Weights, a floating buffer, a counter and a boolean buffer."""
    rng = stream(seed, "app wire")
    weight, mean = rng.normal(size=(40, 25)).astype(np.float32), rng.normal(size=25).astype(np.float32)
    return [weight, mean, np.array(2**40 + seed, np.int64), np.array([True, False])]


def content(arrays, **more):
    return RecordDict({"arrays": to_record(NAMES, arrays), "config": ConfigRecord({"lr": 0.1}), **more})


def sent_up(reply, received, codec, seed=7):
    return AppWire(up=codec).up(compat.to_bytes(reply), compat.to_bytes(received), seed)


@pytest.mark.parametrize("codec", [("int8",), ("int4", "zstd"), ("topk:0.1", "int8"), ("fp16",), ("sign",)])
def test_a_record_with_counters_is_charged_as_one_packet_of_all_its_arrays(codec):
    received, new = model(1), model(2)
    sent = sent_up(content(new), content(received), codec)
    parsed = wire.parse_codec(codec)
    carried = wire.to_update(new, received) if parsed.sends_update else new
    packet = wire.encode(carried, parsed, stream(7, "app encode", "arrays") if parsed.stochastic else None)
    beside = len(compat.to_bytes(RecordDict({"config": ConfigRecord({"lr": 0.1})})))
    assert sent.encoded_bytes == len(packet) + beside
    assert sent.raw_bytes == len(compat.to_bytes(content(new)))
    read = from_record(compat.from_bytes(sent.data)["arrays"])
    wanted = wire.decode(packet)
    wanted = wire.from_update(wanted, received) if parsed.sends_update else wanted
    for got, want, old in zip(read, wanted, new, strict=True):
        assert (got.dtype, got.shape) == (old.dtype, old.shape)
        np.testing.assert_array_equal(got, want)
    assert int(read[2]) == 2**40 + 2


def test_int8_quarters_the_bytes_and_is_off_by_a_step_at_most():
    received, new = model(1), model(2)
    sent = sent_up(content(new), content(received), ("int8",))
    numbers = 40 * 25 + 25
    assert numbers < sent.encoded_bytes < numbers + 150 < sent.raw_bytes / 3
    for got, want, old in list(zip(from_record(compat.from_bytes(sent.data)["arrays"]), new, received, strict=True))[
        :2
    ]:
        step = np.abs(want - old).max() / 127
        error = np.abs(got - want).max()
        assert 0 < error <= step * 1.001


def test_an_update_is_taken_against_a_server_model_of_another_precision():
    """Flower's adaptive servers send float64 from the second round on; clients answer in float32."""
    received, new = model(1), model(2)
    wide = [received[0].astype(np.float64), *received[1:2], np.float64(received[2]), received[3]]
    wide = [np.asarray(array) for array in wide]
    same = sent_up(content(new), content(received), ("int8",))
    assert same.encoded_bytes < same.raw_bytes / 3
    assert sent_up(content(new), content(wide), ("int8",)) == same


def test_a_lossy_downlink_sends_the_model_itself():
    arrays = model(1)
    app_wire = AppWire(down=("int8",))
    sent = app_wire.down(content(arrays))
    assert sent.encoded_bytes < sent.raw_bytes / 3
    weight, _, count, _ = from_record(compat.from_bytes(sent.data)["arrays"])
    assert 0 < np.abs(weight - arrays[0]).max() <= np.abs(arrays[0]).max() / 127 * 1.001
    assert int(count) == 2**40 + 1
    # Records that say the same stay one content; others are rounded by draws of their own.
    assert app_wire.down(content(arrays)) == sent
    other = app_wire.down(content([*arrays[:3], np.array([True, True])]))
    assert (from_record(compat.from_bytes(other.data)["arrays"])[0] != weight).any()


def test_an_app_that_names_its_arrays_anew_still_sends_an_update():
    received, new = content([*model(1)]), model(2)
    reply = RecordDict({"mine": ArrayRecord(new[:2]), "metrics": MetricRecord({"num-examples": 3})})
    sent = sent_up(reply, received, ("int8",))
    assert sent.encoded_bytes < sent.raw_bytes / 3


def test_what_no_packet_carries_travels_as_it_is_and_is_named_once(caplog):
    received, new = model(1), model(2)
    odd = Array(np.array([1 + 2j, 3]))
    own = Array(dtype="bfloat16", shape=(2,), stype="own", data=b"\x01\x02\x03\x04")
    record = ArrayRecord({"weight": Array(new[0]), "odd": odd, "own": own, "fresh": Array(np.ones(9, np.float32))})
    reply = RecordDict({"arrays": record})
    app_wire = AppWire(up=("int8",))
    with caplog.at_level(logging.WARNING, logger="fedlite"):
        for seed in range(3):
            sent = app_wire.up(compat.to_bytes(reply), compat.to_bytes(content(received)), seed)
    lines = [line for line in caplog.messages if line.startswith("wire: the array")]
    assert [line.split("'")[1] for line in lines] == ["odd", "own", "fresh"]
    assert "complex128" in lines[0]
    assert "serialization" in lines[1]
    assert "no update to encode" in lines[2]
    read = compat.from_bytes(sent.data)["arrays"]
    assert list(read) == ["weight", "odd", "own", "fresh"]
    assert read["own"].data == own.data
    np.testing.assert_array_equal(read["odd"].numpy(), odd.numpy())
    np.testing.assert_array_equal(read["fresh"].numpy(), np.ones(9, np.float32))
    left = RecordDict({"arrays": ArrayRecord({"odd": odd, "own": own, "fresh": Array(np.ones(9, np.float32))})})
    packet = wire.encode([new[0] - received[0]], ("int8",), stream(2, "app encode", "arrays"))
    assert sent.encoded_bytes == len(packet) + len(compat.to_bytes(left))


def test_a_run_of_an_app_with_batch_norm_pays_for_int8(app_fleet, tmp_path, caplog):
    folder = write_app(tmp_path / "app")
    task = folder / "digits_app" / "task.py"
    plain, normed = "nn.Linear(64, 64)", "nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64))"
    task.write_text(task.read_text(encoding="utf-8").replace(plain, normed), encoding="utf-8")
    runs = {}
    for name in ("fp32", "int8"):
        scenario = app_fleet(4, extra=f"wire: {{up: {name}}}")
        config = "num-server-rounds=2 local-epochs=1"
        runs[name] = run_app(folder, scenario, settings=LOCAL, run_config=config, out=tmp_path / name)
    numbers = 64 * 64 + 64 + 64 * 10 + 10 + 4 * 64
    trained = {name: run.clients.filter(run.clients["kind"] == "train")["up_bytes"] for name, run in runs.items()}
    assert (trained["fp32"] > 4 * numbers).all()
    assert (trained["int8"] > numbers).all()
    assert (trained["int8"] < numbers + 300).all()
    assert not [line for line in caplog.messages if line.startswith("wire:")]
