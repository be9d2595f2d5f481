"""Clients that sleep, raise, end their program or do nothing: told, charged, and the same on every backend."""

import json
import shutil
from pathlib import Path

import pytest

from fedlite.cli.main import main
from fedlite.errors import FedliteError
from fedlite.report.run_data import read_run
from fedlite.report.run_page import run_page
from fedlite.runner import Settings, resume, run_app
from fedlite.scenario.loader import parse_scenario

FLEET = parse_scenario(
    "name: f\nfleet: {devices: 6, mix: {pi-4b: 1, pixel-6: 1}, availability: always}\n"
    "task: {data: digits, model: mlp}\ntraining: {failures: error}\n"
)
APP = Path(__file__).parent / "apps" / "unruly"


@pytest.fixture
def finished(tmp_path):
    return run_app(APP, FLEET, settings=Settings("local"), out=tmp_path / "run")


def test_every_unruly_client_is_an_outcome_of_its_own(finished):
    jobs = finished.clients
    first = jobs.filter((jobs["kind"] == "train") & (jobs["round"] == 1)).sort("device")
    arrived, failed = "arrived", "client_error"
    assert first["outcome"].to_list() == [arrived, arrived, failed, failed, failed, arrived]
    reasons = [reason.partition(" at client_app.py:")[0] for reason in first["reason"]]
    assert reasons == [
        "",
        "",
        "ValueError: no data in <object object at 0x...>",
        "SystemExit: 3",
        "ModuleNotFoundError: No module named 'a_library_that_is_not_there'",
        "",
    ]
    assert 100 < first["train_s"][1] < 110
    assert first["train_s"][5] < first["train_s"][0]


def test_what_clients_raised_is_in_summary_report_and_on_the_terminal(finished, capsys):
    errors = finished.summary["client_errors"]
    assert {error["first_device"]: (error["reason"][:10], error["jobs"], error["devices"]) for error in errors} == {
        2: ("ValueError", 2, 1),
        3: ("SystemExit", 2, 1),
        4: ("ModuleNotF", 2, 1),
    }
    for error in errors:
        assert error["traceback"].count("unruly/client_app.py") == 1
        assert "fedlite/flower" not in error["traceback"]
    page = (finished.path / "report.html").read_text()
    assert "What went wrong" in page
    assert "SystemExit: 3" in page
    assert "Accuracy, as the app tells it" in page
    assert "central test set" not in page
    from fedlite.cli.run import show_outcome

    show_outcome(finished)
    said = " ".join(capsys.readouterr().out.split())
    assert "2 train jobs on 1 device failed in the client's own code, first on device 2" in said
    assert "Traceback (most recent call last)" in said


def test_a_client_that_does_nothing_aborts_nothing_and_is_told(finished):
    assert set(finished.summary["uncounted"]) == {"train", "evaluate"}
    assert finished.summary["outcomes"]["arrived"] > 6


def test_failed_evaluations_are_told(tmp_path):
    local, config = Settings("local"), "nobody-evaluates=true"
    run = run_app(APP, FLEET, run_config=config, settings=local, out=tmp_path / "run")
    [error] = [error for error in run.summary["client_errors"] if error["kind"] == "evaluate"]
    assert error["reason"].startswith("KeyError: 'test set' at client_app.py:")
    assert (error["jobs"], error["devices"]) == (12, 6)


@pytest.mark.ray
def test_unruly_clients_give_the_same_digest_and_errors_on_ray(finished, tmp_path):
    again = run_app(APP, FLEET, settings=Settings("ray", 2), out=tmp_path / "ray")
    assert again.summary["digest"] == finished.summary["digest"]
    assert again.summary["client_errors"] == finished.summary["client_errors"]
    assert again.summary["virtual_time_s"] == finished.summary["virtual_time_s"]


def test_a_run_in_which_nobody_ever_arrived_says_so_by_its_exit_code(tmp_path, monkeypatch, capsys):
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text("name: f\nfleet: {devices: 3, mix: {pi-4b: 1}}\n")
    words = ["fedlite", "app", str(APP), "--fleet", str(fleet), "--backend", "local", "--out", str(tmp_path / "run")]
    monkeypatch.setattr("sys.argv", [*words, "--run-config", "nobody-trains=true", "--json"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 7
    told = capsys.readouterr()
    # Tests of a model that nobody ever trained are no result.
    assert json.loads(told.out)["outcomes"] == {"arrived": 6, "client_error": 6}
    assert "no update of any device ever arrived" in told.err


def test_a_model_that_an_apps_own_strategy_made_of_nan_is_told(tmp_path):
    app = tmp_path / "app"
    shutil.copytree(APP, app)
    client = app / "client_app.py"
    sound = client.read_text()
    client.write_text(
        sound.replace("* 0.01 + kind", '* float("nan")').replace('"accuracy": 0.5', '"accuracy": float("nan")')
    )
    run = run_app(app, FLEET, settings=Settings("local"), out=tmp_path / "run")
    assert "the model that the app ended with is not finite" in run.summary["verdict"]
    assert "has no accuracy that is a number" in str(run_page(read_run(run.path)).answer)


def test_one_error_on_many_devices_is_told_once_whatever_its_words(tmp_path):
    local, config = Settings("local"), "nobody-trains=true"
    run = run_app(APP, FLEET, run_config=config, settings=local, out=tmp_path / "run")
    [error] = run.summary["client_errors"]
    assert (error["jobs"], error["devices"]) == (12, 6)
    assert len(set(run.clients["reason"])) == 7
    assert "train" not in run.summary["uncounted"]


def test_after_a_server_that_raises_the_report_of_what_happened_is_there(tmp_path):
    out, config = tmp_path / "run", "waits-for='/nowhere'"
    with pytest.raises(FedliteError, match=r"(?s)RuntimeError: nothing to read.*what happened until then: .*report"):
        run_app(APP, FLEET, run_config=config, settings=Settings("local"), out=out)
    run = read_run(out)
    assert run.summary["failure"].startswith("server app: it raised RuntimeError")
    assert run.rounds["round"].to_list() == [0, 1, 2]
    [section] = [section for section in run_page(run).sections if section.id == "failures"]
    assert "did not come to its end" in section.present()[0]
    with (run.path / "report.html").open() as page:
        assert "did not come to its end" in page.read()
    with pytest.raises(FedliteError, match="holds a run that failed, as its report says"):
        run_app(APP, FLEET, run_config=config, settings=Settings("local"), out=out)


def test_a_failed_run_can_be_tried_again_where_it_stands(tmp_path):
    flag = tmp_path / "mended"
    local, config = Settings("local"), f"waits-for='{flag}'"
    with pytest.raises(FedliteError, match="nothing to read"):
        run_app(APP, FLEET, run_config=config, settings=local, out=tmp_path / "run")
    flag.touch()
    mended = resume(tmp_path / "run", settings=Settings("local"))
    assert mended.summary["failure"] is None
    assert "did not come to its end" not in (tmp_path / "run" / "report.html").read_text()


def test_what_each_client_told_of_the_model_is_in_the_table_of_tests(finished):
    table = finished.evaluation.sort("device")
    assert table["device"].to_list() == [0, 1, 2, 3, 4, 5]
    assert table["samples"].to_list() == [2] * 6
    assert table["accuracy"].to_list() == [0.5] * 6


def test_plans_give_an_app_their_codecs_and_say_what_has_no_effect(tmp_path, caplog):
    text = (
        "name: f\nfleet: {devices: 6, mix: {pi-4b: 1, pixel-6: 1}}\ntask: {data: digits, model: mlp}\n"
        "clients: [{for: {profile: pi-4b}, plan: {up: int8, width: 0.5}}]\n"
    )
    run = run_app(APP, parse_scenario(text), settings=Settings("local"), out=tmp_path / "run")
    assert any("of which only 'up' and 'down' act (not" in record.getMessage() for record in caplog.records)
    jobs = run.clients.filter((run.clients["kind"] == "train") & (run.clients["outcome"] == "arrived"))
    saved = {row["profile"]: row["up_raw_bytes"] - row["up_bytes"] for row in jobs.iter_rows(named=True)}
    assert saved.get("pixel-6", 0) == 0 < saved["pi-4b"]
