"""Whole app runs: the template that `fedlite init --app` writes, and apps with a server loop of their own."""

import json
import sys
import textwrap

import polars as pl
import pytest

from fedlite.cli.init import write_app
from fedlite.errors import FedliteError, FleetExhaustedError
from fedlite.flower.app_prices import Declared
from fedlite.runner import Settings, resume, run_app

LOCAL = Settings("local")
SHORT = "num-server-rounds=3 local-epochs=1"


class Killed(BaseException):
    """Ends a run as a kill would: nothing catches it."""


@pytest.fixture
def template(tmp_path):
    return write_app(tmp_path / "app")


def test_the_template_learns_and_leaves_a_whole_run_directory(template, app_fleet, tmp_path):
    told = []
    run = run_app(template, app_fleet(10), settings=LOCAL, out=tmp_path / "run", progress=told.append)
    summary = run.summary
    assert summary["rounds"] == 5
    assert summary["metrics"]["accuracy"] > 0.5
    assert summary["outcomes"] == {"arrived": 25}
    assert summary["virtual_time_s"] > 0
    assert summary["up_bytes"] == run.clients["up_bytes"].sum() > 25 * 4 * (64 * 64 + 64 + 64 * 10 + 10)
    assert run.rounds["round"].to_list() == [0, 1, 2, 3, 4, 5]
    assert run.rounds["accuracy"].is_not_nan().all()
    assert run.rounds["selected"].to_list() == [0, 5, 5, 5, 5, 5]
    assert run.rounds["energy_j"].sum() == pytest.approx(summary["energy_j"])
    assert not any(now.doing for now in told)
    assert [now.round_ for now in told if not now.doing] == [0, 1, 2, 3, 4, 5]
    assert {now.rounds for now in told[1:]} == {5}
    assert (run.path / "report.html").stat().st_size > 10_000
    assert not (run.path / "journal.bin").exists()


def test_two_runs_give_the_same_digest_and_the_same_virtual_times(template, app_fleet, tmp_path):
    runs = [
        run_app(template, app_fleet(10), settings=LOCAL, run_config=SHORT, out=tmp_path / name) for name in ("a", "b")
    ]
    assert runs[0].summary["digest"] == runs[1].summary["digest"]
    assert runs[0].clients["end_s"].to_list() == runs[1].clients["end_s"].to_list()


def test_a_killed_run_resumes_to_the_identical_digest(template, app_fleet, tmp_path):
    whole = run_app(template, app_fleet(10), settings=LOCAL, run_config=SHORT, out=tmp_path / "whole")

    def kill(now):
        if now.round_ == 2:
            raise Killed

    with pytest.raises(Killed):
        run_app(template, app_fleet(10), settings=LOCAL, run_config=SHORT, out=tmp_path / "cut", progress=kill)
    assert (tmp_path / "cut" / "journal.bin").stat().st_size > 0
    resumed = resume(tmp_path / "cut", settings=LOCAL)
    assert resumed.summary["digest"] == whole.summary["digest"]
    assert resumed.summary["metrics"] == whole.summary["metrics"]
    assert resume(tmp_path / "cut", settings=LOCAL).path == resumed.path


def test_the_commands_continue_a_run_as_what_it_is(template, app_fleet, tmp_path):
    from typer.testing import CliRunner

    from fedlite.cli.main import app

    def kill(now):
        if now.round_ == 1:
            raise Killed

    digests = set()
    for command in ("run", "app"):
        with pytest.raises(Killed):
            run_app(template, app_fleet(10), settings=LOCAL, run_config=SHORT, out=tmp_path / command, progress=kill)
        arguments = [command, "--resume", str(tmp_path / command), "--backend", "local", "--json"]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        digests.add(json.loads(result.output.splitlines()[-1])["digest"])
    assert len(digests) == 1


def test_a_finished_run_gets_back_the_report_that_it_lost(template, app_fleet, tmp_path):
    done = run_app(template, app_fleet(10), settings=LOCAL, run_config=SHORT, out=tmp_path / "run")
    (done.path / "report.html").unlink()
    assert resume(done.path, settings=LOCAL).summary == done.summary
    assert (done.path / "report.html").stat().st_size > 10_000


def test_a_scenarios_run_where_an_apps_never_began_is_continued_as_what_it_is(template, tmp_path):
    from fedlite.runner import run
    from fedlite.scenario.loader import parse_scenario

    def kill(now):
        raise Killed

    scenario = parse_scenario("name: two\nfleet: {devices: 4, mix: {pi-4b: 1}}\ntask: {data: digits, model: mlp}\n")
    with pytest.raises(Killed):
        run_app(template, scenario, settings=LOCAL, out=tmp_path / "run", progress=kill)
    (tmp_path / "run" / "journal.bin").unlink(missing_ok=True)
    with pytest.raises(Killed):
        run(scenario, settings=LOCAL, out=tmp_path / "run", progress=kill)
    assert "app" not in json.loads((resume(tmp_path / "run", settings=LOCAL).path / "manifest.json").read_text())


def test_a_run_never_writes_over_a_users_app_json(template, app_fleet, tmp_path):
    (tmp_path / "app.json").write_text("mine")
    with pytest.raises(FedliteError, match=r"would write over app\.json"):
        run_app(template, app_fleet(10), settings=LOCAL, out=tmp_path)
    assert (tmp_path / "app.json").read_text() == "mine"


def test_a_run_whose_app_has_changed_is_not_resumed(template, app_fleet, tmp_path):
    def kill(now):
        raise Killed

    with pytest.raises(Killed):
        run_app(template, app_fleet(10), settings=LOCAL, out=tmp_path / "cut", progress=kill)
    with (template / "digits_app" / "task.py").open("a", encoding="utf-8") as file:
        file.write("\nMORE = 1\n")
    with pytest.raises(FedliteError, match=r"digits_app/task\.py was edited"):
        resume(tmp_path / "cut", settings=LOCAL)


def test_a_file_that_an_app_reads_may_not_change_and_one_that_it_writes_may_come(template, app_fleet, tmp_path):
    def kill(now):
        raise Killed

    (template / "rates.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(Killed):
        run_app(template, app_fleet(10), settings=LOCAL, out=tmp_path / "cut", progress=kill)
    (template / "log.txt").write_text("a client was here", encoding="utf-8")
    (template / "rates.json").write_text("[2]", encoding="utf-8")
    with pytest.raises(FedliteError, match=r"got rates\.json was edited; expected"):
        resume(tmp_path / "cut", settings=LOCAL)
    (template / "rates.json").write_text("[1]", encoding="utf-8")
    assert resume(tmp_path / "cut", settings=LOCAL).summary["rounds"] > 0


def test_a_server_that_raises_before_anybody_worked_leaves_nothing_behind(template, app_fleet, tmp_path):
    server = template / "digits_app" / "server_app.py"
    sound = server.read_text(encoding="utf-8")
    server.write_text(sound.replace("def main(grid", "def main(nobody, grid"), encoding="utf-8")
    for out in (tmp_path / "new", tmp_path):
        with pytest.raises(FedliteError, match="it raised TypeError"):
            run_app(template, app_fleet(10), settings=LOCAL, out=out)
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "report.html").exists()
    # A folder that was there already is left as it is, and may be used again once the app is mended.
    server.write_text(sound, encoding="utf-8")
    for name in [name for name in sys.modules if name.startswith("digits_app")]:
        del sys.modules[name]
    assert run_app(template, app_fleet(10), settings=LOCAL, out=tmp_path, run_config=SHORT).summary["rounds"] > 0


def test_an_app_that_no_device_can_hold_does_not_begin(template, app_fleet, tmp_path):
    declared = Declared.working(1e6, 1e15)
    with pytest.raises(FleetExhaustedError, match=r"no device that can ever take part: on .* takes .* of memory"):
        run_app(template, app_fleet(10), settings=LOCAL, out=tmp_path / "run", declared=declared)
    assert not (tmp_path / "run").exists()


def test_slower_devices_take_longer_for_the_same_work(template, app_fleet, tmp_path):
    run = run_app(template, app_fleet(20, mix="mixed"), settings=LOCAL, run_config=SHORT, out=tmp_path / "run")
    jobs = run.clients.filter(pl.col("train_s") > 0, pl.col("examples") == 72)
    times = jobs.group_by("profile").agg(pl.col("train_s").n_unique().alias("times"), pl.col("train_s").first())
    assert len(times) > 3
    assert times["times"].to_list() == [1] * len(times)
    assert times["train_s"].max() > 3 * times["train_s"].min()


@pytest.mark.ray
def test_one_and_two_ray_actors_give_the_digest_of_this_process(template, app_fleet, tmp_path):
    digests = set()
    for name, backend, actors in (("local", "local", None), ("one", "ray", 1), ("two", "ray", 2)):
        settings = Settings(backend, actors)
        run = run_app(template, app_fleet(10), settings=settings, run_config=SHORT, out=tmp_path / name)
        digests.add(run.summary["digest"])
    assert len(digests) == 1


SIMULATED = """
from flwr.app import Context
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

from digits_app import client_app, server_app

CONFIG = {config!r}


def told(context):
    # run_simulation has no way to give an app its config.
    return Context(context.run_id, context.node_id, context.node_config, context.state, CONFIG)


client = ClientApp(mods=[lambda msg, context, call_next: call_next(msg, told(context))])
client.train()(client_app.fit)
client.evaluate()(client_app.evaluate)
server = ServerApp()
server.main()(lambda grid, context: server_app.main(grid, told(context)))
"""


@pytest.mark.ray
@pytest.mark.slow
def test_accuracy_is_that_of_flowers_own_simulation(template, app_fleet, tmp_path, monkeypatch):
    import ray
    from flwr.simulation import run_simulation

    from fedlite.flower import compat
    from fedlite.flower.app_dir import load_component, overridden, read_app

    rounds = "num-server-rounds=15 fraction-train=1.0"
    ours = run_app(template, app_fleet(10), settings=LOCAL, run_config=rounds, out=tmp_path / "run")
    config = overridden(read_app(template).config, rounds)
    (template / "simulated.py").write_text(SIMULATED.format(config=config), encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(template), prepend=":")
    theirs = []

    class Notes:
        def begin(self, rounds, strategy):
            assert rounds == 15

        def evaluated(self, _round, metrics):
            theirs.append(metrics["accuracy"])

        def end(self, result):
            assert len(result.arrays)

    server, client = (load_component(f"simulated:{name}", template) for name in ("server", "client"))
    with compat.observed_starts(Notes()):
        run_simulation(server, client, num_supernodes=10, backend_config={"client_resources": {"num_cpus": 1}})
    ray.shutdown()
    assert len(theirs) == 16
    assert ours.summary["metrics"]["accuracy"] > 0.8
    assert ours.summary["metrics"]["accuracy"] == pytest.approx(theirs[-1], abs=0.05)


CLIENT = """
import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()

@app.train()
def train(msg, context):
    arrays = [a + 1 for a in msg.content["arrays"].to_numpy_ndarrays()]
    metrics = MetricRecord({"num-examples": 1})
    return Message(RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics}), reply_to=msg)
"""


def own_app(folder, server):
    (folder / "own_pkg").mkdir(parents=True)
    (folder / "own_pkg" / "__init__.py").touch()
    (folder / "own_pkg" / "client.py").write_text(CLIENT, encoding="utf-8")
    (folder / "own_pkg" / "server.py").write_text(textwrap.dedent(server), encoding="utf-8")
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "own"\nversion = "1"\n[tool.flwr.app]\npublisher = "me"\n[tool.flwr.app.components]\n'
        'serverapp = "own_pkg.server:app"\nclientapp = "own_pkg.client:app"\n',
        encoding="utf-8",
    )
    return folder


POLLING = """
import time
from time import sleep
import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import ServerApp

app = ServerApp()

@app.main()
def main(grid, context):
    while len(list(grid.get_node_ids())) < 4:
        sleep(600)
    for round_ in (1, 2):
        content = RecordDict({"arrays": ArrayRecord([np.zeros(3)]), "config": ConfigRecord({"server-round": round_})})
        waiting = list(grid.push_messages([Message(content, node, "train") for node in list(grid.get_node_ids())[:4]]))
        while waiting:
            for reply in grid.pull_messages(waiting):
                waiting.remove(reply.metadata.reply_to_message_id)
            time.sleep(600)
"""


def test_a_server_loop_that_pushes_pulls_and_sleeps_runs_in_virtual_time(app_fleet, tmp_path):
    app = own_app(tmp_path / "own", POLLING)
    run = run_app(app, app_fleet(6), settings=LOCAL, declared=Declared.working(1e6), out=tmp_path / "run")
    assert run.summary["outcomes"] == {"arrived": 8}
    assert run.summary["wall_time_s"] < 600 < run.summary["virtual_time_s"]
    assert run.rounds["round"].to_list() == [0, 1, 2]
    assert run.rounds["arrived"].to_list() == [0, 4, 4]


INCONSISTENT = """
import numpy as np
from flwr.app import ArrayRecord
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()

@app.main()
def main(grid, context):
    strategy = FedAvg(fraction_evaluate=0.0, weighted_by_key="no-such-key")
    strategy.start(grid, ArrayRecord([np.zeros(3)]), num_rounds=1)
"""


def test_an_exit_of_the_strategy_is_told_without_a_traceback(app_fleet, tmp_path):
    app = own_app(tmp_path / "own", INCONSISTENT)
    with pytest.raises(FedliteError, match="server app: InconsistentMessageReplies"):
        run_app(app, app_fleet(4), settings=LOCAL, declared=Declared.working(1e6), out=tmp_path / "run")


def test_the_command_prints_the_summary_last(template, app_fleet, tmp_path):
    from typer.testing import CliRunner

    from fedlite.cli.main import app

    app_fleet(10)
    arguments = ["app", str(template), "--fleet", str(tmp_path / "fleet.yaml"), "--backend", "local", "--json"]
    result = CliRunner().invoke(app, [*arguments, "--run-config", SHORT, "--seed", "9", "--out", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    summary = json.loads(result.output.splitlines()[-1])
    assert summary["seed"] == 9
    wanted = "run_dir digest rounds virtual_time_s wall_time_s energy_j up_bytes down_bytes metrics outcomes"
    assert set(wanted.split()) <= set(summary)


OWN_CLIENT = """
import torch
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from sklearn.datasets import load_digits

app = ClientApp()

@app.train()
def train(msg, context):
    state = msg.content["arrays"].to_torch_state_dict()
    names = list(state)
    weights = [state[name].requires_grad_() for name in names]
    x, y = load_digits(return_X_y=True)
    mine = slice(context.node_config["partition-id"], None, context.node_config["num-partitions"])
    x, y = torch.tensor(x[mine] / 16, dtype=torch.float32), torch.tensor(y[mine])
    for _ in range(context.run_config["local-epochs"]):
        for rows in torch.arange(len(y)).split(context.run_config["batch-size"]):
            h = x[rows]
            for weight, bias in zip(weights[::2], weights[1::2]):
                h = torch.nn.functional.linear(h if weight is weights[0] else h.relu(), weight, bias)
            loss = torch.nn.functional.cross_entropy(h, y[rows])
            for weight, grad in zip(weights, torch.autograd.grad(loss, weights)):
                weight.data -= context.run_config["lr"] * grad
    arrays = ArrayRecord({name: weight.detach() for name, weight in zip(names, weights)})
    metrics = MetricRecord({"num-examples": len(y), "train_loss": loss.item()})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=msg)
"""
OWN_SCENARIO = """
name: own-client
seed: 2
fleet: {devices: 6, mix: consumer-phones}
task: {data: digits, model: mlp, clients: 6, app: "own_client_module:app"}
training: {rounds: 4, clients_per_round: 4, local: {epochs: 2, batch_size: 16, lr: 0.2}}
wire: {up: int8+zstd, down: fp16}
"""


def test_a_scenario_may_bring_a_client_app_of_its_own(tmp_path, monkeypatch):
    from fedlite.runner import run
    from fedlite.scenario.loader import load_scenario

    (tmp_path / "own_client_module.py").write_text(OWN_CLIENT, encoding="utf-8")
    (tmp_path / "own.yaml").write_text(OWN_SCENARIO, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    scenario = load_scenario(tmp_path / "own.yaml")
    finished = [run(scenario, out=tmp_path / name, settings=LOCAL) for name in ("one", "two")]
    summary = finished[0].summary
    assert summary["digest"] == finished[1].summary["digest"]
    assert summary["metrics"]["accuracy"] > 0.6
    assert summary["outcomes"] == {"arrived": 16}
    clients = finished[0].clients
    assert set(clients["plan"]) == {"app"}
    assert (clients["up_bytes"] * 2 < clients["up_raw_bytes"]).all()
    assert clients["steps"].to_list() == [0] * 16  # no torch optimiser was stepped
    assert (clients["train_s"] > 0).all()
