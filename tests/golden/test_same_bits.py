"""Same scenario, same seed: same bits, wherever it runs and however often it was interrupted."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from fedlite import runner as running
from fedlite.scenario.loader import parse_scenario

SCENARIO = """
name: tiny
seed: 11
fleet:
  devices: 12
  mix: {pixel-4: 50 %, pi-4b: 50 %}
  rules: {charging: false, unmetered: false, idle: false}
task:
  data: digits
  partition: {kind: dirichlet, alpha: 1.0}
  clients: 12
  model: {name: mlp, options: {hidden: [16]}}
training:
  rounds: 4
  clients_per_round: 6
  over_select: 1.5
  local: {epochs: 1, batch_size: 16, lr: 0.1}
clients:
  - for: {profile: pi-4b}
    plan: {width: 0.5}
"""
REGROWN = "{name: regrow, sparsity: 0.7, every: 1, mask: own}"
VARIANTS = {
    "reduced": "",
    "entropy coded, error feedback": "wire: {up: 'topk:0.1+int8+zstd', down: fp16, error_feedback: true}",
    "dp": "privacy: {mechanism: client-fixed-clipping, noise_multiplier: 0.5, clipping_norm: 1.0, delta: 1e-3}",
    "quantised": "wire: {up: int4, down: int8+zstd}",
    "masks of the devices' own": "wire: {up: nonzero+zstd, down: nonzero}",
}


class StopError(Exception):
    """Stands for whatever ends a run in the middle."""


def scenario(variant="reduced"):
    text = SCENARIO
    if variant == "dp":
        text = text.replace("  - for: {profile: pi-4b}\n    plan: {width: 0.5}\n", "  []\n").replace(
            "clients:\n  []", ""
        )
    if variant == "masks of the devices' own":
        text = text.replace("plan: {width: 0.5}", f"plan: {{constraints: [{REGROWN}]}}")
    return parse_scenario(text + VARIANTS[variant])


def digest(path, settings=None, variant="reduced"):
    return running.run(scenario(variant), out=path, settings=settings or running.Settings("local")).summary["digest"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_running_again_gives_the_same_bits_and_another_seed_does_not(tmp_path, variant):
    first = digest(tmp_path / "a", variant=variant)
    assert digest(tmp_path / "b", variant=variant) == first
    other = scenario(variant).model_copy(update={"seed": 12})
    assert running.run(other, out=tmp_path / "c", settings=running.Settings("local")).summary["digest"] != first


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_interrupted_run_resumes_to_the_same_bits(tmp_path, variant):
    whole = digest(tmp_path / "whole", variant=variant)

    def stop_in_the_middle(progress):
        if progress.round_ == 2:
            raise StopError

    with pytest.raises(StopError):
        running.run(
            scenario(variant), out=tmp_path / "cut", settings=running.Settings("local"), progress=stop_in_the_middle
        )
    assert not (tmp_path / "cut" / "summary.json").exists()
    assert (tmp_path / "cut" / "journal.bin").stat().st_size > 0
    resumed = running.resume(tmp_path / "cut", settings=running.Settings("local"))
    assert resumed.summary["digest"] == whole
    assert not (tmp_path / "cut" / "journal.bin").exists()


@pytest.mark.ray
def test_ray_with_any_number_of_actors_gives_the_bits_of_this_process(tmp_path):
    here = digest(tmp_path / "local")
    for actors in (1, 2):
        assert digest(tmp_path / f"ray{actors}", running.Settings("ray", actors)) == here


@pytest.mark.ray
def test_an_actor_killed_in_mid_run_costs_nothing_but_time(tmp_path, monkeypatch):
    import ray

    from fedlite.engine import ray_pool

    pools = []
    real = ray_pool.RayPool.__init__

    def remember(self, *arguments, **named):
        real(self, *arguments, **named)
        pools.append(self)

    monkeypatch.setattr(ray_pool.RayPool, "__init__", remember)

    def kill_one(progress):
        if progress.round_ == 1:
            ray.kill(pools[0].actors[0])

    killed = running.run(scenario(), out=tmp_path / "killed", settings=running.Settings("ray", 2), progress=kill_one)
    assert killed.summary["digest"] == digest(tmp_path / "local")


@pytest.mark.ray
def test_a_two_node_cluster_gives_the_same_bits(tmp_path):
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        joined = digest(tmp_path / "cluster", running.Settings("ray", 2, cluster.address))
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert joined == digest(tmp_path / "local")


@pytest.mark.slow
def test_a_killed_process_resumes_to_the_same_bits(tmp_path):
    source = tmp_path / "tiny.yaml"
    source.write_text(SCENARIO.replace("rounds: 4", "rounds: 60"))
    command = [sys.executable, "-m", "fedlite.cli.main", "run", str(source), "--backend", "local", "--out"]
    cut = tmp_path / "cut"
    process = subprocess.Popen([*command, str(cut)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (cut / "journal.bin").exists() or (cut / "journal.bin").stat().st_size < 20_000:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (cut / "summary.json").exists()
    resumed = running.resume(cut, settings=running.Settings("local"))
    subprocess.run(
        [*command, str(tmp_path / "whole")], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    from fedlite.compose.finished import Run

    assert resumed.summary["digest"] == Run(tmp_path / "whole").summary["digest"]
