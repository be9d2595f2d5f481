"""What every `Exchange` must do: a batch of messages through clients, whoever computes them.

A new kind of client is tested by one more function like `native` and `app` below, which make a runtime.
"""

import dataclasses
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict

from fedlite import wire
from fedlite.compose import fleet as compose_fleet
from fedlite.compose import runtimes
from fedlite.compose.learning import prepare
from fedlite.engine.pool import LocalPool
from fedlite.flower import compat, strategies
from fedlite.flower.app_classes import AppClass
from fedlite.flower.app_prices import AppPrices, Declared
from fedlite.flower.app_runtime import AppRuntime, worker_spec
from fedlite.flower.app_wire import AppWire
from fedlite.flower.records import from_record, in_types, to_record, types_of
from fedlite.scenario.loader import load_fleet, parse_scenario
from fedlite.scenario.profiles import load_profile

SCENARIO = """
name: battery
seed: 4
fleet: {{devices: 8, mix: {{pixel-4: 50 %, pi-4b: 50 %}}, rules: {{charging: false, unmetered: false, idle: false}}}}
task: {{data: digits, partition: {{kind: dirichlet, alpha: 1.0}}, model: {{name: mlp, options: {{hidden: [4]}}}}}}
training: {{rounds: 1, clients_per_round: 4, replies: {replies}, local: {{batch_size: 64, lr: 0.1}}}}
wire: {{up: {up}, down: {down}, error_feedback: {feedback}}}
"""
APP = """
import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
@app.evaluate()
def answer(msg, context):
    own = context.node_config["partition-id"]
    if "fail" in msg.content["config"] and own == msg.content["config"]["fail"]:
        raise ValueError("as asked")
    before = context.state["seen"]["times"] if "seen" in context.state else 0
    context.state["seen"] = ConfigRecord({"times": before + 1})
    shift = 0.1 * own + 0.01 * before + 0.001 * np.random.rand()
    record = ArrayRecord()
    for name, array in msg.content["arrays"].items():
        values = array.numpy()
        record[name] = Array(np.asarray(values + (shift if values.dtype.kind == "f" else 1), dtype=values.dtype))
    metrics = MetricRecord({"num-examples": 10 + own, "train_loss": 0.5 + own})
    return Message(RecordDict({"arrays": record, "metrics": metrics}), reply_to=msg)
"""
ORDER = [6, 1, 4, 3, 0]
"""Devices asked, in the order of the messages."""
EVERYBODY = np.ones(len(ORDER), dtype=bool)


def native(folder, *, replies="separate", up="fp32", down="fp32", feedback="false"):
    """Return fedlite's own trainer as a runtime, and the model it trains."""
    del folder
    scenario = parse_scenario(SCENARIO.format(replies=replies, up=up, down=down, feedback=feedback))
    learning = prepare(scenario)
    classes = compose_fleet.classes(scenario, learning)
    fleet = compose_fleet.build(scenario, [c.profile for c in classes], [False] * len(classes))
    task = runtimes.native_task(scenario, learning, classes, fleet)
    pool = LocalPool(runtimes.worker_spec(scenario, learning, task))
    runtime = runtimes.runtime(scenario, task, fleet, pool, strategies.build(scenario))
    return SimpleNamespace(runtime=runtime, names=learning.names, arrays=learning.arrays)


def app(folder, *, up="fp32", down="fp32"):
    """Return a ClientApp that remembers as a runtime, and a model with a counter."""
    name = f"battery_{folder.name.replace('-', '_')}"
    (folder / f"{name}.py").write_text(textwrap.dedent(APP), encoding="utf-8")
    path = folder / "fleet.yaml"
    path.write_text("name: battery\nseed: 4\nfleet: {devices: 8, mix: iot-gateway}\n", encoding="utf-8")
    scenario = load_fleet(path)
    profiles = [load_profile(each) for each in scenario.fleet.mix]
    fleet = compose_fleet.build(scenario, profiles, [False] * len(profiles))
    runtime = AppRuntime(
        LocalPool(worker_spec(f"{name}:app", folder, {})),
        profiles,
        fleet.population.profile_of,
        AppPrices(profiles, Declared.working(1e6)),
        seed=4,
        classes=[AppClass(wire=AppWire((down,), (up,)))] * len(profiles),
    )
    arrays = [np.linspace(-1, 1, 40, dtype=np.float32).reshape(8, 5), np.array(3, np.int64)]
    return SimpleNamespace(runtime=runtime, names=("weight", "count"), arrays=arrays)


CLIENTS = {
    "native": native,
    "native, int8": lambda folder: native(folder, up="int8", down="fp16"),
    "native, entropy coded, feedback": lambda folder: native(folder, up="topk:0.2+int8+zstd", feedback="true"),
    "native, reduced": lambda folder: native(folder, replies="reduced"),
    "app": app,
    "app, int8": lambda folder: app(folder, up="int8", down="fp16"),
}
REDUCED = ("native, reduced",)
"""One reply stands for all that arrived."""
REMEMBER = ("native, entropy coded, feedback", "app", "app, int8")
"""What these clients send depends on what they sent before."""
every_kind = pytest.mark.parametrize("kind", CLIENTS)
every_single_reply = pytest.mark.parametrize("kind", [kind for kind in CLIENTS if kind not in REDUCED])


@pytest.fixture
def lab(tmp_path):
    """Return a function that makes fresh clients of a kind and opens exchanges with them."""

    def make(kind):
        made = CLIENTS[kind](tmp_path)
        compat.become_server(1)
        record = to_record(made.names, made.arrays)

        def open_(order=ORDER, *, message_type="train", batch=0, **config):
            content = RecordDict({"arrays": record, "config": ConfigRecord({"server-round": 1, **config})})
            messages = [Message(content, device + 1024, message_type) for device in order]
            for device, message in zip(order, messages, strict=True):
                compat.set_ids(message, f"battery-{batch}-{device}", 1)
            return made.runtime.open(messages, np.array(order, dtype=np.int64), 0.0)

        return SimpleNamespace(open=open_, names=made.names, arrays=made.arrays)

    return make


def through(exchange, order=ORDER, arrived=None):
    """Run an exchange to its end and return its replies as bytes."""
    everybody = np.ones(len(order), dtype=bool)
    exchange.start(everybody, everybody)
    exchange.finish()
    arrived = np.ones(len(order), dtype=bool) if arrived is None else arrived
    exchange.settle(arrived, everybody)
    return [None if reply is None else compat.to_bytes(reply) for reply in exchange.replies(arrived)]


def fields(record):
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


@every_kind
@pytest.mark.parametrize("message_type", ["train", "evaluate"])
def test_work_is_a_finite_amount_per_message(lab, kind, message_type):
    exchange = lab(kind).open(message_type=message_type)
    before = fields(exchange.demands)
    through(exchange)
    for work in (before, fields(exchange.demands)):
        for name, values in work.items():
            assert np.shape(values) == (len(ORDER),), name
            assert np.isfinite(values).all(), name
            assert (np.asarray(values) >= 0).all(), name
    assert (exchange.demands.up_bytes > 0).all()
    assert (exchange.demands.down_bytes > 0).all()
    if exchange.final:
        np.testing.assert_array_equal(before["up_bytes"], exchange.demands.up_bytes)
    for name in set(before) - {"up_bytes"}:
        np.testing.assert_array_equal(before[name], getattr(exchange.demands, name), err_msg=name)


@every_kind
@pytest.mark.parametrize("message_type", ["train", "evaluate"])
def test_facts_are_one_per_message(lab, kind, message_type):
    exchange = lab(kind).open(message_type=message_type)
    through(exchange)
    for name, values in fields(exchange.facts).items():
        assert np.shape(values) == (len(ORDER),), name
    facts = exchange.facts
    assert facts.reason.tolist() == [""] * len(ORDER)
    assert np.isfinite(facts.loss).all()
    assert (facts.examples > 0).all()
    assert (facts.energy_low <= 1).all()
    assert (facts.energy_high >= 1).all()
    assert (facts.down_raw_bytes > 0).all()
    assert (facts.up_raw_bytes > 0).all()


@every_single_reply
def test_replies_are_there_for_arrived_jobs_only_in_the_order_of_the_messages(lab, kind):
    whole = through(lab(kind).open())
    assert None not in whole
    assert len(set(whole)) == len(ORDER)
    arrived = np.array([True, False, True, True, False])
    some = through(lab(kind).open(), arrived=arrived)
    assert some == [reply if here else None for reply, here in zip(whole, arrived.tolist(), strict=True)]


@every_kind
def test_one_by_one_replies_are_those_of_the_batch(lab, kind):
    exchange = lab(kind).open()
    exchange.start(EVERYBODY, EVERYBODY)
    exchange.finish()
    exchange.settle(EVERYBODY, EVERYBODY)
    for position in range(len(ORDER)):
        alone = [place == position for place in range(len(ORDER))]
        replies = exchange.replies(np.array(alone))
        assert [reply is not None for reply in replies] == alone


@every_kind
def test_nobody_arrived_means_no_reply(lab, kind):
    assert through(lab(kind).open(), arrived=np.zeros(len(ORDER), dtype=bool)) == [None] * len(ORDER)


@every_single_reply
def test_the_order_of_messages_changes_no_devices_own_result(lab, kind):
    order = [ORDER[place] for place in (3, 0, 4, 2, 1)]
    first, second = lab(kind).open(), lab(kind).open(order)
    replies = dict(zip(ORDER, through(first), strict=True))
    assert dict(zip(order, through(second), strict=True)) == replies
    for get in (lambda exchange: fields(exchange.demands), lambda exchange: fields(exchange.facts)):
        for name, values in get(first).items():
            mine = dict(zip(ORDER, np.asarray(values).tolist(), strict=True))
            assert dict(zip(order, np.asarray(get(second)[name]).tolist(), strict=True)) == mine, name


@every_kind
def test_the_same_exchange_twice_gives_the_same_bits(lab, kind):
    pairs = []
    for _ in range(2):
        exchange = lab(kind).open()
        pairs.append((through(exchange), {**fields(exchange.demands), **fields(exchange.facts)}))
    (first, facts), (second, again) = pairs
    assert first == second
    for name, values in facts.items():
        np.testing.assert_array_equal(values, again[name], err_msg=name)


@every_single_reply
def test_jobs_that_are_not_worth_it_change_nothing_for_the_others(lab, kind):
    alive = np.array([True, True, False, True, False])
    exchange = lab(kind).open()
    exchange.start(alive, alive)
    exchange.finish()
    exchange.settle(alive, alive)
    whole = through(lab(kind).open())
    for position, reply in enumerate(exchange.replies(alive)):
        assert (reply is not None) == alive[position]
        if reply is not None:
            assert compat.to_bytes(reply) == whole[position]


@pytest.mark.parametrize("kind", REMEMBER)
def test_clients_remember_only_what_arrived(lab, kind):
    arrived = np.array([True, False, True, False, False])
    everybody, some = lab(kind), lab(kind)
    assert through(everybody.open()) == through(lab(kind).open())
    through(some.open(), arrived=arrived)
    next_, next_of_some = through(everybody.open(batch=1)), through(some.open(batch=1))
    same = [one == other for one, other in zip(next_, next_of_some, strict=True)]
    assert same == arrived.tolist()


@pytest.mark.parametrize("kind", ["app", "app, int8"])
def test_a_lost_reply_leaves_an_apps_node_as_it_was(lab, kind):
    clients = lab(kind)
    through(clients.open(), arrived=np.zeros(len(ORDER), dtype=bool))
    assert through(clients.open(batch=1)) == through(lab(kind).open(batch=1))


@pytest.mark.parametrize(("kind", "up"), [("native", "fp32"), ("native, int8", "int8")])
def test_booked_bytes_are_the_length_of_the_encoded_model(lab, kind, up):
    clients = lab(kind)
    exchange = clients.open()
    for reply, booked in zip(through(exchange), exchange.demands.up_bytes.tolist(), strict=True):
        [record] = compat.from_bytes(reply).array_records.values()
        sent = in_types(from_record(record), types_of(clients.arrays))
        # Packets of these codecs are as long whatever the values are.
        assert booked == len(wire.encode(sent, (up,), np.random.default_rng(0)))


@pytest.mark.parametrize(("kind", "message_type"), [("app", "train"), ("app", "evaluate"), ("native", "evaluate")])
def test_booked_bytes_are_the_length_of_the_reply_as_flower_sends_it(lab, kind, message_type):
    exchange = lab(kind).open(message_type=message_type)
    replies = through(exchange)
    assert exchange.demands.up_bytes.tolist() == [len(reply) for reply in replies]


@pytest.mark.parametrize("kind", ["native", "native, reduced", "app"])
def test_a_downlink_of_plain_numbers_is_charged_in_full(lab, kind):
    clients = lab(kind)
    model_bytes = sum(array.nbytes for array in clients.arrays)
    exchange = clients.open()
    assert (exchange.demands.down_bytes > model_bytes).all()
    assert (exchange.demands.storage_bytes >= exchange.demands.down_bytes).all()


def test_the_reduced_reply_is_the_mean_of_the_single_ones(lab):
    arrived = np.array([False, True, True, True, True])
    single, reduced = (lab(kind) for kind in ("native", "native, reduced"))
    found = [compat.from_bytes(reply) for reply in through(single.open(), arrived=arrived) if reply]
    weights = np.array([reply["metrics"]["num-examples"] for reply in found], dtype=np.float64)
    models = [from_record(reply["arrays"]) for reply in found]
    exchange = reduced.open()
    exchange.start(arrived, arrived)
    exchange.finish()
    exchange.settle(arrived, EVERYBODY)
    replies = exchange.replies(arrived)
    assert [reply is not None for reply in replies] == [False, True, False, False, False]
    assert replies[1]["metrics"]["num-examples"] == weights.sum()
    for position, mean in enumerate(from_record(replies[1]["arrays"])):
        wanted = np.tensordot(weights / weights.sum(), np.stack([model[position] for model in models]), axes=1)
        np.testing.assert_allclose(mean, wanted, rtol=1e-5, atol=1e-6)


def test_an_apps_error_is_its_reply_and_is_charged(lab):
    exchange = lab("app").open(fail=4)
    exchange.start(EVERYBODY, EVERYBODY)
    exchange.finish()
    arrived = exchange.facts.reason == ""
    assert arrived.tolist() == [device != 4 for device in ORDER]
    exchange.settle(arrived, EVERYBODY)
    replies = exchange.replies(arrived)
    assert [isinstance(reply, Error) for reply in replies] == (~arrived).tolist()
    assert "as asked" in replies[ORDER.index(4)].reason
    assert exchange.demands.up_bytes[ORDER.index(4)] == compat.error_bytes(replies[ORDER.index(4)])
