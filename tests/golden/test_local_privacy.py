"""Local differential privacy reaches the updates of a run."""

import numpy as np

from fedlite import runner as running
from fedlite.results.directory import RunDirectory
from fedlite.scenario.loader import parse_scenario

SCENARIO = """
name: local
seed: 3
fleet:
  devices: 4
  mix: {pi-4b: 1}
task: {data: digits, model: {name: mlp, options: {hidden: [8]}}}
training: {rounds: 1, clients_per_round: 4, local: {lr: 0.1}}
privacy: {mechanism: local-dp, clipping_norm: 0.5, epsilon: 2.0, delta: 1e-4}
"""


def final(tmp_path, name, text):
    run = running.run(parse_scenario(text), out=tmp_path / name, settings=running.Settings("local"))
    return run, np.concatenate([values.ravel() for values in RunDirectory(run.path).read_model().values()])


def test_the_mean_carries_the_noise_of_the_devices_and_the_summary_its_epsilon(tmp_path):
    run, noisy = final(tmp_path, "noisy", SCENARIO)
    quiet_text = SCENARIO.replace("epsilon: 2.0", "epsilon: 1e9")
    _, quiet = final(tmp_path, "quiet", quiet_text)
    from fedlite.privacy.accounting import local_noise_std

    std = local_noise_std(2.0, 1e-4, 0.5)
    # Four equal devices: the mean carries half of one device's deviation.
    assert abs((noisy - quiet).std() / (std / 2) - 1) < 0.15
    assert abs(run.summary["epsilon"]["epsilon"] - 2.0) < 0.01
    assert "most often, once;" in run.summary["epsilon"]["statement"]
