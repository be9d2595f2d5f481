"""Epsilon is that of whoever owns the data, on however many devices it lies."""

import pytest

from fedlite.compose.privacy_spent import privacy_spent
from fedlite.fleet.ledger import COLUMNS, Ledger
from fedlite.runner import Settings, resume, run
from fedlite.scenario.loader import parse_scenario

WATCHES = """
name: watches
seed: 3
fleet: {devices: 20, mix: {watch-wear-4100: 1}}
task: {data: watch, partition: natural, model: cnn1d}
training: {rounds: 3, clients_per_round: 20, evaluate_every: 0, local: {max_steps: 1}}
privacy: {mechanism: client-fixed-clipping, noise_multiplier: 2.0, clipping_norm: 1.0, delta: 0.001}
"""
DIGITS = """
name: drawn
seed: 3
fleet: {devices: 30, mix: {pixel-8: 1}}
task: {data: digits, model: {name: mlp, options: {hidden: [4]}}, partition: iid}
training: {rounds: 4, clients_per_round: 5, evaluate_every: 0, local: {max_steps: 1}}
privacy: {mechanism: server-fixed-clipping, noise_multiplier: 1.0, clipping_norm: 1.0, delta: 1e-3, sampling: poisson}
"""
LOCAL = Settings("local")


def done(text, path):
    return run(parse_scenario(text), out=path, settings=LOCAL)


@pytest.mark.parametrize("devices", [20, 60])
def test_three_watches_with_one_owners_data_spend_what_one_does(tmp_path, devices):
    found = done(WATCHES.replace("20,", f"{devices},"), tmp_path / "run").summary
    assert found["outcomes"] == {"arrived": 3 * devices}
    assert found["privacy"]["epsilon"] == pytest.approx(2.6292036, abs=1e-6)
    assert found["privacy"]["cohort_realised"] == {"min": 20, "mean": 20.0, "max": 20}


def test_the_target_is_met_where_owners_have_several_devices(tmp_path):
    text = WATCHES.replace("20,", "40,").replace("noise_multiplier: 2.0", "target_epsilon: 5")
    assert done(text, tmp_path / "run").summary["privacy"]["epsilon"] == pytest.approx(5.0, rel=1e-3)


def test_a_run_draws_whom_it_accounts_for(tmp_path):
    found = done(DIGITS, tmp_path / "run")
    privacy, jobs = found.summary["privacy"], found.clients
    sizes = [len(group) for _, group in sorted(jobs.group_by("round"))]
    assert privacy["cohort_drawn"] == privacy["cohort_realised"]
    assert (privacy["cohort_drawn"]["min"], privacy["cohort_drawn"]["max"]) == (min(sizes), max(sizes))
    assert min(sizes) < max(sizes)
    assert privacy["amplification"]
    assert privacy["epsilon"] < privacy["epsilon_without_amplification"]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [("mix:", "availability: diurnal, mix:", "fleet.availability"), ("local:", "deadline: 1 ms, local:", "deadline")],
)
def test_what_hinders_people_hinders_the_claim(tmp_path, old, new, why):
    privacy = done(DIGITS.replace(old, new, 1), tmp_path / "run").summary["privacy"]
    assert not privacy["amplification"]
    assert privacy["epsilon"] == privacy["epsilon_without_amplification"]
    assert any(why in each for each in privacy["why_no_amplification"])


def test_the_budget_ends_a_run_with_the_last_model_that_it_pays_for(tmp_path):
    two = DIGITS.replace("sampling: poisson", "max_epsilon: 5")
    found = done(two, tmp_path / "run").summary
    assert (found["privacy"]["releases"], found["rounds"]) == (2, 2)
    assert found["privacy"]["epsilon"] <= 5.0
    short = done(two.replace("rounds: 4", "rounds: 2"), tmp_path / "short").summary
    assert "privacy.max_epsilon: 2 releases" in found["verdict"]
    assert found["digest"] == short["digest"]


def test_what_was_released_survives_an_interruption(tmp_path):
    whole = done(DIGITS, tmp_path / "whole")
    stopped = tmp_path / "stopped"

    def stop(progress):
        if progress.round_ == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(parse_scenario(DIGITS), out=stopped, settings=LOCAL, progress=stop)
    again = resume(stopped, settings=LOCAL)
    assert again.summary["digest"] == whole.summary["digest"]
    assert again.summary["privacy"] == whole.summary["privacy"]


def test_local_releases_are_counted_by_owner():
    text = WATCHES.replace("client-fixed-clipping, noise_multiplier: 2.0", "local-dp, epsilon: 1.0")
    ledger = Ledger()
    sent = {"kind": "train", "up_bytes": 10, "device": [0, 1, 2, 3, 5]}
    ledger.append({name: sent.get(name, "" if kind is str else 0) for name, kind in COLUMNS.items()})
    found = privacy_spent(parse_scenario(text), ledger, 2, None, ())
    assert "sent most often, 3 times;" in found["statement"]
