"""A run's model as files: written, read back, executed, tested, priced, and offered to a rollout."""

from __future__ import annotations

import json
import types

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score
from typer.testing import CliRunner

from fedlite import wire
from fedlite.cli import deploy as command
from fedlite.cli.main import app
from fedlite.compose import deploying
from fedlite.compose.deploying import Deployment, deploy
from fedlite.compose.final_model import final_arrays, learning_of
from fedlite.compose.offers import OF_THE_RUN, asked_for
from fedlite.compose.shipping import predicted, ship
from fedlite.compression.plan import Plan
from fedlite.compression.structure.width import Width
from fedlite.devices.duty import Use
from fedlite.errors import FedliteError
from fedlite.learning.corruptions import CORRUPTIONS
from fedlite.rng import stream
from fedlite.runner import Settings, run
from fedlite.scenario.loader import parse_scenario
from fedlite.scenario.profiles import load_profile
from fedlite.scenario.rollout.loading import parse_rollout

SCENARIO = """
name: tiny
fleet:
  devices: 8
  mix: {pixel-4: 50 %, nrf52840: 50 %}
  rules: {charging: false, unmetered: false, idle: false}
task: {data: digits, partition: iid, model: mlp}
training: {strategy: fedavg, rounds: 3, clients_per_round: 4, local: {epochs: 3, lr: 0.1}}
"""
PRUNED = ("unstructured-pruning+static-int8", [("unstructured-pruning", {"sparsity": "0.5"}), ("static-int8", {})])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return run(parse_scenario(SCENARIO), out=tmp_path_factory.mktemp("run") / "run", settings=Settings("local"))


def told(trained, out, *artefacts, use=None, limit=float("inf")):
    return deploy(Deployment(trained.path, artefacts, use or Use(), limit, out))


@pytest.fixture(scope="module")
def deployed(trained, tmp_path_factory):
    out = tmp_path_factory.mktemp("deploy")
    return out, told(trained, out, ("fp32", []), ("static-int8", [("static-int8", {})]), PRUNED)


def test_files_are_as_long_as_they_are_said_to_be(deployed):
    out, found = deployed
    sizes = {one["artefact"]: one["stored_bytes"] for one in found["artefacts"]}
    assert sizes == {name: (out / f"{name}.fedlite").stat().st_size for name in sizes}
    assert sizes["static-int8"] < 0.35 * sizes["fp32"]
    assert wire.decode((out / "static-int8.fedlite").read_bytes())[0].dtype.kind in "iuf"


def test_the_rows_that_a_delivery_looked_at_are_charged(deployed):
    plain, integers, _ = deployed[1]["classes"][0]["artefacts"]
    assert plain["making"]["device_j"]["value"] == 0 < integers["making"]["device_j"]["value"]
    # Calibration looks at 64 rows of the net as it was trained.
    assert 3.6e6 * integers["making"]["device_hours"]["value"] == pytest.approx(64 * plain["latency_ms"]["value"])


def test_the_model_as_trained_is_as_good_as_the_run_says(trained, deployed):
    whole = deployed[1]["artefacts"][0]
    for name in ("accuracy", "macro_f1"):
        assert whole["metrics"][name] == pytest.approx(trained.summary["metrics"][name], abs=1e-9)


def test_precision_recall_and_f1_are_those_of_the_predictions(trained, deployed):
    learning = learning_of(trained.path, "run")
    ware = learning.ware(final_arrays(trained.path, learning, "run"))
    said, wanted = predicted(ship(ware, Plan()), ware), learning.judge.y_test
    metrics = deployed[1]["artefacts"][0]["metrics"]
    assert metrics["accuracy"] == pytest.approx(float(np.mean(said == wanted)))
    for name, score in (("precision", precision_score), ("recall", recall_score), ("macro_f1", f1_score)):
        assert metrics[name] == pytest.approx(score(wanted, said, average="macro", zero_division=0.0))
    assert sum(one["rows"] for one in metrics["by_class"]) == len(wanted)
    classes = sorted({*said.tolist(), *wanted.tolist()})
    assert [one["class"] for one in metrics["by_class"]] == classes


def test_classes_that_several_exits_say_have_precision_and_recall_too(tmp_path):
    model = "model: {name: cnn-exits, options: {outputs: all}}, objective: exits"
    done = run(parse_scenario(SCENARIO.replace("model: mlp", model)), out=tmp_path / "run", settings=Settings("local"))
    metrics = told(done, tmp_path / "deploy", ("fp32", []))["artefacts"][0]["metrics"]
    assert metrics["macro_f1"] == pytest.approx(done.summary["metrics"]["macro_f1"], abs=1e-9)
    assert sum(one["recall"] * one["rows"] for one in metrics["by_class"]) == pytest.approx(
        metrics["accuracy"] * sum(one["rows"] for one in metrics["by_class"])
    )


def test_a_model_that_was_altered_after_the_run_is_refused(tmp_path):
    done = run(parse_scenario(SCENARIO), out=tmp_path / "run", settings=Settings("local"))
    file = done.path / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(FedliteError, match=r"model\.safetensors.*not the bytes that the run wrote, by their SHA-256"):
        told(done, tmp_path / "deploy", ("fp32", []))


def test_spoiled_inputs_are_worse(deployed):
    whole = deployed[1]["artefacts"][0]
    assert set(whole["corrupted"]) == {"noise", "weak", "holes"}
    assert all(one["accuracy"] < whole["metrics"]["accuracy"] for one in whole["corrupted"].values())


def test_corruptions_are_what_they_say():
    x = stream(1, "x").normal(3.0, 2.0, size=(200, 50)).astype(np.float32)
    made = {name: spoil(x, 7) for name, spoil in CORRUPTIONS.items()}
    assert float((made["noise"] - x).std()) == pytest.approx(0.5 * float(x.std()), rel=0.02)
    np.testing.assert_allclose(made["weak"].std(), 0.4 * x.std(), rtol=1e-4)
    assert float(np.mean(made["holes"] == np.float32(x.mean()))) == pytest.approx(0.2, abs=0.02)
    assert all(np.array_equal(spoil(x, 7), made[name]) for name, spoil in CORRUPTIONS.items())


def test_every_class_is_priced_or_says_why_not(trained, deployed, tmp_path):
    classes = {one["profile"]: one["artefacts"] for one in deployed[1]["classes"]}
    assert set(classes) == {"pixel-4", "nrf52840"}
    phone = {one["artefact"]: one for one in classes["pixel-4"]}
    assert all(one["runs"] for one in phone.values())
    assert phone["static-int8"]["latency_ms"]["value"] < phone["fp32"]["latency_ms"]["value"]
    assert phone["static-int8"]["peak_memory_bytes"]["value"] == phone["fp32"]["peak_memory_bytes"]["value"] / 4
    small = told(trained, tmp_path, ("fp32", []), limit=1000.0)["classes"][0]["artefacts"][0]
    assert not small["runs"]
    assert small["why"][0].startswith("limit: takes 19")


def test_what_does_not_apply_is_said_and_the_rest_is_made(trained, tmp_path):
    keep = ("weight-only", [("weight-only", {"keep": "nowhere"})])
    found = told(trained, tmp_path, ("fp32", []), keep)
    assert [one["artefact"] for one in found["artefacts"]] == ["fp32"]
    assert "no layer of weight-quantization is called" in found["not_made"][0]["why"]
    with pytest.raises(FedliteError, match="none of the artefacts can be made"):
        told(trained, tmp_path, keep)
    for name, why in (
        ("compact-net", "chooses a net"),
        ("distillation", "chooses a net"),
        ("top-k", "leaves a trained model as it is"),
    ):
        assert why in told(trained, tmp_path, ("fp32", []), ("other", [(name, {})]))["not_made"][0]["why"]


def test_what_the_run_did_not_train_for_is_said(trained, deployed):
    said = {one["artefact"]: one["remarks"] for one in deployed[1]["artefacts"]}
    (remark,) = said.pop(PRUNED[0])
    assert remark.startswith("this model was not trained under 50% sparse, and may lose what it learned otherwise;")
    assert set(map(tuple, said.values())) == {()}
    plan = asked_for(*PRUNED).plan
    named = "clients: [{for: any, plan: {techniques: [{name: unstructured-pruning, sparsity: 0.5}]}}]\n"
    assert not deploying._untrained(plan, parse_scenario(SCENARIO + named))
    assert deploying._untrained(plan, parse_scenario(SCENARIO + named.replace("0.5", "0.6")))


def test_a_term_of_training_that_the_run_did_not_have_is_said():
    plan = asked_for("group-sparsity", [("group-sparsity", {})]).plan
    assert deploying._untrained(plan, parse_scenario(SCENARIO)).startswith(
        "this model was not trained under group lasso 0.003,"
    )
    named = "clients: [{for: any, plan: {techniques: [group-sparsity]}}]\n"
    assert not deploying._untrained(plan, parse_scenario(SCENARIO + named))


@pytest.fixture(scope="module")
def on_battery(trained, tmp_path_factory):
    width = ("battery-width", [("battery-width", {"charge": "0.3"})])
    found = told(trained, tmp_path_factory.mktemp("battery"), ("fp32", []), width)
    return found, learning_of(trained.path, "run")


def test_what_follows_the_battery_is_tested_in_each_state_and_says_which_one_stands_alone(trained, on_battery):
    found, learning = on_battery
    plain, made = found["artefacts"]
    assert "by_charge" not in plain
    assert any("hold with a battery of 20% to 50%" in one for one in made["remarks"])
    tested = {one["charge_from"]: one["metrics"]["loss"] for one in made["by_charge"]}
    assert list(tested) == [0.5, 0.2, 0.0]
    assert tested[0.2] == made["metrics"]["loss"]
    # The widest state computes the whole net.
    assert tested[0.5] == pytest.approx(plain["metrics"]["loss"])
    ware = learning.ware(final_arrays(trained.path, learning, "run"))
    narrow = ship(ware, Plan(structure=Width(0.5))).score.metrics["loss"]
    assert tested[0.0] == pytest.approx(narrow)
    assert tested[0.0] != tested[0.5]
    for one in made["by_charge"]:
        assert {"precision", "recall", "macro_f1", "by_class"} <= set(one["metrics"])


def test_each_state_of_the_battery_is_priced_on_each_class(on_battery):
    for one in on_battery[0]["classes"]:
        plain, made = one["artefacts"]
        assert "by_charge" not in plain
        for key in ("latency_ms", "energy_mj"):
            takes = {state["charge_from"]: state[key]["value"] for state in made["by_charge"]}
            assert takes[0.5] > takes[0.2] > takes[0.0]
            assert takes[0.2] == made[key]["value"]


def test_the_terminal_has_a_row_for_each_state(on_battery, capsys):
    command._show(on_battery[0])
    shown = capsys.readouterr().out
    states = [line for line in shown.splitlines() if "from 20% charge" in line]
    assert len(states) == 1 + len(on_battery[0]["classes"])
    assert f"{on_battery[0]['classes'][0]['artefacts'][1]['latency_ms']['value']:.3g} ms" in states[1]
    assert "battery-width: accuracy, time and energy that stand without a charge" in shown


def test_the_command_writes_what_a_rollout_takes(trained, tmp_path):
    options = ["--artefact", "fp32", "--artefact", "unstructured-pruning+static-int8", "--set", "sparsity=0.5"]
    found = CliRunner().invoke(
        app, ["deploy", str(trained.path), *options, "--out", str(tmp_path), "--deadline", "1 ms"]
    )
    assert found.exit_code == 0, found.output
    assert "executed here" in found.output
    written = json.loads((tmp_path / "deploy.json").read_text())
    assert written["use"] == {"per_s": 1.0, "deadline_s": 0.001, "limit_bytes": None}
    assert written["artefacts"][1]["plan"] == "50% sparse, static int8"
    plan = (tmp_path / "variants.yaml").read_text() + (
        "name: small\nfleet: {devices: 100, mix: {galaxy-a52: 100 %}}\nstrategy: {preset: play-staged}\n"
    )
    assert {one.name for one in parse_rollout(plan, folder=tmp_path).model.variants} == {
        "fp32",
        "unstructured-pruning-static-int8",
    }


def test_what_is_beyond_the_limit_is_neither_offered_nor_exported(trained, tmp_path):
    small = ["--artefact", "weight-only", "--set", "bits=2"]
    limit = ["--limit", "8 kB", "--out", str(tmp_path)]
    found = CliRunner().invoke(app, ["deploy", str(trained.path), "--artefact", "fp32", *small, *limit])
    assert found.exit_code == 0, found.output
    assert "limit: takes" in found.output
    plan = (tmp_path / "variants.yaml").read_text()
    assert "weight-only" in plan
    assert "fp32" not in plan
    none = CliRunner().invoke(
        app, ["deploy", str(trained.path), "--artefact", "fp32", "--limit", "1 B", "--out", str(tmp_path)]
    )
    assert "deploy: no artefact runs on any class: limit: takes" in str(none.exception)


def test_an_artefact_that_is_named_and_too_large_is_not_exported_and_told(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(deploying, "format_of", lambda _: types.SimpleNamespace(name="x", check_installed=lambda: None))
    small = [("fp32", []), ("weight-only", [("weight-only", {"bits": "2"})])]
    monkeypatch.setattr(deploying, "exported", lambda name, *_: {"artefact": name})
    found = deploy(Deployment(trained.path, small, Use(), 8e3, tmp_path, ("x",), ("fp32", "weight-only")))
    assert [one["artefact"] for one in found["exports"]] == ["weight-only", "fp32"]
    assert found["exports"][1]["why"] == "it takes more than the limit"
    assert found["use"]["limit_bytes"] == 8e3


@pytest.mark.parametrize(("option", "text"), [("--limit", "-5MB"), ("--limit", "0 B"), ("--deadline", "0 s")])
def test_nothing_is_made_under_a_limit_that_is_none(trained, tmp_path, option, text):
    found = CliRunner().invoke(app, ["deploy", str(trained.path), option, text, "--out", str(tmp_path / "out")])
    assert f"{option}: got {text!r}, expected above 0" in str(found.exception)
    assert not (tmp_path / "out").exists()


def test_who_does_not_keep_up_says_so(trained, tmp_path):
    options = ["--artefact", "fp32", "--rate", "1e7", "--out", str(tmp_path)]
    assert "does not keep up" in CliRunner().invoke(app, ["deploy", str(trained.path), *options]).output.replace(
        "\n", " "
    )


@pytest.mark.parametrize("name", ["", "fp32+static-int8", "of-the-run+static-int8"])
def test_what_is_no_artefact_is_told_as_the_option_that_named_it(name):
    with pytest.raises(
        FedliteError, match=r"--artefact: got .*, expected fp32 or of-the-run alone, or techniques with"
    ):
        asked_for(name, [(one, {}) for one in name.split("+") if one])


def test_a_relative_run_is_found_from_beside_the_files(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(trained.path.parent)
    found = CliRunner().invoke(app, ["deploy", trained.path.name, "--artefact", "fp32"])
    assert found.exit_code == 0, found.output
    monkeypatch.chdir(tmp_path)
    folder = trained.path / "deploy"
    plan = (folder / "variants.yaml").read_text() + (
        "name: small\nfleet: {devices: 100, mix: {galaxy-a52: 100 %}}\nstrategy: {preset: play-staged}\n"
    )
    (one,) = parse_rollout(plan, folder=folder).model.variants
    assert one.name == "fp32"


def test_a_battery_lasts_as_long_as_its_states_one_after_the_other(trained, tmp_path):
    width = ("battery-width", [("battery-width", {"charge": "0.15"})])
    found = told(trained, tmp_path, ("fp32", []), width, use=Use(5000.0))
    (phone,) = [one for one in found["classes"] if one["profile"] == "pixel-4"]
    plain, made = phone["artefacts"]
    hours = [state["hours_to_empty"] for state in made["by_charge"]]
    assert hours[0] == pytest.approx(plain["hours_to_empty"])
    assert made["hours_to_empty"] == pytest.approx(0.5 * hours[0] + 0.3 * hours[1] + 0.2 * hours[2])
    assert hours[0] < made["hours_to_empty"] < hours[2]


def test_what_a_server_answers_costs_the_radio_and_no_computing(trained, tmp_path):
    asks = ("cloud-break-even", [("cloud-break-even", {})])
    found = told(trained, tmp_path, ("fp32", []), asks)
    assert (found["artefacts"][1]["file"], found["artefacts"][1]["stored_bytes"]) == (None, 0)
    assert not (tmp_path / "cloud-break-even.fedlite").exists()
    (phone,) = [one for one in found["classes"] if one["profile"] == "pixel-4"]
    plain, asked = phone["artefacts"]

    def power_w(one):
        return load_profile("pixel-4").battery_j.value / (3600.0 * one["hours_to_empty"])

    extra_w = power_w(asked) - power_w(plain)
    assert extra_w == pytest.approx(1e-3 * (asked["energy_mj"]["value"] - plain["energy_mj"]["value"]), rel=1e-6)
    assert asked["sustained_per_s"] == pytest.approx(asked["per_s"])


@pytest.mark.parametrize(("option", "text"), [("--deadline", "5"), ("--limit", "abc")])
def test_a_quantity_that_cannot_be_read_is_told_by_its_option(trained, option, text):
    found = CliRunner().invoke(app, ["deploy", str(trained.path), option, text])
    assert str(found.exception).startswith(f"{option}: ")


def test_a_setting_that_no_artefact_has_is_refused(trained, tmp_path):
    found = CliRunner().invoke(app, ["deploy", str(trained.path), "--artefact", "fp32", "--set", "bits=2"])
    assert "--set: got 'bits', which none of the artefacts fp32 has" in str(found.exception)


@pytest.mark.parametrize(
    ("named", "expected"), [((), ["good", "fp32"]), (("poor",), ["poor"]), (("fp32", "good"), ["good", "fp32"])]
)
def test_the_best_artefact_and_fp32_are_exported_or_those_that_are_named(named, expected):
    made = [
        {"artefact": name, "metrics": {"accuracy": accuracy}}
        for name, accuracy in (("poor", 0.5), ("fp32", 0.8), ("good", 0.9))
    ]
    assert deploying._to_export(named, made, {"metric": "accuracy", "goal": "max"}) == expected


def test_each_format_exports_what_was_made(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(deploying, "exported", lambda name, shipped, _, *rest: (name, len(shipped.file), *rest))
    forms = {name: types.SimpleNamespace(check_installed=lambda: None) for name in ("one", "other")}
    monkeypatch.setattr(deploying, "format_of", forms.__getitem__)
    found = deploy(Deployment(trained.path, [("fp32", [])], Use(), 1e9, tmp_path, ("one", "other", "one")))["exports"]
    size = (tmp_path / "fp32.fedlite").stat().st_size
    assert found == [("fp32", size, form, tmp_path) for form in forms.values()]


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(FedliteError, match=r"run: got .*nothing, which is no directory, expected that of a run"):
        deploy(Deployment(tmp_path / "nothing", [("fp32", [])], Use(), 1e9, tmp_path))


OWN = """clients:
  - {for: {profile: nrf52840}, plan: {width: 0.5, up: int8, techniques: [{name: static-int8, rows: 32}]}}
  - {for: {profile: pi-4b}, plan: {structure: {name: ordered, shares: [0.5, 1.0]}}}
  - {for: {profile: galaxy-a52}, plan: auto, limits: {stored: 10 kB}}
"""


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    mix = "{pixel-4: 25 %, nrf52840: 25 %, galaxy-a52: 25 %, pi-4b: 25 %}"
    text = SCENARIO.replace("{pixel-4: 50 %, nrf52840: 50 %}", mix) + OWN
    done = run(parse_scenario(text), out=tmp_path_factory.mktemp("mixed") / "run", settings=Settings("local"))
    out = tmp_path_factory.mktemp("own")
    found = CliRunner().invoke(app, ["deploy", str(done.path), "--out", str(out)])
    assert found.exit_code == 0, found.output
    return done, out, found.output


def test_what_the_runs_own_classes_get_is_made_unless_others_are_asked_for(mixed):
    done, out, shown = mixed
    told = json.loads((out / "deploy.json").read_text())
    made = {one["artefact"]: one for one in told["artefacts"]}
    shipped = {one["profile"]: one["shipped"] for one in told["classes"]}
    # The widest of the widths is the whole net, and the same file.
    assert shipped["pixel-4"] == shipped["pi-4b"] == "fp32"
    assert shipped["nrf52840"] == "width-0.5-static-int8"
    assert len(set(shipped.values())) == 3
    delivered = {profile: one for one in done.summary["delivered"] for profile in one["profiles"]}
    for profile in ("nrf52840", "galaxy-a52"):
        mine = made[shipped[profile]]
        # It is what the run's own summary tells of, and it was trained like that.
        assert mine["stored_bytes"] == delivered[profile]["stored_bytes"] < made["fp32"]["stored_bytes"]
        assert mine["metrics"]["accuracy"] == delivered[profile]["metrics"]["accuracy"]
        assert not mine["remarks"]
        assert f"{shipped[profile]} (as in the run)"[:12] in shown


def test_a_rollout_takes_what_the_runs_own_classes_get(mixed):
    done, out, _ = mixed
    told = json.loads((out / "deploy.json").read_text())
    plan = (out / "variants.yaml").read_text() + (
        "name: small\nfleet: {devices: 100, mix: {galaxy-a52: 100 %}}\nstrategy: {preset: play-staged}\n"
    )
    learning = learning_of(done.path, "run")
    ware = learning.ware(final_arrays(done.path, learning, "run"))
    variants = {one.name: one for one in parse_rollout(plan, folder=out).model.variants}
    for name in {one["shipped"] for one in told["classes"]}:
        made = ship(ware, variants[name].plan.plan(("fp32",), ("fp32",)))
        assert made.file == (out / f"{name}.fedlite").read_bytes()


def test_what_a_class_follows_and_cannot_be_made_is_told_and_not_named_as_shipped(mixed, tmp_path, monkeypatch):
    done, _, _ = mixed

    def refusing(ware, plan):
        if plan.deliveries:
            raise FedliteError("not today")
        return ship(ware, plan)

    monkeypatch.setattr(deploying, "ship", refusing)
    found = told(done, tmp_path, ("fp32", []), (OF_THE_RUN, []))
    shipped = {one["profile"]: one["shipped"] for one in found["classes"]}
    assert (shipped["pixel-4"], shipped["nrf52840"]) == ("fp32", None)
    assert {"artefact": "width-0.5-static-int8", "why": "not today"} in found["not_made"]


def test_what_the_classes_get_is_not_made_where_others_are_asked_for(mixed, tmp_path):
    done, _, _ = mixed
    found = told(done, tmp_path, ("weight-only", [("weight-only", {})]))
    assert [one["artefact"] for one in found["artefacts"]] == ["weight-only"]
    assert {one["shipped"] for one in found["classes"]} == {None}
    own = told(done, tmp_path, (OF_THE_RUN, []))
    assert {one["artefact"] for one in own["artefacts"]} == {one["shipped"] for one in own["classes"]}
