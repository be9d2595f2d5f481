"""Whoever has a Flower app, old or new, gets Flower's own result: an app of every kind, against a computation here.

The apps are in `apps/`; `docs/reference/flower-apps.md` has a row for each, and the name of the test that holds it.
Each is whole by itself, as an app directory has to be, so that they repeat each other's clients.
"""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from fedlite.flower.app_prices import Declared
from fedlite.results.directory import RunDirectory
from fedlite.runner import Settings, run_app
from fedlite.scenario.loader import load_fleet

HERE = Path(__file__).parent
TABLE = HERE.parent.parent / "docs" / "reference" / "flower-apps.md"
DEVICES, ROUNDS, LR = 5, 3, 0.1
EVERYBODY = range(DEVICES)


@pytest.fixture
def finished(tmp_path):
    """Return a function that runs an app on five always-available devices, and returns its run and final arrays."""

    def run(kind, *, run_config="", macs=None, training="", name="run"):
        fleet = tmp_path / "fleet.yaml"
        fleet.write_text(f"name: compat\nseed: 5\nfleet: {{devices: {DEVICES}, mix: iot-gateway}}\n{training}")
        declared = None if macs is None else Declared.working(macs)
        done = run_app(
            HERE / "apps" / kind,
            load_fleet(fleet),
            run_config=run_config,
            declared=declared,
            settings=Settings("local"),
            out=tmp_path / name,
        )
        return done, list(RunDirectory(done.path).read_model().values())

    return run


def module(kind, name="client_app"):
    """Return a module of an app under a name of its own, to compute what its clients compute."""
    spec = importlib.util.spec_from_file_location(f"{kind}_{name}", HERE / "apps" / kind / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def descended(weights, x, y, lr=LR):
    """Return the weights after one full-batch step of linear regression."""
    return weights - lr * 2 / len(y) * x.T @ (x @ weights - y)


def averaged(data, rounds=ROUNDS, step=descended, clients=EVERYBODY):
    """Return what FedAvg of such steps comes to, weighted by examples, in float64."""
    weights = np.zeros(3)
    for _ in range(rounds):
        parts = [data(partition) for partition in clients]
        weights = np.average([step(weights, *part) for part in parts], axis=0, weights=[len(y) for _, y in parts])
    return weights


def mean_loss(weights, data):
    parts = [data(partition) for partition in EVERYBODY]
    return np.average([np.mean((x @ weights - y) ** 2) for x, y in parts], weights=[len(y) for _, y in parts])


def rounds_of(run):
    return run.rounds["round"].to_list()


# -- the message API --------------------------------------------------------------------------------------------------


def test_the_message_api_averages_and_evaluates(finished):
    run, [weights] = finished("message_api")
    data = module("message_api").data
    assert weights == pytest.approx(averaged(data), rel=1e-5)
    assert run.summary["metrics"]["loss"] == pytest.approx(mean_loss(averaged(data), data), rel=1e-5)
    assert rounds_of(run) == [0, 1, 2, 3]
    assert run.summary["trained"]


def test_a_loop_of_its_own_pushes_and_pulls(finished, capsys):
    run, _ = finished("own_loop")
    data = module("own_loop").data
    losses = [np.mean((x @ averaged(data) - y) ** 2) for x, y in map(data, EVERYBODY)]
    told = re.search(r"tested by 5 nodes: (\S+)", capsys.readouterr().out)
    assert float(told[1]) == pytest.approx(np.mean(losses), rel=1e-4)
    # The test at the end is part of the last round; sleeping took virtual time.
    assert rounds_of(run) == [0, 1, 2, 3]
    assert run.rounds["selected"].to_list() == [0, 5, 5, 5]
    assert run.summary["virtual_time_s"] > 4


def test_queries_alone_are_rounds_of_queries_and_nobody_is_told_of_a_model(finished, capsys):
    from fedlite.report.console import summary_table

    run, arrays = finished("query_only")
    values = np.concatenate([np.random.default_rng(partition).normal(size=100) for partition in EVERYBODY])
    told = re.findall(r"histogram (\[.*\])", capsys.readouterr().out)
    edges = [np.linspace(-5, 5, 2**detail + 1) for detail in (1, 2, 3)]
    assert [json.loads(line) for line in told] == [np.histogram(values, each)[0].tolist() for each in edges]
    assert arrays == []
    assert not run.summary["trained"]
    assert run.summary["rounds"] == 3
    assert run.rounds["selected"].to_list() == [0, 5, 5, 5]
    shown = " ".join(part.plain for part in summary_table(run.path).renderables if hasattr(part, "plain"))
    page = (run.path / "report.html").read_text(encoding="utf-8")
    for text in (shown, re.sub("<[^>]+>", "", page)):
        assert "After 3 rounds of queries" in text
        assert "nothing was trained" in text
        assert "15 of 15 jobs arrived" in text
        assert "the model was trained" not in text


def test_features_held_apart_learn_while_nodes_are_asked_again(finished, capsys):
    run, _ = finished("vertical")
    columns = np.array([np.random.default_rng(p).normal(size=20) for p in range(3)])
    label, weights, errors = (columns * [[1], [2], [3]]).sum(axis=0), np.ones(3), []
    for _ in range(ROUNDS + 1):
        gap = weights @ columns - label
        errors.append(np.mean(gap**2))
        weights = weights - LR * 2 / 20 * columns @ gap
    # Each node applies its gradient before it answers what it was asked meanwhile.
    told = re.findall(r"error (\S+)", capsys.readouterr().out)
    assert [float(error) for error in told] == pytest.approx(errors, rel=1e-4)
    assert errors[-1] < errors[0] / 3
    assert run.summary["outcomes"] == {"arrived": 3 * (1 + 2 * ROUNDS)}
    assert rounds_of(run) == [0, 1, 2, 3]


def test_pandas_answers_queries(finished, capsys):
    pytest.importorskip("pandas")
    run, _ = finished("pandas_query")
    frames = [module("pandas_query").frame(partition) for partition in EVERYBODY]
    told = dict(re.findall(r"(length|width) (\S+)", capsys.readouterr().out))
    for column, value in told.items():
        assert float(value) == pytest.approx(np.mean([frame[column].mean() for frame in frames]))
    assert not run.summary["trained"]


def test_an_autoencoder_is_averaged(finished):
    run, _ = finished("vae")
    app = module("vae")
    torch.manual_seed(0)
    state = app.Autoencoder().state_dict()
    for round_ in range(1, ROUNDS + 1):
        states = [app.trained(state, partition, round_, LR)[0] for partition in EVERYBODY]
        examples = torch.tensor([20.0 + partition for partition in EVERYBODY])
        state = {
            key: torch.tensordot(examples / examples.sum(), torch.stack([each[key] for each in states]), dims=1)
            for key in state
        }
    model = RunDirectory(run.path).read_model()
    for key, values in state.items():
        assert model[key] == pytest.approx(values.numpy(), rel=1e-4, abs=1e-6)


def test_the_wrapper_of_the_server_clips_and_adds_noise(finished):
    data = module("dp").data
    weights = np.zeros(3)
    for _ in range(ROUNDS):
        moves = [descended(weights, *data(partition)) - weights for partition in EVERYBODY]
        clipped = [move * min(1, 0.25 / np.linalg.norm(move)) for move in moves]
        weights = weights + np.average(clipped, axis=0, weights=[len(data(p)[1]) for p in EVERYBODY])
    _, [quiet] = finished("dp", run_config="noise=0.0", name="quiet")
    assert quiet == pytest.approx(weights, rel=1e-4)
    runs = [finished("dp", name=name) for name in ("one", "two")]
    assert runs[0][0].summary["digest"] == runs[1][0].summary["digest"]
    # Three rounds of noise with deviation 0.5 * 0.25 / 5.
    assert 0 < np.abs(runs[0][1][0] - quiet).max() < 6 * np.sqrt(3) * 0.025


def test_numpy_alone_needs_its_work_declared(finished):
    undeclared, _ = finished("numpy_client", name="undeclared")
    assert undeclared.summary["uncounted"] == ["train"]
    assert (undeclared.clients["train_s"] == 0).all()
    run, [weights] = finished("numpy_client", macs=2e6)
    assert weights == pytest.approx(averaged(module("numpy_client").data))
    assert (run.clients["train_s"] > 0).all()


# -- older servers ----------------------------------------------------------------------------------------------------


def test_a_server_fn_gets_flowers_average_its_history_and_its_rounds(finished):
    run, [weights] = finished("server_fn")
    data = module("server_fn").data
    assert weights == pytest.approx(averaged(data), rel=1e-5)
    # The history under the app's own names: what the clients' tests said, and what they said of their training.
    assert run.summary["metrics"]["loss"] == pytest.approx(mean_loss(averaged(data), data), rel=1e-5)
    assert run.summary["metrics"]["train_loss"] == pytest.approx(mean_loss(averaged(data, 2), data), rel=1e-5)
    assert set(run.summary["metrics"]) == {"loss", "mae", "train_loss"}
    per_round = [mean_loss(averaged(data, rounds), data) for rounds in (1, 2, 3)]
    assert run.rounds["loss"].to_list()[1:] == pytest.approx(per_round, rel=1e-5)
    assert run.rounds["train_loss"].to_list()[2:] == pytest.approx(per_round[:2], rel=1e-5)
    assert rounds_of(run) == [0, 1, 2, 3]
    # Flower asks from a thread pool; here the five jobs of a round begin together.
    jobs = run.clients.filter(run.clients["kind"] == "train")
    assert [len(jobs.filter(jobs["round"] == round_)["start_s"].unique()) for round_ in (1, 2, 3)] == [1, 1, 1]
    assert jobs["examples"].sum() == ROUNDS * sum(8 + 4 * partition for partition in EVERYBODY)


def test_the_constructor_of_old_takes_a_strategy(finished):
    run, [weights] = finished("old_constructor")
    assert weights == pytest.approx(averaged(module("old_constructor").data), rel=1e-5)
    assert rounds_of(run) == [0, 1, 2, 3]


def test_a_strategy_of_its_own_on_the_older_base_class(finished):
    run, [weights] = finished("own_strategy")
    data, expected = module("own_strategy").data, [np.zeros(3)]
    for _ in range(ROUNDS):
        expected.append(np.median([descended(expected[-1], *data(p)) for p in EVERYBODY], axis=0))
    assert weights == pytest.approx(expected[-1], rel=1e-5)
    centralised = [np.mean((each - [1.0, -2.0, 3.0]) ** 2) for each in expected]
    assert run.rounds["loss"].to_list() == pytest.approx(centralised, rel=1e-5)
    assert run.summary["metrics"]["norm"] == pytest.approx(np.linalg.norm(expected[-1]), rel=1e-5)
    assert run.summary["metrics"]["answers"] == 5


def test_a_server_with_a_thread_pool_of_its_own_asks_in_one_batch(finished):
    run, [weights] = finished("own_server")
    data = module("own_server").data
    jobs = run.clients.filter(run.clients["kind"] == "train")
    expected, velocity = np.zeros(3), np.zeros(3)
    for round_ in (1, 2, 3):
        asked = jobs.filter(jobs["round"] == round_)
        assert asked["start_s"].n_unique() == 1
        assert len(asked) == 4
        parts = [data(device) for device in asked["device"]]
        moves = [descended(expected, *part) - expected for part in parts]
        velocity = 0.5 * velocity + np.average(moves, axis=0, weights=[len(y) for _, y in parts])
        expected = expected + velocity
    assert weights == pytest.approx(expected, rel=1e-4)
    assert run.summary["metrics"]["step"] == pytest.approx(np.linalg.norm(velocity), rel=1e-4)


def test_fedprox_sends_its_term_in_the_config(finished):
    def steps(weights, x, y):
        local = weights
        for _ in range(4):
            local = descended(local, x, y) - LR * 2.0 * (local - weights)
        return local

    _, [weights] = finished("fedprox")
    assert weights == pytest.approx(averaged(module("fedprox").data, step=steps), rel=1e-5)


def test_batch_norm_stays_with_its_client(finished):
    run, arrays = finished("fedbn")
    app = module("fedbn")
    clients = [{} for _ in EVERYBODY]
    body = [np.zeros((1, 3), dtype=np.float32), np.zeros(1, dtype=np.float32)]

    class State:
        def __init__(self, records):
            self.array_records = records

    for _ in range(ROUNDS):
        told = [app.Normalised(p, LR, State(clients[p])).fit(body, {}) for p in EVERYBODY]
        body = [
            np.average([arrays[i] for arrays, _, _ in told], axis=0, weights=[count for _, count, _ in told])
            for i in range(2)
        ]
        body = [values.astype(np.float32) for values in body]
    tests = [app.Normalised(p, LR, State(clients[p])).evaluate(body, {}) for p in EVERYBODY]
    for values, expected in zip(arrays, body, strict=True):
        assert values == pytest.approx(expected, rel=1e-4)
    loss = np.average([loss for loss, _, _ in tests], weights=[count for _, count, _ in tests])
    assert run.summary["metrics"]["loss"] == pytest.approx(loss, rel=1e-3)
    assert run.summary["metrics"]["batches_seen"] == ROUNDS


def test_personal_heads_and_properties_asked_before_each_round(finished):
    run, [weights] = finished("fedrep")
    data, body, heads = module("fedrep").data, np.zeros(3), np.zeros(DEVICES)
    for _ in range(ROUNDS):
        parts = []
        for p in EVERYBODY:
            x, y = data(p)
            error = x @ body + heads[p] - y
            parts.append(body - LR / (1 + p) * 2 / len(y) * x.T @ error)
            heads[p] -= LR * 2 * np.mean(error)
        body = np.average(parts, axis=0, weights=[len(data(p)[1]) for p in EVERYBODY])
    assert weights == pytest.approx(body, rel=1e-4, abs=1e-5)
    assert run.summary["metrics"]["largest_head"] == pytest.approx(heads.max(), rel=1e-5)
    # Every round asks for properties, trains and tests: one round, not three.
    assert rounds_of(run) == [0, 1, 2, 3]
    assert run.clients.group_by("kind").len().sort("kind").rows() == [
        ("evaluate", 15),
        ("get_properties", 15),
        ("train", 15),
    ]


def test_statistics_come_first_and_the_servers_own_saving_last(finished):
    run, [weights] = finished("statavg")
    parts = [module("statavg").data(p) for p in EVERYBODY]
    pooled = np.concatenate([x for x, _ in parts]).astype(np.float64)
    scaled = [((x - pooled.mean(axis=0)) / pooled.std(axis=0), y) for x, y in parts]
    assert weights == pytest.approx(averaged(lambda p: scaled[p], rounds=2), rel=1e-4)
    assert run.summary["metrics"]["pooled_mean"] == pytest.approx(pooled.mean(axis=0)[0], rel=1e-5)
    assert rounds_of(run) == [0, 1, 2, 3]


def test_secure_aggregation_averages_within_its_quantisation_and_counts_rounds(finished):
    run, [weights] = finished("secagg")
    # Clipping range 8 in 2^22 steps, weighted by up to 100 in 2^22 / 1000: errors of some thousandths.
    assert weights == pytest.approx(averaged(module("secagg").data), abs=0.05)
    assert run.summary["rounds"] == 3
    assert rounds_of(run) == [0, 1, 2, 3]
    # Four exchanges that train and one that tests, every one of them paid for.
    assert run.rounds["selected"].to_list() == [0, 20, 20, 20]
    assert run.summary["outcomes"] == {"arrived": 3 * (4 * 5 + 2)}


def test_the_mod_of_old_clips_at_the_client(finished):
    data, weights = module("dp_legacy").data, np.zeros(3)
    for _ in range(ROUNDS):
        moves = [descended(weights, *data(partition)) - weights for partition in EVERYBODY]
        clipped = [move * min(1, 0.25 / np.linalg.norm(move)) for move in moves]
        weights = weights + np.average(clipped, axis=0, weights=[len(data(p)[1]) for p in EVERYBODY])
    _, [quiet] = finished("dp_legacy", run_config="noise=0.0", name="quiet")
    assert quiet == pytest.approx(weights, rel=1e-4)
    _, [noisy] = finished("dp_legacy", name="noisy")
    assert 0 < np.abs(noisy - quiet).max() < 6 * np.sqrt(3) * 0.025


def test_scikit_learn_fits_behind_a_client_fn(finished):
    run, [coefficients, intercept] = finished("sklearn_client", macs=1e6)
    app, parameters = module("sklearn_client"), [np.zeros((1, 3)), np.zeros(1)]
    examples = [len(app.data(p)[1]) for p in EVERYBODY]
    for _ in range(ROUNDS):
        fits = [app.fitted(parameters, p) for p in EVERYBODY]
        parameters = [np.average([fit[i] for fit in fits], axis=0, weights=examples) for i in range(2)]
    assert coefficients == pytest.approx(parameters[0], rel=1e-9)
    assert intercept == pytest.approx(parameters[1], rel=1e-9, abs=1e-12)
    right = [app.model(parameters).score(*app.data(p)) for p in EVERYBODY]
    assert run.summary["metrics"]["accuracy"] == pytest.approx(np.average(right, weights=examples))


def test_trees_are_bagged(finished):
    pytest.importorskip("xgboost")
    run, [model] = finished("xgboost_client", macs=1e6)
    booster = json.loads(model.tobytes())
    assert len(booster["learner"]["gradient_booster"]["model"]["trees"]) == ROUNDS * DEVICES
    assert rounds_of(run) == [0, 1, 2, 3]


# -- the table --------------------------------------------------------------------------------------------------------


def test_the_table_has_every_app_and_names_a_test_that_exists():
    rows = [line.split("|")[1:-1] for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    told = {row[0].strip().strip("`"): row[-2].split("`")[1] for row in rows}
    assert sorted(told) == sorted(path.name for path in (HERE / "apps").iterdir() if (path / "pyproject.toml").exists())
    sources = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("test_*.py"))
    for kind, test in told.items():
        assert f"def {test}(" in sources, f"{kind}: {test}"
