"""`fedlite campaign`: what it answers is what the tables of the run say, counted again here the slow way."""

from __future__ import annotations

import json
import math

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from fedlite.cli.main import app
from fedlite.compose.campaign_answers import answers
from fedlite.errors import FedliteError
from fedlite.fleet.check_in_cost import ANSWER_BYTES, REQUEST_BYTES
from fedlite.report import server_load
from fedlite.report.campaign_page import campaign_page
from fedlite.report.page import render
from fedlite.report.run_data import read_run

SCENARIO = """
name: nights
seed: 5
fleet:
  devices: 60
  mix: {pixel-8: 40 %, galaxy-a52: 40 %, nrf52840: 20 %}
  start: Mon 20:00
  availability: diurnal
  rules: {charging: false, unmetered: true, idle: true}
  protocol: production
task:
  data: digits
  partition: {kind: dirichlet, alpha: 0.5}
  clients: 45
  model: {name: mlp, options: {hidden: [512]}}
training:
  strategy: fedavg
  rounds: 8
  clients_per_round: 6
  local: {epochs: 2, batch_size: 8, lr: 0.05}
  target_accuracy: 80 %
wire: {down: fp16}
"""
WEEK_S, DAY_S = 7 * 86_400.0, 86_400.0
BACK = ("arrived", "diverged", "late", "abandoned", "surplus", "unheard")
PLAN = """
name: after
replications: 2
horizon: 3 d
fleet: {devices: 40, mix: {pixel-8: 1}}
model: {variants: [{name: only, bytes: 40 kB, memory: 1 MiB, macs: 5.0e4, accuracy: 71 %}]}
strategy: {waves: [{rest: true}]}
"""


def run(*arguments):
    return CliRunner().invoke(app, ["campaign", *map(str, arguments)])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return the finished run and what the command printed as it made it."""
    folder = tmp_path_factory.mktemp("campaign")
    (folder / "x.yaml").write_text(SCENARIO)
    done = run(folder / "x.yaml", "--out", folder / "run", "--backend", "local", "--json")
    assert done.exit_code == 0, done.output
    return folder / "run", json.loads(done.stdout)


@pytest.fixture
def tables(trained):
    path, _ = trained
    names = ("clients", "rounds", "check_ins", "evaluation")
    return {name: pl.read_parquet(path / f"{name}.parquet").to_dicts() for name in names}


@pytest.fixture
def copied(trained, tmp_path):
    """Return `copied(clients=..., check_ins=..., ...) -> path`: the run with tables changed."""

    def copy(**changes):
        path = tmp_path / "run"
        path.mkdir(exist_ok=True)
        for file in trained[0].iterdir():
            (path / file.name).write_bytes(file.read_bytes())
        for name, change in changes.items():
            change(pl.read_parquet(path / f"{name}.parquet")).write_parquet(path / f"{name}.parquet")
        return path

    return copy


def per_device(tables, value_of_job, value_of_visits):
    found = [value_of_visits(row) for row in tables["check_ins"]]
    for job in tables["clients"]:
        found[job["device"]] += value_of_job(job)
    return found


def fit(told, tables):
    """Return which devices are of a class that can take part, by the class of every job and the counts by class."""
    unfit = sum(row["excluded"] for row in told["never_heard"]["by_class"])
    assert unfit == 12  # a fifth of 60: the board's class
    came = {row["device"] for row in tables["check_ins"] if row["check_ins"]}
    assert len(came) <= 60 - unfit
    return came, 60 - unfit


def test_a_finished_run_says_the_same_as_the_command_that_made_it_and_runs_nothing(trained, monkeypatch):
    path, told = trained
    before = {file.name: file.stat().st_mtime_ns for file in path.iterdir()}
    monkeypatch.setattr("fedlite.runner.run", lambda *_, **__: pytest.fail("it was trained again"))
    again = run(path, "--json")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout) == told
    changed = {file.name for file in path.iterdir() if file.stat().st_mtime_ns != before.get(file.name)}
    assert changed == {"campaign.html"}


def test_days_until_the_target_are_those_of_the_first_round_that_reaches_it(trained, tables):
    path, told = trained
    start_s = 20 * 3600.0
    first = next(row for row in tables["rounds"] if row["accuracy"] >= 0.8)
    assert told["target"]["value"] == 0.8
    assert (told["target"]["round"], told["target"]["time_s"]) == (first["round"], first["end_s"] - start_s)
    assert told["target"]["days"] == pytest.approx((first["end_s"] - start_s) / DAY_S)
    assert told["target"]["best"] == max(row["accuracy"] for row in tables["rounds"])
    assert first["round"] > 1
    metrics = json.loads((path / "summary.json").read_text())["metrics"]
    assert told["target"]["time_s"] == metrics["time_to_target_s"]


def test_another_target_is_looked_up_and_one_too_high_is_never_reached(trained, tables):
    path, _ = trained
    lower = json.loads(run(path, "--target", "20 %", "--json").stdout)["target"]
    assert lower["round"] == next(row["round"] for row in tables["rounds"] if row["accuracy"] >= 0.2)
    never = json.loads(run(path, "--target", "99.9 %", "--json").stdout)["target"]
    assert (never["round"], never["time_s"], never["days"]) == (None, None, None)
    assert "never" in run(path, "--target", "99.9 %").stdout


def test_data_and_battery_of_a_week_are_those_of_the_tables(trained, tables):
    _, told = trained
    _, fits = fit(told, tables)
    assert told["lasted_s"] > DAY_S
    assert told["week"]["per"] == "week"
    factor = WEEK_S / told["lasted_s"]
    moved = per_device(
        tables,
        lambda job: job["down_bytes"] + job["up_bytes"],
        lambda row: row["check_ins"] * (REQUEST_BYTES + ANSWER_BYTES),
    )
    # Devices of the class that cannot take part moved nothing: of the others there are `fits`.
    users = sorted(moved)[-fits:]
    assert sum(users) == sum(moved)
    assert told["week"]["data_bytes"]["mean"] == pytest.approx(factor * sum(users) / fits)
    assert told["week"]["data_bytes"]["p95"] == pytest.approx(factor * np.percentile(users, 95))
    battery = per_device(tables, lambda job: job["battery_j"], lambda row: row["battery_j"])
    users = sorted(battery)[-fits:]
    assert told["week"]["battery_j"]["mean"] == pytest.approx(factor * sum(users) / fits)
    assert told["week"]["battery_j"]["p95"] == pytest.approx(factor * np.percentile(users, 95))
    assert told["week"]["battery_j"]["mean"] > 0
    metered = per_device(
        tables, lambda job: job["metered"] * (job["down_bytes"] + job["up_bytes"]), lambda row: row["metered_bytes"]
    )
    assert told["week"]["metered_bytes"]["mean"] == pytest.approx(factor * sum(metered) / fits)


def test_who_was_never_heard_is_counted_once_each_with_the_reason(trained, tables):
    _, told = trained
    came, fits = fit(told, tables)
    asked = {job["device"] for job in tables["clients"]}
    back = {job["device"] for job in tables["clients"] if job["outcome"] in BACK}
    silent = told["never_heard"]
    assert silent["devices"] == 60 - len(back)
    assert silent["excluded"] == 60 - fits
    assert silent["never_asked"] == len(came - asked)
    assert silent["never_back"] == len(asked - back)
    assert silent["never_came"] == fits - len(came | asked)
    assert silent["share"] == pytest.approx(silent["devices"] / 60)
    reasons = ("excluded", "never_came", "never_asked", "never_back", "heard")
    for row in silent["by_class"]:
        assert row["devices"] == sum(row[reason] for reason in reasons)
    of_class = {row["profile"]: row["heard"] for row in silent["by_class"]}
    profiles = {job["device"]: job["profile"] for job in tables["clients"] if job["device"] in back}
    assert of_class == {name: list(profiles.values()).count(name) for name in of_class}


def test_a_job_that_is_lost_is_not_heard_and_one_too_late_is(copied, tables):
    device = tables["clients"][0]["device"]

    def end(outcome):
        mine = pl.when(pl.col("device") == device).then(pl.lit(outcome)).otherwise(pl.col("outcome"))
        return answers(read_run(copied(clients=lambda rows: rows.with_columns(mine.alias("outcome")))))["never_heard"]

    lost, late = end("unplugged"), end("late")
    assert (lost["never_back"], late["never_back"]) == (1 + late["never_back"], late["never_back"])
    assert lost["devices"] == late["devices"] + 1


def test_one_who_came_in_vain_is_told_from_one_who_never_came(trained, copied, tables):
    device, before = tables["clients"][0]["device"], trained[1]["never_heard"]

    def unasked(rows):
        return rows.filter(pl.col("device") != device)

    def absent(rows):
        came = pl.when(pl.col("device") == device).then(0).otherwise(pl.col("check_ins"))
        return rows.with_columns(came.cast(pl.Int32).alias("check_ins"))

    in_vain = answers(read_run(copied(clients=unasked)))["never_heard"]
    assert (in_vain["never_asked"], in_vain["never_came"]) == (before["never_asked"] + 1, before["never_came"])
    never = answers(read_run(copied(clients=unasked, check_ins=absent)))["never_heard"]
    assert (never["never_asked"], never["never_came"]) == (before["never_asked"], before["never_came"] + 1)
    assert never["never_back"] == in_vain["never_back"] == before["never_back"]


def test_the_bias_compares_clients_by_whether_any_of_their_devices_was_heard(trained, tables):
    _, told = trained
    heard_clients = {job["device"] % 45 for job in tables["clients"] if job["outcome"] in BACK}
    groups = {True: [], False: []}
    for row in tables["evaluation"]:
        if not math.isnan(row["accuracy"]):
            groups[row["client"] in heard_clients].append(row["accuracy"])
    bias = told["bias"]
    assert len(groups[False]) >= 2
    for key, name in ((True, "heard"), (False, "never")):
        assert bias[name]["clients"] == len(groups[key])
        assert bias[name]["mean"] == pytest.approx(sum(groups[key]) / len(groups[key]))
    assert bias["gap"] == pytest.approx(np.mean(groups[True]) - np.mean(groups[False]))
    error = math.sqrt(sum(np.var(found, ddof=1) / len(found) for found in groups.values()))
    assert bias["gap_se"] == pytest.approx(error)


def test_where_everybody_was_heard_from_it_says_so(copied, tables):
    heard = {job["device"] % 45 for job in tables["clients"] if job["outcome"] in BACK}
    path = copied(evaluation=lambda rows: rows.filter(pl.col("client").is_in(heard)))
    told = json.loads(run(path, "--json").stdout)
    assert (told["bias"]["never"], told["bias"]["gap"]) == ({"clients": 0, "mean": None}, None)
    assert "everybody was heard from" in run(path).stdout
    assert "Every client was heard from" in (path / "campaign.html").read_text()


def test_a_run_tested_on_nobody_s_device_has_no_bias_and_says_why(copied):
    path = copied(evaluation=lambda rows: rows.with_columns(pl.lit(-1, pl.Int32).alias("device")))
    found = answers(read_run(path))
    assert found["bias"]["heard"]["clients"] == found["bias"]["never"]["clients"] == 0
    assert [line.split(":")[0] for line in found["unanswered"]] == ["bias"]
    assert "the final model was not tested on clients" in run(path).stdout


def test_the_server_sends_what_devices_got(trained, tables):
    _, told = trained
    to_jobs = sum(job["down_bytes"] for job in tables["clients"])
    to_visits = sum(row["check_ins"] for row in tables["check_ins"]) * ANSWER_BYTES
    sent = told["egress"]
    assert (sent["down_bytes"], sent["check_in_bytes"]) == (to_jobs + to_visits, to_visits)
    assert sent["per_day_bytes"] == pytest.approx(sent["down_bytes"] * DAY_S / told["lasted_s"])
    jobs = [
        (job["start_s"], job["start_s"] + job["down_s"], 8 * job["down_bytes"] / job["down_s"])
        for job in tables["clients"]
        if job["down_s"] > 0
    ]
    # The sum of rates is highest where some download begins.
    rates = {begin: sum(rate for first, last, rate in jobs if first <= begin < last) for begin, _, _ in jobs}
    assert sent["peak_bps"] == pytest.approx(max(rates.values()))
    assert rates[sent["peak_at_s"] + 20 * 3600.0] == pytest.approx(sent["peak_bps"])
    assert sent["peak_bps"] > 2 * max(rate for _, _, rate in jobs)


def test_the_rate_of_a_server_is_exact():
    begin_s, length_s = np.array([0.0, 1.0, 3.0, 3.0, 9.0]), np.array([2.0, 2.0, 1.0, 0.0, 1.0])
    time_s, rate_bps = server_load.steps(begin_s, length_s, np.array([2.0, 4.0, 1.0, 50.0, 0.0]))
    # 8 bit/s from 0 to 2, 16 from 1 to 3, 8 from 3 to 4; one of no length and one of no bytes are none.
    assert time_s.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert rate_bps.tolist() == [8.0, 24.0, 16.0, 8.0, 0.0]
    most = server_load.most_in(time_s, rate_bps, np.array([-1.0, 0.5, 1.5, 2.5, 2.75, 6.0, 7.0]))
    assert most.tolist() == [8.0, 24.0, 24.0, 16.0, 16.0, 0.0]
    nothing = server_load.steps(*np.zeros((3, 0)))
    assert server_load.most_in(*nothing, np.array([0.0, 1.0])).tolist() == [0.0]


def test_a_run_of_less_than_a_day_is_not_stretched_to_a_week(tmp_path):
    (tmp_path / "x.yaml").write_text(SCENARIO)
    done = run(tmp_path / "x.yaml", "--out", tmp_path / "run", "--backend", "local", "--json",
               "--set", "training.rounds=1")  # fmt: skip
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["lasted_s"] < DAY_S
    assert told["week"]["per"] == "run"
    assert told["egress"]["per_day_bytes"] is None
    assert "a day" not in run(tmp_path / "run").stdout.partition("Class")[0]
    assert any(line.startswith("week: the run lasted less than a day") for line in told["unanswered"])


@pytest.mark.parametrize(
    ("text", "place"), [(SCENARIO.replace("  protocol: production\n", ""), "4:1"),
                        (SCENARIO.replace("protocol: production", "protocol: none"), "10:13")]
)  # fmt: skip
def test_a_scenario_without_a_protocol_is_refused_before_it_is_run(tmp_path, text, place):
    (tmp_path / "x.yaml").write_text(text)
    done = run(tmp_path / "x.yaml", "--out", tmp_path / "run")
    assert isinstance(done.exception, FedliteError)
    assert str(done.exception).startswith(f"{tmp_path}/x.yaml:{place}: fleet.protocol: got 'none', under which")
    assert str(done.exception).endswith("; write 'protocol: production'")
    assert not (tmp_path / "run").exists()


def test_the_override_that_a_refusal_asks_for_helps(tmp_path):
    from fedlite.cli.campaign import _trained
    from fedlite.runner import Settings

    (tmp_path / "x.yaml").write_text(SCENARIO.replace("  protocol: production\n", ""))
    changes = {"fleet.protocol": "production", "training.rounds": "1"}
    path = _trained(tmp_path / "x.yaml", changes, tmp_path / "run", Settings("local"), quiet=True)
    assert answers(read_run(path))["rounds"] == 1


def test_a_run_without_a_protocol_is_refused(copied):
    path = copied()
    text = (path / "scenario.yaml").read_text()
    head, _, rest = text.partition("  protocol:\n")
    kept = rest[rest.index("  budgets:") :]
    (path / "scenario.yaml").write_text(f"{head}  protocol: none\n{kept}")
    done = run(path)
    assert isinstance(done.exception, FedliteError)
    assert "scenario.yaml: fleet.protocol: got 'none'" in str(done.exception)
    assert "--set fleet.protocol=production" in str(done.exception)


def test_a_run_without_a_target_says_what_it_cannot_answer_and_how_to_ask(copied):
    path = copied()
    text = (path / "scenario.yaml").read_text()
    (path / "scenario.yaml").write_text("".join(x for x in text.splitlines(True) if "target_accuracy" not in x))
    told = json.loads(run(path, "--json").stdout)
    assert told["target"]["value"] is told["target"]["days"] is None
    (line,) = told["unanswered"]
    assert "training.target_accuracy: got none" in line
    assert "--target '80 %'" in line
    assert "training.target_accuracy" in run(path).stdout
    assert json.loads(run(path, "--target", "50 %", "--json").stdout)["unanswered"] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--seed", 3), "which has its own already"),
        (("--target", "much"), "--target: got 'much'"),
        (("--rollout", "nowhere.yaml"), "nowhere.yaml: (file): got no file to read"),
    ],
)
def test_mistakes_on_the_command_line_are_told(trained, arguments, words):
    done = run(trained[0], *arguments)
    assert isinstance(done.exception, FedliteError)
    assert words in str(done.exception)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    done = run(tmp_path)
    assert isinstance(done.exception, FedliteError)
    assert "no such file, so this is no run" in str(done.exception)


def test_training_and_rollout_are_on_one_page(trained, tmp_path, monkeypatch):
    path, told = trained
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.yaml").write_text(PLAN)
    done = run(path, "--rollout", "plan.yaml", "--backend", "local", "--json", "--page", tmp_path / "page.html")
    assert done.exit_code == 0, done.output
    both = json.loads(done.stdout)
    assert both["rollout"] == json.loads((tmp_path / both["rollout_dir"] / "rollout.json").read_text())
    changed = {"rollout", "rollout_dir", "page"}
    assert {key: both[key] for key in both.keys() - changed} == {key: told[key] for key in told.keys() - changed}
    page = (tmp_path / "page.html").read_text()
    for part in (
        'id="training"',
        'id="server"',
        'id="rollout"',
        "Half have it after",
        "Server sends at most",
        'id="gates-chapter"',
    ):
        assert part in page
    assert 'id="rollout"' not in (path / "campaign.html").read_text()


def test_the_same_run_gives_the_same_page(trained):
    run_data = read_run(trained[0])
    found = answers(run_data)
    assert render(campaign_page(run_data, found, None)) == render(campaign_page(run_data, answers(run_data), None))


def test_the_terminal_can_be_pasted(trained):
    path, told = trained
    done = run(path)
    assert done.exit_code == 0, done.output
    assert f"round {told['target']['round']} of 8" in done.stdout.replace("\N{NARROW NO-BREAK SPACE}", " ")
    for words in ("Data per user and week", "Server sends at most", "Devices never heard from", "nrf52840", "page: "):
        assert words in done.stdout
    assert max(map(len, done.stdout.splitlines()[:14])) <= 80
