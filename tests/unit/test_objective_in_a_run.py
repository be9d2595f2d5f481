"""A run's main metric from the trainer to its directory: columns, summary, target, progress."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from flwr.serverapp.strategy import FedAvg

from fedlite.compose.app_rounds import AppRounds
from fedlite.compose.round_log import RoundLog
from fedlite.compose.target import target_of
from fedlite.errors import FedliteError, InvalidFileError
from fedlite.fleet.ledger import Ledger
from fedlite.learning import objectives
from fedlite.learning.objectives import Metric
from fedlite.learning.objectives.cross_entropy import CrossEntropy
from fedlite.results.rounds import Rounds
from fedlite.runner import Settings, run
from fedlite.scenario.dump import dump_scenario
from fedlite.scenario.loader import parse_scenario

TEXT = """
name: tiny
fleet:
  devices: 6
  mix: {{pixel-4: 100 %}}
  rules: {{charging: false, unmetered: false, idle: false}}
task:
  data: digits
  clients: 6
  model: {model}
  objective: {objective}
training:
  rounds: 2
  clients_per_round: 3
  {target}
"""
AUTOENCODER = "{name: autoencoder, options: {hidden: [16]}}"


def scenario(model="mlp", objective="auto", target=""):
    return parse_scenario(TEXT.format(model=model, objective=objective, target=target))


class Unlucky(CrossEntropy):
    metrics = (Metric("round", "max"),)

    def summary(self, scores, targets, losses):
        return {"round": 1.0}


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory):
    seen = []
    done = run(
        scenario(AUTOENCODER, "reconstruction", "target: 0.9"),
        out=tmp_path_factory.mktemp("run") / "a",
        settings=Settings("local"),
        progress=seen.append,
    )
    return done, seen


def test_a_run_has_the_columns_of_its_own_objective(rebuilt):
    done, _ = rebuilt
    names = done.rounds.columns
    assert names[names.index("rmse") :] == ["rmse", "loss", "mae", "train_loss", "wall_s"]
    assert done.evaluation.columns == ["client", "device", "samples", "rmse", "loss"]
    np.testing.assert_allclose(done.rounds["rmse"] ** 2, done.rounds["loss"], rtol=1e-6)


def test_the_clients_learn_the_objective_too(rebuilt):
    done, _ = rebuilt
    assert done.rounds["rmse"][-1] < done.rounds["rmse"][0]
    # Over random nets classes would cost the logarithm of their number, squares of standardised pixels about 1.
    assert done.rounds["train_loss"][1] < 1.5


class Told(FedAvg):
    """Has the clients test too, and keeps what their replies say."""

    seen = []  # noqa: RUF012 (read by the test)

    def __init__(self, **options):
        super().__init__(**options, fraction_evaluate=0.5)

    def aggregate_evaluate(self, server_round, replies):
        replies = list(replies)
        self.seen += [dict(reply.content.metric_records["metrics"]) for reply in replies if reply.has_content()]
        return super().aggregate_evaluate(server_round, replies)


def test_the_clients_own_tests_tell_every_metric_and_pay_for_it(tmp_path):
    Told.seen.clear()
    text = TEXT.format(model=AUTOENCODER, objective="reconstruction", target=f"strategy: '{__name__}:Told'")
    done = run(parse_scenario(text), out=tmp_path / "a", settings=Settings("local"))
    tests = done.clients.filter(pl.col("kind") == "evaluate")
    assert tests.height > 0
    assert tests["up_bytes"].n_unique() == 1
    assert len(Told.seen) == tests.height
    for told in Told.seen:
        assert {"eval_rmse", "eval_loss", "eval_mae"} <= set(told)
        assert told["eval_rmse"] ** 2 == pytest.approx(told["eval_loss"])


def test_the_summary_names_the_main_metric(rebuilt):
    done, _ = rebuilt
    assert done.summary["main_metric"] == {"name": "rmse", "goal": "min", "unit": ""}
    assert done.summary["other_metrics"] == [{"name": "mae", "goal": "min", "unit": ""}]
    assert list(done.summary["metrics"])[:3] == ["rmse", "loss", "mae"]
    assert done.summary["metrics"]["rmse"] == done.rounds["rmse"][-1]


def test_an_error_meets_its_target_from_above(rebuilt):
    done, _ = rebuilt
    first = done.rounds.filter(pl.col("rmse") <= 0.9)
    expected = float(first["round"][0]) if first.height else None
    assert done.summary["metrics"]["rounds_to_target"] == expected


def test_whoever_watches_is_told_the_main_metric(rebuilt):
    done, seen = rebuilt
    assert {now.metric for now in seen} == {"rmse"}
    assert [now.value for now in seen if not now.doing] == done.rounds["rmse"].to_list()


def test_classes_keep_the_columns_that_they_had(tmp_path):
    done = run(scenario(), out=tmp_path / "a", settings=Settings("local"))
    names = done.rounds.columns
    assert names[names.index("down_bytes") + 1 :] == ["accuracy", "loss", "macro_f1", "train_loss", "wall_s"]
    assert done.evaluation.columns == ["client", "device", "samples", "accuracy", "loss"]
    assert done.summary["main_metric"] == {"name": "accuracy", "goal": "max", "unit": "share"}


@pytest.mark.parametrize(
    ("objective", "target", "metric", "value", "reached"),
    [
        ("cross-entropy", "target: 90 %", "accuracy", 0.9, [0.9, 1.0]),
        ("cross-entropy", "target_accuracy: 90 %", "accuracy", 0.9, [0.9, 1.0]),
        ("next-character", "target: 12", "perplexity", 12.0, [12.0, 3.0]),
        ("next-character", "target_accuracy: 0.5", "accuracy", 0.5, [0.5, 0.9]),
    ],
)
def test_a_target_is_of_the_main_metric_or_of_the_accuracy(objective, target, metric, value, reached):
    found = target_of(scenario(target=target), objectives.objective(objective))
    assert (found.metric.name, found.value) == (metric, value)
    assert all(map(found.reached_by, reached))
    assert not found.reached_by(float("nan"))
    assert not found.reached_by(value - 0.1 if found.metric.goal == "max" else value + 0.1)


def test_a_target_is_written_as_it_is_read():
    told = scenario(target="target: 90 %")
    assert parse_scenario(dump_scenario(told)).training.target == 0.9


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("target_accuracy: 0.9", "which has no accuracy; write 'target: ...', the wanted rmse"),
        ("target: high", "training.target: got 'high'"),
    ],
)
def test_a_target_that_has_no_metric_is_refused_in_the_file(target, text):
    with pytest.raises(InvalidFileError, match=text):
        scenario(AUTOENCODER, "reconstruction", target)


def test_two_targets_are_refused():
    with pytest.raises(InvalidFileError, match=r"training\.target_accuracy: got 0\.9 beside training\.target"):
        scenario(target="target_accuracy: 0.9\n  target: 0.8")


def test_a_target_of_ones_own_objective_is_judged_when_it_is_known(tmp_path):
    name = f"'{__name__}:Unlucky'"
    with pytest.raises(FedliteError, match=r"training\.target_accuracy: got 0\.9 with the objective"):
        run(scenario(objective=name, target="target_accuracy: 0.9"), out=tmp_path / "a", settings=Settings("local"))
    assert not (tmp_path / "a").exists()


def test_a_metric_cannot_take_the_name_of_a_column(tmp_path):
    with pytest.raises(FedliteError, match="got a metric called 'round'"):
        run(scenario(objective=f"'{__name__}:Unlucky'"), out=tmp_path / "a", settings=Settings("local"))
    assert not (tmp_path / "a").exists()
    with pytest.raises(FedliteError, match="energy_j"):
        Rounds(("accuracy", "energy_j"))


class _Grid:
    eligible = 3
    ledger = Ledger()
    on_train = None

    class clock:  # noqa: N801 (stands for an attribute)
        now_s = 0.0

    class fleet:  # noqa: N801
        check_ins = None


@pytest.mark.parametrize(
    ("told", "main", "shown"),
    [
        ({"eval_acc": 0.7, "eval_loss": 1.0}, "accuracy", 0.7),
        ({"eval_loss": 1.5}, "loss", 1.5),
        ({"bleu": 3.0}, "loss", float("nan")),
    ],
)
def test_an_app_is_judged_by_its_accuracy_or_else_by_its_loss(told, main, shown):
    seen = []
    log = RoundLog(_Grid(), objectives.objective("cross-entropy").metrics, seen.append)
    rounds = AppRounds(_Grid(), log)
    rounds.evaluated(0, told)
    rounds.finish()
    assert log.main.name == main
    assert seen[-1].metric == main
    assert seen[-1].value == pytest.approx(shown, nan_ok=True)
