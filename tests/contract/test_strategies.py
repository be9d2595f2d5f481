"""What every strategy must do with the replies it gets; a new strategy is tested by adding one line to STRATEGIES."""

from types import SimpleNamespace

import numpy as np
import pytest
from flwr.app import Error, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from own import strategies as strategies_named

from fedlite.flower import compat, strategies
from fedlite.flower.asynchronous import AsyncServer, FedAsync, FedBuff
from fedlite.flower.native_replies import EQUAL_WEIGHT
from fedlite.flower.records import averageable, from_record, in_types, to_record, types_of
from fedlite.flower.serving import serve
from fedlite.learning import models
from fedlite.rng import stream
from fedlite.scenario.loader import parse_scenario

SCENARIO = """
name: battery
fleet: {{devices: 9, mix: iot-gateway}}
task: {{data: digits, model: mlp}}
training: {{clients_per_round: 6, strategy: {strategy}}}
"""
OWN = """
from flwr.serverapp.strategy import FedAvg


def make():
    return FedAvg(fraction_train=0.6, fraction_evaluate=0.0, min_train_nodes=6, min_available_nodes=6)
"""
STRATEGIES = {
    "fedavg": "fedavg",
    "fedavgm": "fedavgm",
    "fedprox": "{name: fedprox, proximal_mu: 0.1}",
    "fedadam": "fedadam",
    "fedadagrad": "fedadagrad",
    "fedyogi": "fedyogi",
    "qfedavg": "qfedavg",
    "fedmedian": "fedmedian",
    "fedtrimmedavg": "fedtrimmedavg",
    "krum": "{name: krum, num_malicious_nodes: 1}",
    "multikrum": "{name: multikrum, num_malicious_nodes: 1, num_nodes_to_select: 3}",
    "bulyan": "bulyan",
    "feddf": "feddf",
    "a user's own": "'battery_own:make'",
    "fedbuff": lambda: FedBuff(buffer=3),
    "fedasync": FedAsync,
    **strategies_named(),
}
every_strategy = pytest.mark.parametrize("name", STRATEGIES)
NODES = list(range(1024, 1033))
ROUNDS = 4


class StubGrid(Grid):
    """Nodes that train by going a tenth of the way to one model; without clock, fleet and wire."""

    def __init__(self, goal, dtypes, *, silent=(), failing=()):
        self.goal, self.dtypes, self.silent, self.failing = goal, dtypes, silent, failing
        self.batches, self.sent, self.waiting = 0, 0, {}
        self.received = []
        compat.become_server(1)

    run = SimpleNamespace(run_id=1)

    def set_run(self, run):
        raise NotImplementedError

    def create_message(self, *arguments, **options):
        raise NotImplementedError

    def wait(self):
        raise AssertionError("there are nodes enough")

    def finish(self):
        self.waiting.clear()

    def get_node_ids(self):
        return [
            node for node in NODES if node not in {message.metadata.dst_node_id for message in self.waiting.values()}
        ]

    def send_and_receive(self, messages, *, timeout=None):
        replies = [self._reply(message) for message in self._numbered(messages)]
        return [reply for reply in replies if reply is not None]

    def push_messages(self, messages):
        batch = self._numbered(messages)
        self.waiting |= {message.metadata.message_id: message for message in batch}
        return [message.metadata.message_id for message in batch]

    def pull_messages(self, message_ids):
        first = self.waiting.pop(min(message_ids, key=lambda name: int(name.rpartition("-")[2])))
        # A server without rounds hears of whoever is silent in the end.
        return [self._reply(first) or compat.reply(first, Error(3, "silent"), "silent")]

    def _numbered(self, messages):
        batch = list(messages)
        self.batches += bool(batch)
        for message in batch:
            self.sent += 1
            compat.set_ids(message, f"battery-{self.sent}", 1)
        return batch

    def _reply(self, message):
        assert isinstance(message, Message)
        if self.batches in self.silent:
            return None
        name = f"{message.metadata.message_id}-reply"
        if self.batches in self.failing:
            return compat.reply(message, Error(5, "failed"), name)
        [record] = message.content.array_records.values()
        self.received.append(from_record(record))
        node = message.metadata.dst_node_id
        rng = stream(node, "battery node")
        arrays = [
            old + (0.1 + 0.01 * rng.random()) * (goal - old) if old.dtype.kind == "f" else old + node % 5 + 3
            for old, goal in zip(in_types(from_record(record), self.dtypes), self.goal, strict=True)
        ]
        values = averageable(in_types([np.asarray(array) for array in arrays], self.dtypes))
        metrics = MetricRecord({"num-examples": node - 1000, "train_loss": 1.5, EQUAL_WEIGHT: 1.0})
        return compat.reply(message, RecordDict({"arrays": to_record(list(record), values), "metrics": metrics}), name)


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Return a function that runs a strategy, and gives the first, the wanted, every tested and the final model."""
    (tmp_path / "battery_own.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    net = models.build("mlp", input_shape=(1, 8, 8), num_classes=10, seed=2, hidden=[4])
    names = [*net.state_dict(), "count", "flags"]
    first = [values.numpy().copy() for values in net.state_dict().values()]
    first += [np.array(0, np.int64), np.array([1, 2], np.uint8)]
    goal = [old + stream(1, "battery goal").choice([-0.9, 0.9], old.shape).astype(np.float32) for old in first[:-2]]
    goal += first[-2:]

    def run(name, seed=1, **options):
        grid = StubGrid(goal, types_of(first), **options)
        tested = []

        def test(round_, arrays):
            tested.append((round_, list(arrays)))
            return {}

        with compat.quiet_logs():
            if callable(STRATEGIES[name]):
                final = AsyncServer(grid, STRATEGIES[name](), 6, names, seed).run(first, ROUNDS, test)
            else:
                scenario = parse_scenario(SCENARIO.format(strategy=STRATEGIES[name]))
                served = strategies.build(scenario, fusion=lambda _round, mean, _replies: mean)
                final = serve(grid, served.strategy, names, first, ROUNDS, test, seed)
        return SimpleNamespace(first=first, goal=goal, tested=tested, final=final, received=grid.received)

    return run


def bits(arrays):
    return [(array.dtype.str, array.shape, array.tobytes()) for array in arrays]


def distance(one, other):
    return float(np.sqrt(sum(np.sum((a - b) ** 2.0) for a, b in zip(one[:-2], other[:-2], strict=True))))


@every_strategy
def test_the_model_moves_towards_the_replies(train, name):
    made = train(name)
    ways = [distance(arrays, made.goal) for _, arrays in made.tested]
    assert [round_ for round_, _ in made.tested] == list(range(ROUNDS + 1))
    assert ways[0] == distance(made.first, made.goal)
    assert ways[-1] == distance(made.final, made.goal)
    assert ways == sorted(ways, reverse=True)
    assert ways[-1] < ways[0]


@every_strategy
def test_the_same_seed_gives_the_same_bits_and_another_asks_others(train, name):
    one, again, other = train(name), train(name), train(name, seed=2)
    assert bits(one.final) == bits(again.final)
    assert bits(one.final) != bits(other.final)


@every_strategy
def test_types_and_shapes_stay_what_they_are(train, name):
    made = train(name)
    wanted = [(array.dtype, array.shape) for array in made.first]
    for arrays in (made.final, *(arrays for _, arrays in made.tested)):
        assert [(array.dtype, array.shape) for array in arrays] == wanted
    for arrays in made.received:
        assert [array.shape for array in arrays] == [shape for _, shape in wanted]


@every_strategy
def test_counters_are_rounded_and_not_cut(train, name):
    """Every node counts 3 to 7 steps more than it was told; whatever the strategy makes of it lies in between."""
    made = train(name)
    counts = [int(arrays[-2]) for _, arrays in made.tested]
    assert counts == sorted(counts)
    if name in (
        "fedavg",
        "feddf",
        "fedprox",
        "fedmedian",
        "fedtrimmedavg",
        "krum",
        "multikrum",
        "bulyan",
        "a user's own",
    ):
        steps = np.diff(counts)
        assert ((steps >= 3) & (steps <= 7)).all()


@every_strategy
@pytest.mark.parametrize("trouble", ["silent", "failing"])
def test_a_round_without_replies_leaves_the_model_and_the_next_goes_on(train, name, trouble):
    made = train(name, **{trouble: (2,)})
    tested = dict(made.tested)
    if not callable(STRATEGIES[name]):
        assert bits(tested[2]) == bits(tested[1])
    assert distance(made.final, made.goal) < distance(tested[1], made.goal)
    assert bits(made.final) == bits(train(name, **{trouble: (2,)}).final)


@pytest.mark.parametrize("name", [name for name in STRATEGIES if not callable(STRATEGIES[name])])
def test_nobody_ever_replying_leaves_the_first_model(train, name):
    """A server without rounds waits until somebody replies, so this is for the others."""
    made = train(name, silent=range(1, ROUNDS + 1))
    assert bits(made.final) == bits(made.first)
