import random

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict

from fedlite.errors import FedliteError
from fedlite.flower.app_prices import Declared
from fedlite.flower.grid import RoundPolicy

LEARNER = """
import random
import numpy as np
import torch
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()

@app.train()
def train(msg, context):
    arrays = msg.content["arrays"].to_torch_state_dict()
    count = 1 + context.node_config["partition-id"] % 2
    x = torch.rand(8 * count, 4)
    layer = torch.nn.Linear(4, 3)
    layer.weight.data.copy_(arrays["weight"])
    layer(x).sum().backward()
    layer.weight.data -= 0.1 * layer.weight.grad
    drawn = {"torch": float(x[0, 0]), "numpy": float(np.random.rand()), "python": random.random()}
    metrics = MetricRecord({"num-examples": 8 * count, "train_loss": 1.5, **drawn})
    arrays = ArrayRecord({"weight": layer.weight.detach()})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=msg)

@app.query()
def query(msg, context):
    known = context.state.metric_records.get("seen") or MetricRecord({"times": 0})
    known["times"] += 1
    context.state["seen"] = known
    if msg.content["config"].get("fail-on") == context.node_config["partition-id"]:
        raise RuntimeError("the sensor is gone")
    if msg.content["config"].get("meddle"):
        context.run_config["lr"] = 9.0
    config = dict(context.node_config)
    return Message(RecordDict({"seen": MetricRecord({"times": known["times"]})}), reply_to=msg)
"""


def messages(grid, kind="query", nodes=None, **config):
    content = RecordDict({"config": ConfigRecord(config)})
    if kind == "train":
        content["arrays"] = ArrayRecord([np.zeros((3, 4), dtype=np.float32)])
        content["arrays"] = ArrayRecord({"weight": next(iter(content["arrays"].values()))})
    return [Message(content, node, kind) for node in nodes or grid.get_node_ids()]


def test_a_client_that_raises_is_an_error_reply_with_its_reason_and_the_others_reply(app_grid):
    lab = app_grid(LEARNER, devices=4, policy=RoundPolicy(failures="error"))
    replies = list(lab.grid.send_and_receive(messages(lab.grid, **{"fail-on": 2})))
    assert [reply.has_error() for reply in replies] == [False, False, True, False]
    assert replies[2].error.code == 2
    assert replies[2].error.reason == "RuntimeError: the sensor is gone"
    assert lab.ledger.columns()["outcome"].tolist() == ["arrived", "arrived", "client_error", "arrived"]


def test_a_client_that_raises_stays_silent_where_failures_are_missing(app_grid):
    lab = app_grid(LEARNER, devices=4, policy=RoundPolicy(failures="missing"))
    replies = list(lab.grid.send_and_receive(messages(lab.grid, **{"fail-on": 2}), timeout=60))
    assert [reply.has_error() for reply in replies] == [False, False, False]
    assert lab.grid.clock.now_s == 60


def test_state_lasts_from_message_to_message_and_is_taken_back_after_an_error(app_grid):
    lab = app_grid(LEARNER, devices=3)
    for fail_on in (-1, 1, -1):
        replies = list(lab.grid.send_and_receive(messages(lab.grid, **{"fail-on": fail_on})))
        lab.grid.sleep(1e3)
    assert [reply.content["seen"]["times"] for reply in replies] == [3, 2, 3]


def test_changing_the_run_config_is_the_clients_error_as_in_flower(app_grid):
    lab = app_grid(LEARNER, devices=2, policy=RoundPolicy(failures="error"), run_config={"lr": 0.1})
    replies = list(lab.grid.send_and_receive(messages(lab.grid, meddle=True)))
    assert all(reply.error.reason.startswith("ValueError: the ClientApp changed its run_config") for reply in replies)


def test_random_draws_follow_from_the_seed_and_the_message_alone(app_grid):
    def drawn():
        lab = app_grid(LEARNER, devices=4)
        random.seed()
        replies = lab.grid.send_and_receive(messages(lab.grid, "train"))
        return [[reply.content["metrics"][name] for name in ("torch", "numpy", "python")] for reply in replies]

    first = drawn()
    assert first == drawn()
    assert len({tuple(row) for row in first}) == 4


def test_running_a_client_in_this_process_leaves_its_generators_alone(app_grid):
    lab = app_grid(LEARNER, devices=2)
    random.seed(1)
    expected = random.Random(1).random()
    lab.grid.send_and_receive(messages(lab.grid, "train"))
    assert random.random() == expected


def test_work_is_counted_once_per_shape_and_priced_by_what_was_executed(app_grid):
    lab = app_grid(LEARNER, devices=8)
    for round_ in (1, 2):
        lab.grid.send_and_receive(messages(lab.grid, "train", **{"server-round": round_}))
        lab.grid.sleep(1e3)
    counts = sorted(sum(count["forward_macs"].values()) for count in lab.runtime.counts.values())
    assert counts == [8 * 4 * 3, 16 * 4 * 3]  # two sizes of client data, in both rounds
    rows = lab.ledger.columns()
    same = rows["profile"] == rows["profile"][0]
    assert len(np.unique(rows["examples"][same])) <= 2
    for examples in np.unique(rows["examples"][same]):
        times = rows["train_s"][same & (rows["examples"] == examples)]
        assert np.ptp(times) == 0
        assert times[0] > 0


def test_bytes_are_those_of_the_protobuf_forms(app_grid):
    from fedlite.flower import compat

    lab = app_grid(LEARNER, devices=2)
    batch = messages(lab.grid, "train")
    sent = len(compat.to_bytes(batch[0].content))
    replies = list(lab.grid.send_and_receive(batch))
    rows = lab.ledger.columns()
    assert rows["down_bytes"].tolist() == [sent, sent]
    assert rows["up_bytes"].tolist() == [len(compat.to_bytes(reply.content)) for reply in replies]


NUMPY_ONLY = """
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()

@app.train()
def train(msg, context):
    arrays = [0.9 * a + 1 for a in msg.content["arrays"].to_numpy_ndarrays()]
    content = RecordDict({"arrays": ArrayRecord(arrays), "metrics": MetricRecord({"num-examples": 10})})
    return Message(content, reply_to=msg)
"""


def test_work_that_nobody_can_count_costs_its_bytes_and_is_told_once(app_grid, caplog):
    lab = app_grid(NUMPY_ONLY, devices=2)
    for _ in range(2):
        replies = lab.grid.send_and_receive(messages(lab.grid, "train"))
        assert not any(reply.has_error() for reply in replies)
    rows = lab.ledger.columns()
    assert set(rows["outcome"]) == {"arrived"}
    assert (rows["up_s"] > 0).all()
    assert rows["train_s"].tolist() == [0.0] * 4
    assert list(lab.runtime.prices.uncounted) == ["train"]
    assert ["--macs train=2e6" in record.getMessage() for record in caplog.records] == [True]


def test_declared_work_is_priced_in_proportion_and_nothing_is_counted(app_grid):
    times = []
    for macs in (1e6, 2e6):
        lab = app_grid(NUMPY_ONLY, devices=2, declared=Declared.working(macs, 5e6))
        lab.grid.send_and_receive(messages(lab.grid, "train"))
        rows = lab.ledger.columns()
        times.append(rows["train_s"])
        assert not lab.runtime.counts
        assert rows["peak_bytes"].tolist() == [5e6, 5e6]
    np.testing.assert_allclose(times[1], 2 * times[0])


def test_a_job_that_does_not_fit_the_memory_is_refused_and_its_state_thrown_away(app_grid):
    lab = app_grid(NUMPY_ONLY, devices=2, declared=Declared.working(1e6, 1e12))
    assert next(iter(lab.grid.send_and_receive(messages(lab.grid, "train"), timeout=9))).has_error()
    assert set(lab.ledger.columns()["outcome"]) == {"out_of_memory"}
    assert lab.runtime.states == {}


def test_nodes_learn_their_partition_and_what_kind_of_device_they_are(app_grid):
    lab = app_grid(LEARNER, devices=3)
    config = lab.runtime.node_config(2)
    assert (config["partition-id"], config["num-partitions"]) == (2, 3)
    assert config["fedlite-tier"] == "sbc"


def test_two_messages_to_one_node_in_a_batch_are_both_answered_one_after_the_other(app_grid):
    lab = app_grid(LEARNER, devices=2)
    first, second = lab.grid.get_node_ids()
    sent = messages(lab.grid, nodes=[first, second, first])
    replies = list(lab.grid.send_and_receive(sent))
    assert [reply.metadata.src_node_id for reply in replies] == [first, second, first]
    assert not any(reply.has_error() for reply in replies)
    rows = lab.ledger.columns()
    began, ended = rows["start_s"][rows["device"] == 0], rows["end_s"][rows["device"] == 0]
    assert began.tolist() == [0.0, ended.min()]
    assert lab.grid.clock.now_s == rows["end_s"].max()


def test_who_is_at_work_is_still_a_node_and_takes_a_second_message_in_its_turn(app_grid):
    lab = app_grid(LEARNER, devices=2, policy=RoundPolicy(asks_busy=True))
    nodes = lab.grid.get_node_ids()
    pushed = lab.grid.push_messages(messages(lab.grid, "train"))
    assert lab.grid.get_node_ids() == nodes
    asked = messages(lab.grid, nodes=nodes)
    answers = list(lab.grid.send_and_receive(asked))
    assert [answer.metadata.reply_to_message_id for answer in answers] == [each.metadata.message_id for each in asked]
    assert len(lab.grid.pull_messages(pushed)) == 2
    rows = lab.ledger.columns()
    for device in (0, 1):
        mine = rows["device"] == device
        assert rows["start_s"][mine][1] == rows["end_s"][mine][0] > 0


def test_turns_come_in_time_while_the_server_only_waits(app_grid):
    lab = app_grid(LEARNER, devices=1, policy=RoundPolicy(asks_busy=True))
    [node] = lab.grid.get_node_ids()
    ids = lab.grid.push_messages(messages(lab.grid, nodes=[node, node]))
    lab.grid.wait()
    lab.grid.wait()
    lab.grid.pull_messages(ids)
    lab.grid.finish()
    rows = lab.ledger.columns()
    assert rows["start_s"][1] == rows["end_s"][0]


def test_natively_who_is_at_work_is_no_node(app_grid):
    lab = app_grid(LEARNER, devices=2)
    lab.grid.push_messages(messages(lab.grid, "train")[:1])
    assert len(lab.grid.get_node_ids()) == 1


def test_a_turn_that_comes_after_the_deadline_is_not_waited_for(app_grid):
    lab = app_grid(LEARNER, devices=1, policy=RoundPolicy(asks_busy=True))
    [node] = lab.grid.get_node_ids()
    lab.grid.push_messages(messages(lab.grid, "train"))
    assert lab.grid.send_and_receive(messages(lab.grid, nodes=[node]), timeout=1e-3) == []
    assert lab.grid.clock.now_s == 1e-3
    lab.grid.sleep(3600.0)
    lab.grid.finish()
    assert lab.ledger.columns()["outcome"].tolist() == ["arrived"]


def test_messages_pushed_one_by_one_compute_side_by_side(app_grid):
    lab = app_grid(LEARNER, devices=4)
    order = []
    pool = lab.runtime.pool
    submit, collect = pool.submit, pool.collect
    pool.submit = lambda *given: (order.append("submit"), submit(*given))[1]
    pool.collect = lambda *given: (order.append("collect"), collect(*given))[1]
    ids = [lab.grid.push_messages([message])[0] for message in messages(lab.grid, "train")]
    assert lab.grid.pull_messages(ids)
    assert order[:5] == ["submit"] * 4 + ["collect"]


def test_a_message_to_a_node_that_is_not_in_the_fleet_is_refused(app_grid):
    lab = app_grid(LEARNER, devices=2)
    with pytest.raises(FedliteError, match="not in the fleet"):
        lab.grid.send_and_receive(messages(lab.grid, nodes=[7]))


def test_pushed_messages_are_pulled_in_order_of_arrival_and_sleeping_moves_the_clock(app_grid):
    lab = app_grid(LEARNER, devices=4)
    waiting = lab.grid.push_messages(messages(lab.grid, "train"))
    arrivals = []
    while waiting:
        for reply in lab.grid.pull_messages(waiting):
            waiting.remove(reply.metadata.reply_to_message_id)
            arrivals.append(lab.grid.clock.now_s)
    assert len(arrivals) == 4
    assert arrivals == sorted(arrivals)
    before = lab.grid.clock.now_s
    lab.grid.sleep(3.0)
    assert lab.grid.clock.now_s == before + 3.0


WIRED = """
import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()

@app.train()
def train(msg, context):
    [received] = msg.content["arrays"].to_numpy_ndarrays()
    content = RecordDict({"arrays": ArrayRecord([received + 1]), "metrics": MetricRecord({"num-examples": 1})})
    content["counts"] = ArrayRecord([np.arange(3)])
    content["metrics"]["received"] = received.ravel().tolist()
    return Message(content, reply_to=msg)
"""


def test_a_wire_codec_really_changes_what_clients_read_and_what_is_charged(app_grid):
    from fedlite.flower.app_classes import AppClass
    from fedlite.flower.app_wire import AppWire

    lab = app_grid(WIRED, devices=2, declared=Declared.working(1e6))
    lab.runtime.classes = [AppClass(wire=AppWire(down=("fp16",), up=("int8",)))] * len(lab.runtime.classes)
    sent = np.linspace(0, 1 / 3, 1000, dtype=np.float32)
    content = RecordDict({"arrays": ArrayRecord([sent]), "config": ConfigRecord({})})
    replies = list(lab.grid.send_and_receive([Message(content, node, "train") for node in lab.grid.get_node_ids()]))
    halved = sent.astype(np.float16).astype(np.float32)
    for reply in replies:
        np.testing.assert_array_equal(reply.content["metrics"]["received"], halved.tolist())
        [got] = reply.content["arrays"].to_numpy_ndarrays()
        np.testing.assert_allclose(got, halved + 1, atol=0.02)
        assert reply.content["counts"].to_numpy_ndarrays()[0].tolist() == [0, 1, 2]
    rows = lab.ledger.columns()
    assert (rows["down_bytes"] < 2000 + 300).all()
    assert (rows["down_raw_bytes"] > 4000).all()
    assert (rows["up_bytes"] < rows["up_raw_bytes"] - 2500).all()


def test_a_top_k_upload_is_an_update_of_what_came_down(app_grid):
    from fedlite.flower.app_classes import AppClass
    from fedlite.flower.app_wire import AppWire

    lab = app_grid(WIRED, devices=1, declared=Declared.working(1e6))
    lab.runtime.classes = [AppClass(wire=AppWire(up=("topk:0.1",)))] * len(lab.runtime.classes)
    sent = np.arange(100, dtype=np.float32)
    content = RecordDict({"arrays": ArrayRecord([sent]), "config": ConfigRecord({})})
    [reply] = lab.grid.send_and_receive([Message(content, lab.grid.get_node_ids()[0], "train")])
    [got] = reply.content["arrays"].to_numpy_ndarrays()
    assert sorted((got - sent).tolist()) == [0.0] * 90 + [1.0] * 10


def test_classes_have_codecs_of_their_own(app_grid):
    from fedlite.flower.app_classes import AppClass
    from fedlite.flower.app_wire import AppWire

    lab = app_grid(WIRED, devices=2, declared=Declared.working(1e6))
    lab.runtime.profile_of = np.array([0, 1], np.int16)
    lab.runtime.prices._profiles = lab.runtime._profiles = [lab.runtime._profiles[0]] * 2
    lab.runtime.classes = [AppClass(), AppClass("small", AppWire(down=("int8",), up=("fp16",)))]
    sent = np.linspace(0, 1 / 3, 1000, dtype=np.float32)
    content = RecordDict({"arrays": ArrayRecord([sent]), "config": ConfigRecord({})})
    replies = list(lab.grid.send_and_receive([Message(content, node, "train") for node in lab.grid.get_node_ids()]))
    received = [np.array(reply.content["metrics"]["received"]) for reply in replies]
    np.testing.assert_array_equal(received[0], sent)
    assert 0 < np.abs(received[1] - sent).max() < 0.01
    rows = lab.ledger.columns()
    assert rows["plan"].tolist() == ["app", "small"]
    assert rows["down_bytes"][1] < rows["down_bytes"][0] / 3
    assert rows["up_bytes"][1] < rows["up_bytes"][0] - 1500


@pytest.mark.parametrize("declared", [Declared({}, 1e12), Declared()])
def test_a_class_that_can_never_run_is_told_before_its_first_job_is_priced(app_grid, caplog, declared):
    from fedlite.flower.app_classes import AppClass

    lab = app_grid(LEARNER, devices=2, declared=declared)
    lab.runtime.classes = [AppClass(wall_bytes=1e6)] * len(lab.runtime.classes)
    lab.runtime.tell_misfits("train", None, 0.0)
    assert bool(lab.runtime.misfits) == (declared.memory_bytes is not None)
    for _ in range(2):
        lab.grid.send_and_receive(messages(lab.grid, "train"))
    assert list(lab.runtime.misfits) == [profile.name for profile in lab.runtime._profiles]
    assert all("is killed at 1 MB" in reason for reason in lab.runtime.misfits.values())
    told = [record.getMessage() for record in caplog.records if "can never take part" in record.getMessage()]
    assert [", ".join(lab.runtime.misfits) in text for text in told] == [True]


DIVERGING = """
import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()

@app.train()
def train(msg, context):
    [received] = msg.content["arrays"].to_numpy_ndarrays()
    if context.node_config["partition-id"] == 1:
        received = np.full_like(received, VALUE)
    arrays = ArrayRecord([received])
    for name, array in arrays.items():
        if context.node_config["partition-id"] == 1 and UNTYPED:
            arrays[name] = Array("", (), array.stype, array.data)
    content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 1})})
    return Message(content, reply_to=msg)
"""


@pytest.mark.parametrize(
    ("value", "untyped", "drops", "codec", "outcome"),
    [
        ("np.nan", False, True, "fp32", "diverged"),
        ("np.nan", False, False, "int8", "diverged"),
        ("np.nan", True, False, "int8", "diverged"),  # as older clients send arrays
        ("np.nan", True, True, "fp32", "diverged"),
        ("np.inf", False, False, "int8", "diverged"),
        ("1e6", False, False, "fp16", "diverged"),
        ("1e6", False, True, "bf16", "arrived"),
        ("np.nan", False, False, "fp32", "arrived"),
    ],
)
def test_numbers_that_no_codec_holds_are_dropped_unless_they_are_the_apps_own_affair(
    app_grid, value, untyped, drops, codec, outcome
):
    from fedlite.flower.app_classes import AppClass
    from fedlite.flower.app_wire import AppWire

    source = DIVERGING.replace("VALUE", value).replace("UNTYPED", str(untyped))
    lab = app_grid(source, devices=3, declared=Declared.working(1e6, 1e6))
    lab.runtime.drops_diverged = drops
    lab.runtime.classes = [AppClass(wire=AppWire(up=(codec,)))] * len(lab.runtime.classes)
    content = RecordDict({"arrays": ArrayRecord([np.ones(4, np.float32)]), "config": ConfigRecord({})})
    replies = list(lab.grid.send_and_receive([Message(content, node, "train") for node in lab.grid.get_node_ids()]))
    assert lab.ledger.columns()["outcome"].tolist() == ["arrived", outcome, "arrived"]
    assert [reply.has_error() for reply in replies] == [False, outcome == "diverged", False]


def test_declared_work_leaves_memory_to_be_counted(app_grid):
    lab = app_grid(NUMPY_ONLY, devices=2, declared=Declared.working(1e6))
    lab.grid.send_and_receive(messages(lab.grid, "train"))
    rows = lab.ledger.columns()
    assert (rows["peak_bytes"] >= 66e6).all()
    assert (rows["train_s"] > 0).all()
    assert not lab.runtime.prices.uncounted
