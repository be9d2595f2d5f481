"""Epsilon is that of whoever owns the data, on however many devices it lies."""

import pytest

from fedlite.compose.privacy_spent import planned_noise, privacy_spent
from fedlite.fleet.ledger import COLUMNS, Ledger
from fedlite.runner import Settings, run
from fedlite.scenario.loader import parse_scenario

WATCHES = """
name: watches
seed: 3
fleet: {devices: 20, mix: {watch-wear-4100: 1}}
task: {data: watch, partition: natural, model: cnn1d}
training: {rounds: 3, clients_per_round: 20, evaluate_every: 0, local: {max_steps: 1}}
privacy: {mechanism: client-fixed-clipping, noise_multiplier: 2.0, clipping_norm: 1.0, delta: 0.001}
"""


@pytest.mark.parametrize(("devices", "epsilon"), [(20, 2.6292036), (60, 10.7499777)])
def test_three_watches_with_one_owners_data_spend_what_three_shares_spend(tmp_path, devices, epsilon):
    scenario = parse_scenario(WATCHES.replace("20,", f"{devices},"))
    done = run(scenario, out=tmp_path / "run", settings=Settings("local"))
    assert done.summary["outcomes"] == {"arrived": 3 * devices}
    assert done.summary["epsilon"]["epsilon"] == pytest.approx(epsilon, abs=1e-6)


def test_the_target_is_met_where_owners_have_several_devices(tmp_path):
    text = WATCHES.replace("20,", "40,").replace("noise_multiplier: 2.0", "target_epsilon: 5")
    done = run(parse_scenario(text), out=tmp_path / "run", settings=Settings("local"))
    assert done.summary["epsilon"]["epsilon"] == pytest.approx(5.0, rel=1e-3)


def test_no_more_shares_are_planned_for_than_a_round_has_replies():
    text = WATCHES.replace("noise_multiplier: 2.0", "target_epsilon: 5")
    alone = planned_noise(parse_scenario(text), 20)
    two = parse_scenario(
        text.replace("clients_per_round: 20", "clients_per_round: 2").replace("devices: 20", "devices: 60")
    )
    assert planned_noise(two, 20) == pytest.approx(2 * alone)


def test_local_releases_are_counted_by_owner():
    text = WATCHES.replace("client-fixed-clipping, noise_multiplier: 2.0", "local-dp, epsilon: 1.0")
    ledger = Ledger()
    sent = {"kind": "train", "up_bytes": 10, "device": [0, 1, 2, 3, 5]}
    ledger.append({name: sent.get(name, "" if kind is str else 0) for name, kind in COLUMNS.items()})
    found = privacy_spent(parse_scenario(text), ledger, 2, None)
    assert "sent most often, 3 times;" in found["statement"]
