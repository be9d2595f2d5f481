"""What a run says of itself is the same in every place: progress, summary, tables, terminal, page, comparison."""

from __future__ import annotations

import io
import json
import math
import textwrap

import polars as pl
import pytest
from rich.console import Console
from typer.testing import CliRunner

from fedlite.cli import main
from fedlite.cli.following import _state
from fedlite.cli.init import write_app
from fedlite.compose.app_request import Declared
from fedlite.report.console import summary_table
from fedlite.report.run_data import read_run
from fedlite.report.tables import learning_curve
from fedlite.runner import Settings, run, run_app
from fedlite.scenario.loader import parse_scenario
from fedlite.units import show

LOCAL = Settings("local")
PHONES = (
    "{devices: 12, mix: {pixel-8: 1, redmi-note-4: 1, pi-4b: 1}, network: {access: lte}, rules: {unmetered: false}}"
)
TRAININGS = {
    "every device is waited for": "{rounds: 3, clients_per_round: 4}",
    "over-selection": "{rounds: 3, clients_per_round: 4, over_select: 1.5}",
    "a deadline that some miss": "{rounds: 4, clients_per_round: 6, deadline: 4 s}",
    "tested every other round": "{rounds: 3, clients_per_round: 4, evaluate_every: 2}",
    "tested at the end": "{rounds: 3, clients_per_round: 4, evaluate_every: 0}",
    "fedbuff": "{strategy: {name: fedbuff, buffer: 2, concurrency: 8}, rounds: 4}",
    "fedbuff, tested at times": "{strategy: {name: fedbuff, buffer: 2, concurrency: 8}, rounds: 5, evaluate_every: 2}",
    "fedasync": "{strategy: {name: fedasync, concurrency: 6}, rounds: 4}",
    "no update is any good": "{rounds: 3, clients_per_round: 4, local: {lr: 1.0e+6, epochs: 5}}",
    "nor any here": "{strategy: {name: fedasync, concurrency: 6}, rounds: 4, local: {lr: 1.0e+6, epochs: 5}}",
    "semi-synchronous": "{rounds: 3, clients_per_round: 6, first: 2}",
}
CLIENT = """
import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()

@app.train()
def train(msg, context):
    arrays = [a + 1 for a in msg.content["arrays"].to_numpy_ndarrays()]
    metrics = MetricRecord({"num-examples": 1, "train_loss": 1.5})
    return Message(RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics}), reply_to=msg)

@app.evaluate()
def evaluate(msg, context):
    level = float(msg.content["arrays"].to_numpy_ndarrays()[0][0])
    metrics = MetricRecord({"num-examples": 3, "accuracy": 0.1 * level, "loss": 3.0 - level})
    return Message(RecordDict({"metrics": metrics}), reply_to=msg)
"""
SERVER = """
import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()

@app.main()
def main(grid, context):
    start = ArrayRecord([np.zeros(3)])
"""
SERVERS = {
    "clients test": "FedAvg(fraction_evaluate=0.5, min_available_nodes=2).start(grid, start, num_rounds=3)",
    "the server tests": """
        test = lambda round_, arrays: MetricRecord({"accuracy": 0.2 * round_, "loss": 1.0 / (1 + round_)})
        FedAvg(fraction_evaluate=0.0).start(grid, start, num_rounds=3, evaluate_fn=test)
    """,
    "the server tests at times": """
        test = lambda round_, arrays: MetricRecord({"accuracy": 0.2 * round_, "loss": 1.0}) if round_ == 2 else None
        FedAvg(fraction_evaluate=0.0).start(grid, start, num_rounds=3, evaluate_fn=test)
    """,
    "two strategies": """
        first = FedAvg(fraction_evaluate=0.0).start(grid, start, num_rounds=2)
        FedAvg(fraction_evaluate=1.0).start(grid, first.arrays, num_rounds=2)
    """,
    "a loop that stops while devices are at work, and sleeps": """
        import time
        nodes = list(grid.get_node_ids())
        for round_ in (1, 2):
            content = RecordDict({"arrays": start, "config": ConfigRecord({"server-round": round_})})
            asked = nodes[4 * round_ - 4 : 4 * round_]
            grid.pull_messages(list(grid.push_messages([Message(content, node, "train") for node in asked])))
        time.sleep(3)
    """,
    "queries alone": """
        for round_ in (1, 2):
            content = RecordDict({"arrays": start, "config": ConfigRecord({"server-round": round_})})
            grid.send_and_receive([Message(content, node, "evaluate") for node in list(grid.get_node_ids())[:3]])
    """,
}


def check(done, told, tmp_path):
    """Compare every place that tells what a run came to."""
    summary, last, read = done.summary, told[-1], read_run(done.path)
    accuracy = summary["metrics"].get(read.main.name)
    # The progress line.
    assert last.energy_j == pytest.approx(summary["energy_j"], rel=1e-12)
    assert last.virtual_time_s == pytest.approx(summary["virtual_time_s"], rel=1e-12)
    assert last.round_ == summary["rounds"]
    assert (last.metric, math.isnan(last.value)) == (read.main.name, accuracy is None)
    assert accuracy is None or last.value == pytest.approx(accuracy, rel=1e-12)
    # The tables.
    jobs, rounds = done.clients, done.rounds
    for name in ("energy_j", "energy_low_j", "energy_high_j", "up_bytes", "down_bytes"):
        assert rounds[name].sum() == pytest.approx(summary[name], rel=1e-9), name
        assert jobs[name].sum() == pytest.approx(summary[name], rel=1e-9), name
    train = jobs.filter(pl.col("kind") == "train")
    main_jobs = train if summary.get("trained", True) else jobs
    counts = dict(main_jobs.group_by("outcome").len().iter_rows())
    assert rounds["selected"].sum() == main_jobs.height
    assert rounds["arrived"].sum() == counts.get("arrived", 0)
    assert rounds["late"].sum() == counts.get("late", 0)
    assert rounds["surplus"].sum() == counts.get("surplus", 0) + counts.get("unheard", 0)
    assert rounds["end_s"].max() - rounds["start_s"].min() == pytest.approx(summary["virtual_time_s"], rel=1e-9)
    assert sum(summary["outcomes"].values()) == jobs.height
    curve = learning_curve(rounds, read.main)
    if curve.height and curve["round"][-1] == rounds["round"][-1]:
        for name, total in (("time_s", "virtual_time_s"), ("energy_j", "energy_j"), ("up_bytes", "up_bytes")):
            assert curve[name][-1] == pytest.approx(summary[total], rel=1e-9), name
    # What people read: progress, terminal, page.
    console = Console(width=220, file=io.StringIO())
    console.print(summary_table(done.path))
    terminal = _words(console.file.getvalue())
    page = _words((done.path / "report.html").read_text(encoding="utf-8"))
    energy, time = show(summary["energy_j"], "energy"), show(summary["virtual_time_s"], "time")
    assert _words(_state(last)).endswith(f"virtual {time} · {energy}")
    came = f"{counts.get('arrived', 0)} of {main_jobs.height}"
    quantities = [energy, time, *(show(summary[f"{way}_bytes"], "bytes") for way in ("up", "down")), came]
    for text in (terminal, page):
        for quantity in quantities:
            assert quantity in text, quantity
        assert accuracy is None or read.main.unit != "share" or f"{100 * accuracy:.1f} %" in text
    # The comparison, as text, page and JSON.
    target, command = tmp_path / "compare.html", ["compare", str(done.path), str(done.path), "--out"]
    printed = CliRunner().invoke(main.app, [*command, str(target)], env={"COLUMNS": "250"})
    compared = json.loads(CliRunner().invoke(main.app, [*command, str(target), "--json"]).output)
    for text in (_words(printed.output), _words(target.read_text(encoding="utf-8"))):
        for quantity in quantities[:4]:
            assert quantity in text, quantity
    for row in compared["runs"]:
        for name in ("energy_j", "energy_low_j", "energy_high_j", "up_bytes", "down_bytes", "virtual_time_s", "rounds"):
            assert row[name] == pytest.approx(summary[name], rel=1e-12), name
        assert row["arrived"] == pytest.approx(counts.get("arrived", 0) / main_jobs.height)
        assert row[read.main.name] == (None if accuracy is None else pytest.approx(accuracy, rel=1e-12))
    reported = json.loads(CliRunner().invoke(main.app, ["report", str(done.path), "--json"]).output)
    assert reported["energy_j"] == summary["energy_j"]


def _words(text):
    return " ".join(text.replace("\u00a0", " ").replace("\u202f", " ").split())


@pytest.mark.parametrize("training", TRAININGS, ids=str)
def test_a_scenarios_run_says_the_same_everywhere(training, tmp_path):
    text = f"name: tiny\nseed: 4\nfleet: {PHONES}\ntask: {{data: digits, model: mlp}}\ntraining: {TRAININGS[training]}"
    told = []
    done = run(parse_scenario(text), out=tmp_path / "run", settings=LOCAL, progress=told.append)
    check(done, told, tmp_path)


def test_the_templates_run_says_the_same_everywhere(app_fleet, tmp_path):
    told = []
    app = write_app(tmp_path / "app")
    done = run_app(
        app, app_fleet(10), settings=LOCAL, run_config="num-server-rounds=2", out=tmp_path / "run", progress=told.append
    )
    check(done, told, tmp_path)


@pytest.mark.parametrize("server", SERVERS, ids=str)
def test_an_apps_run_says_the_same_everywhere(server, app_fleet, tmp_path):
    folder = tmp_path / "own"
    (folder / "own_pkg").mkdir(parents=True)
    (folder / "own_pkg" / "__init__.py").touch()
    (folder / "own_pkg" / "client.py").write_text(CLIENT, encoding="utf-8")
    body = textwrap.indent(textwrap.dedent(SERVERS[server]), "    ")
    (folder / "own_pkg" / "server.py").write_text(SERVER + body, encoding="utf-8")
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "own"\nversion = "1"\n[tool.flwr.app]\npublisher = "me"\n[tool.flwr.app.components]\n'
        'serverapp = "own_pkg.server:app"\nclientapp = "own_pkg.client:app"\n',
        encoding="utf-8",
    )
    told = []
    fleet = app_fleet(12, mix="{pixel-8: 1, pi-4b: 1}")
    done = run_app(
        folder, fleet, settings=LOCAL, declared=Declared.working(5e9), out=tmp_path / "run", progress=told.append
    )
    check(done, told, tmp_path)
