"""What a run lets its adversary see, and what attacks and audits make of it: exact, useless or caught, as they must."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from fedlite.attacks import audit as bounds
from fedlite.cli.main import app
from fedlite.client.stages.base import Sending, norm_of
from fedlite.client.stages.canary import Canary, direction, included
from fedlite.compose import scenario_campaign, watching
from fedlite.compose.attack_labels import infer_labels, infer_property
from fedlite.compose.attack_membership import infer_membership
from fedlite.compose.attack_scene import Scene
from fedlite.compose.attacking import Options, attack, audit
from fedlite.compose.auditing import audit_run
from fedlite.errors import FedliteError
from fedlite.rng import stream
from fedlite.runner import Settings, run
from fedlite.scenario.loader import parse_scenario

TINY = """
name: tiny
seed: 3
fleet:
  devices: 40
  mix: {pixel-4: 100 %}
  rules: {charging: false, unmetered: false, idle: false}
task: {data: digits, partition: iid, model: mlp, clients: 1400}
training: {rounds: 2, clients_per_round: 8, local: {epochs: 1, batch_size: 64, lr: 0.1}}
"""
UPDATES = TINY + "adversary: {sees: updates}\n"
SUMS = TINY + "adversary: {sees: sums}\n"
NOISY = UPDATES + "privacy: {mechanism: local-dp, epsilon: 8.0, delta: 1e-4, clipping_norm: 1.0}\n"
CANARIES = """
name: canaries
seed: 1
fleet:
  devices: 150
  mix: {pixel-4: 100 %}
  rules: {charging: false, unmetered: false, idle: false}
task: {data: digits, partition: iid, model: mlp, clients: 150}
training: {rounds: 2, clients_per_round: 150, failures: missing, local: {epochs: 1, batch_size: 16, lr: 0.1}}
privacy: {mechanism: client-fixed-clipping, noise_multiplier: 1.0, clipping_norm: 1.0, delta: 1e-3}
adversary: {sees: models, canaries: {clients: 130}}
"""


def finished(text, folder):
    return run(parse_scenario(text), out=folder / "run", settings=Settings("local"))


@pytest.fixture(scope="module")
def open_run(tmp_path_factory):
    return finished(UPDATES, tmp_path_factory.mktemp("open"))


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    return finished(NOISY, tmp_path_factory.mktemp("noisy"))


@pytest.fixture(scope="module")
def summed(tmp_path_factory):
    return finished(SUMS, tmp_path_factory.mktemp("sums"))


@pytest.fixture(scope="module")
def canaries(tmp_path_factory):
    return finished(CANARIES, tmp_path_factory.mktemp("canaries"))


def test_being_watched_changes_nothing(open_run, summed, tmp_path):
    plain = finished(TINY, tmp_path)
    assert plain.summary["digest"] == open_run.summary["digest"] == summed.summary["digest"]
    assert not (plain.path / watching.TOLD).exists()


def test_the_mean_of_what_was_seen_is_what_moved_the_model(open_run, summed):
    """FedAvg adds the weighted mean of the updates to the model that went out."""
    seen, sums = watching.read(open_run.path).rounds, watching.read(summed.path).rounds
    assert [one.number for one in seen] == [1]
    assert [one.number for one in sums] == [1, 2]
    weights = np.array([reply.examples for reply in seen[0].replies], float)
    for name, old in seen[0].model.items():
        mean = sum(w * reply.update[name] for w, reply in zip(weights, seen[0].replies, strict=True)) / weights.sum()
        np.testing.assert_allclose(sums[0].mean[name], mean, atol=1e-7)
        np.testing.assert_allclose(sums[1].model[name], old + mean, atol=1e-6)


def test_a_recording_of_sums_holds_no_single_update_and_no_data(summed, open_run):
    kinds = {key.split("/")[1] for key in load_file(summed.path / watching.ARRAYS)}
    assert kinds == {"model", "mean"}
    told = json.loads((open_run.path / watching.TOLD).read_text())
    assert set(told["rounds"][0]["replies"][0]) == {"device", "client", "examples"}


def test_what_is_seen_went_through_the_codec(tmp_path):
    text = TINY + "adversary: {sees: updates, clients: 3}\nwire: {up: int4}\n"
    (seen,) = watching.read(finished(text, tmp_path).path).rounds
    assert len(seen.replies) == 3
    assert max(len(np.unique(reply.update["1.weight"])) for reply in seen.replies) <= 16


def test_what_is_seen_went_through_the_noise(noisy):
    (seen,) = watching.read(noisy.path).rounds
    assert min(norm_of(list(reply.update.values())) for reply in seen.replies) > 10.0


def test_models_are_seen_before_and_after_a_round_and_nothing_else(tmp_path):
    found = finished(TINY + "adversary: {sees: models, rounds: [2]}\n", tmp_path)
    (one,) = watching.read(found.path).rounds
    assert one.number == 2
    assert not one.mean
    assert not any(reply.update for reply in one.replies)
    assert not one.after  # the last model is the run's own file
    (seen,) = Scene.of(found.path).observations()
    final = Scene.of(found.path).final
    np.testing.assert_allclose(seen.model["1.weight"] + seen.update["1.weight"], final[0], atol=1e-7)


def test_inversion_is_exact_without_noise_and_useless_with_it(open_run, noisy):
    bare, hidden = attack(open_run.path, "inversion"), attack(noisy.path, "inversion")
    assert bare["psnr_db"] > 90.0
    assert bare["recovered"] == 1.0
    assert hidden["recovered"] == 0.0
    assert hidden["psnr_db"] < hidden["baseline_db"]


def test_a_sum_hides_pictures_better_than_single_updates(open_run, summed):
    alone, together = attack(open_run.path, "inversion"), attack(summed.path, "inversion")
    assert together["psnr_db"] < alone["psnr_db"] - 20.0
    assert together["observations"][0]["clients"] == 8


def test_an_inversion_leaves_numbers_and_a_page_with_pictures(open_run):
    told = attack(open_run.path, "inversion")
    assert json.loads((open_run.path / "attack-inversion.json").read_text()) == told
    page = (open_run.path / "attack-inversion.html").read_text()
    assert page.count("data:image/png;base64,") == 16
    assert "pictures" not in told


@pytest.mark.parametrize("method", ["cosine", "dlg"])
def test_inversion_by_optimisation_is_to_be_had_of_a_run(open_run, method, monkeypatch):
    from fedlite.compose import attack_inversion

    monkeypatch.setattr(attack_inversion, "invert_by_angle", lambda *_, **__: np.zeros((1, 64), np.float32))
    monkeypatch.setattr(attack_inversion, "deep_leakage", lambda *_, **__: (np.zeros((1, 64), np.float32), None))
    assert attack(open_run.path, "inversion", Options(method=method))["method"] == method


def test_labels_of_single_examples_are_read_off(open_run):
    told = infer_labels(Scene.of(open_run.path))
    assert told["likeliest_is_there"] == told["presence_accuracy"] == 1.0
    assert told["guess_is_there"] < 0.6
    assert all(one["told"] == one["true"] for one in told["observations"])


def test_a_property_is_told_from_updates(open_run):
    told = infer_property(Scene.of(open_run.path), shadows=40)
    assert told["auc"] == 1.0
    assert 0 < told["with_property"] < told["clients"]


def test_members_of_an_overfitted_model_are_told_from_others(tmp_path):
    text = TINY.replace("devices: 40", "devices: 8").replace("clients: 1400", "clients: 100")
    text = text.replace("epochs: 1", "epochs: 15").replace("lr: 0.1", "lr: 0.3").replace("rounds: 2", "rounds: 3")
    path = finished(text, tmp_path).path
    told = attack(path, "membership", Options(shadows=8))
    assert told["members"] == told["others"] == 120
    assert told["scores"]["lira-online"]["auc"] > 0.6
    assert told["scores"]["loss"]["auc"] > 0.55
    assert set(told["scores"]) == {"loss", "lira-online", "lira-offline"}
    assert told["curves"]["loss"]["fpr"][-1] == 1.0
    assert (path / "attack-membership.html").read_text().count('"type":"log"') == 2


def test_a_canary_is_a_known_direction_or_nothing_and_others_are_left_alone():
    part, like = Canary(50, 9, 2.0), [np.zeros((3, 4), np.float32), np.array(7), np.zeros(5, np.float32)]
    floats = [like[0], like[2]]

    def sent(client):
        return part.apply(like, Sending(like, 1, 1, {}, stream(1, "x"), client=client)).update

    coins = [included(9, client) for client in range(50)]
    assert 10 < sum(coins) < 40
    one, none = coins.index(True), coins.index(False)
    way = direction(9, one, floats)
    np.testing.assert_allclose(sent(one)[0], 2.0 * way[0], rtol=1e-6)
    assert norm_of(sent(one)) == pytest.approx(2.0)
    assert norm_of(sent(none)) == 0.0
    assert sent(one)[1] == 7
    assert all(got is had for got, had in zip(sent(50), like, strict=True))
    assert all(got is had for got, had in zip(sent(-1), like, strict=True))


def test_an_audit_stays_below_what_is_stated(canaries):
    told = audit(canaries.path)
    assert told["kept"] is True
    assert 0.0 < told["epsilon_lower"] <= told["epsilon_stated"]
    assert told["epsilon_stated"] == canaries.summary["privacy"]["epsilon"]
    assert told["mean_included"] == pytest.approx(1.0, abs=0.25)
    assert told["mean_excluded"] == pytest.approx(0.0, abs=0.25)
    # Noise z C on the sum, two rounds.
    assert told["deviation"] == pytest.approx(1 / np.sqrt(2), rel=0.2)
    assert "Scores of canaries" in (canaries.path / "audit.html").read_text()
    audit(canaries.path)
    (said,) = canaries.summary["attacks"]
    assert said.startswith("audit: With 95% confidence epsilon is at least")
    assert said in CliRunner().invoke(app, ["privacy", "report", str(canaries.path)]).output


def test_an_audit_catches_half_the_noise(monkeypatch, tmp_path):
    build = scenario_campaign.strategies.build
    monkeypatch.setattr(
        scenario_campaign.strategies,
        "build",
        lambda scenario, guard, fused: build(scenario, replace(guard, sum_noise=guard.sum_noise / 2), fused),
    )
    broken = finished(CANARIES, tmp_path)
    told = audit_run(broken.path)
    assert told["kept"] is False
    assert told["epsilon_lower"] > told["epsilon_stated"]
    answer = CliRunner().invoke(app, ["privacy", "audit", str(broken.path)])
    assert answer.exit_code == 1
    assert "does not keep what the run states" in answer.output


def test_central_privacy_states_nothing_against_a_server_that_sees_updates(tmp_path):
    text = CANARIES.replace("sees: models", "sees: updates").replace("rounds: 2", "rounds: 1")
    told = audit_run(finished(text, tmp_path).path)
    assert told["kept"] is None
    assert told["deviation"] < 1e-3  # no noise has been added where this adversary looks
    assert "sees updates" in told["stated_why"]
    assert told["epsilon_lower"] > 2.0


def test_a_mechanism_that_samples_is_not_taken_for_a_gaussian_one(tmp_path):
    text = CANARIES.replace("delta: 1e-3}", "delta: 1e-3, sampling: poisson}").replace("rounds: 2", "rounds: 1")
    run_ = finished(text.replace("clients_per_round: 150", "clients_per_round: 75"), tmp_path)
    assert run_.summary["privacy"]["amplification"] is True
    told = audit_run(run_.path)
    assert [one["bound"] for one in told["bounds"]] == ["one-run", "clopper-pearson"]
    assert told["kept"] is True
    # Half of the canaries that were in took part, in units of what one moves on average.
    assert told["mean_included"] == pytest.approx(1.0, abs=0.5)


def test_bounds_hold_together(canaries):
    told = audit_run(canaries.path, delta=1e-5)
    assert {one["bound"] for one in told["bounds"]} == {"one-run", "clopper-pearson", "gaussian"}
    scores = np.array([one["score"] for one in told["scores"]])
    within = np.array([one["included"] for one in told["scores"]])
    alone = bounds.epsilon_of_mu(bounds.gaussian(bounds.Rates.at(scores, within, 0.5)), 1e-5)
    assert told["epsilon_lower"] < alone  # each of three may fail with a third of 5 %


def test_commands_print_one_object(open_run):
    answer = CliRunner().invoke(app, ["privacy", "attack", str(open_run.path), "--attack", "label", "--json"])
    assert answer.exit_code == 0
    assert json.loads(answer.output)["attack"] == "label"


@pytest.mark.parametrize(
    ("kind", "says"), [("label", "write 'adversary: {sees: updates}'"), ("property", "nobody is seen alone")]
)
def test_attacks_on_single_updates_say_what_to_record(summed, kind, says):
    with pytest.raises(FedliteError, match=says):
        attack(summed.path, kind)


def test_a_run_without_a_recording_says_which_key_to_add(open_run, tmp_path, canaries):
    plain = finished(TINY, tmp_path)
    with pytest.raises(FedliteError, match=r"add 'adversary: \{sees: updates\}' to its scenario"):
        attack(plain.path, "inversion")
    with pytest.raises(FedliteError, match=r"add 'adversary: \{sees: models, canaries: \{clients: 100\}\}'"):
        audit(open_run.path)
    (plain.path / watching.TOLD).write_text("{}")
    with pytest.raises(FedliteError, match="damaged recording"):
        attack(plain.path, "inversion")
    with pytest.raises(FedliteError, match="expected one of inversion, label, membership, property"):
        attack(plain.path, "gues")
    with pytest.raises(FedliteError, match="expected an even number"):
        infer_membership(Scene.of(plain.path), shadows=3)
    with pytest.raises(FedliteError, match="expected a class from 0 to 9"):
        attack(open_run.path, "property", Options(label=10))


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ("{sees: updates, rounds: [3]}", "got round 3 of a training of 2 rounds"),
        ("{sees: sums, clients: 3}", "nobody is seen alone"),
        ("{sees: models, canaries: {clients: 41, norm: 1.0}}", "got 41 canaries on 40 devices"),
        ("{sees: models, canaries: {clients: 10}}", "got no norm with the mechanism 'none'"),
        (
            "{sees: models, canaries: {clients: 2, norm: 1.0}}\nclients: [{for: any, plan: {width: 0.5}}]",
            "of the full one",
        ),
        ("{sees: everything}", "expected one of updates, sums, models"),
        ("{sees: updates}\nprivacy: {mechanism: none, secure_aggregation: {clip: 1.0}}", "nobody sees a single update"),
    ],
)
def test_a_section_that_cannot_be_is_refused(section, says):
    with pytest.raises(FedliteError, match=says):
        parse_scenario(f"{TINY}adversary: {section}\n")


def test_a_recording_that_no_memory_holds_is_refused_before_training(monkeypatch, tmp_path):
    monkeypatch.setattr(watching, "MOST_BYTES", 10_000)
    with pytest.raises(FedliteError, match="adversary: got 1 rounds of 8 updates, which take"):
        finished(UPDATES, tmp_path)
