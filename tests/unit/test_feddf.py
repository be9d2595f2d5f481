"""FedDF: what an ensemble of nets of several widths says, the model that learns it, and whose rows those are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import fedlite
from fedlite.compose import learning as compose_learning
from fedlite.compression.structure.full import FULL
from fedlite.compression.structure.width import Width
from fedlite.errors import FedliteError
from fedlite.learning.ensemble import Ensemble, Study
from fedlite.learning.models.spec import spec_of
from fedlite.learning.objectives.soft_targets import SoftTargets
from fedlite.rng import stream
from fedlite.scenario.loader import parse_scenario

SPEC = spec_of("mlp", (1, 4, 4), 3, seed=2, hidden=[8])
X = stream(1, "feddf rows").normal(size=(40, 1, 4, 4)).astype(np.float32)
STUDY = Study(steps=60, batch_size=20, lr=0.01, temperature=1.0)


def model(seed):
    net = spec_of("mlp", (1, 4, 4), 3, seed=seed, hidden=[8]).build()
    return [3 * value.numpy() for value in net.state_dict().values()]


def said(net, arrays):
    state = dict(zip(net.state_dict(), map(torch.tensor, arrays), strict=True))
    with torch.no_grad():
        return torch.func.functional_call(net, state, (torch.from_numpy(X),)).numpy()


def divergence(wanted, logits):
    return float(SoftTargets().losses(torch.tensor(logits), torch.tensor(wanted)).mean())


def test_members_speak_in_the_nets_that_they_were_trained_in():
    one, other = model(3), model(4)
    narrow = Width(0.5).place(SPEC, other).take()
    wanted = (said(SPEC.build(), one) + said(SPEC.build(0.5), narrow)) / 2
    ensemble = Ensemble(SPEC, X, STUDY, seed=1)
    np.testing.assert_allclose(ensemble.logits([(FULL, one), (Width(0.5), other)]), wanted, atol=1e-5)
    assert np.abs(ensemble.logits([(FULL, one), (FULL, other)]) - wanted).max() > 0.1


def test_one_member_that_is_the_start_teaches_nothing():
    ensemble, start = Ensemble(SPEC, X, STUDY, seed=1), model(3)
    # Adam makes steps of its own length out of any slope that is not zero, the last bits of a float32 included.
    before = said(SPEC.build(), start)
    after = said(SPEC.build(), ensemble.fused(start, [(FULL, start)], 1))
    assert divergence(before, after) < 1e-4


def test_the_mean_in_weights_learns_what_the_members_say_together():
    members = [(FULL, model(3)), (FULL, model(4)), (FULL, model(5))]
    start = [np.mean(arrays, axis=0, dtype=np.float32) for arrays in zip(*(one for _, one in members), strict=True)]
    ensemble = Ensemble(SPEC, X, STUDY, seed=1)
    wanted = ensemble.logits(members)
    fused = ensemble.fused(start, members, 1)
    assert divergence(wanted, said(SPEC.build(), fused)) < 0.2 * divergence(wanted, said(SPEC.build(), start))
    again = Ensemble(SPEC, X, STUDY, seed=1).fused(start, members, 1)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(fused, again, strict=True))
    other = ensemble.fused(start, members, 2)
    assert any(a.tobytes() != b.tobytes() for a, b in zip(fused, other, strict=True))


def test_the_loss_of_soft_targets_is_a_divergence_times_the_square_of_the_temperature():
    wanted, told = np.array([[1.0, 2.0, 0.5]]), np.array([[0.0, 1.0, 3.0]])
    p, q = (np.exp(z / 2) / np.exp(z / 2).sum() for z in (wanted, told))
    loss = SoftTargets(2.0).losses(torch.tensor(told), torch.tensor(wanted))
    assert float(loss) == pytest.approx(4 * float((p * np.log(p / q)).sum()), rel=1e-9)


SCENARIO = """
name: df
seed: 3
fleet: {{devices: 6, mix: {{pi-4b: 50 %, galaxy-a52: 50 %}}}}
task: {{data: digits, partition: {{kind: dirichlet, alpha: 0.1}}, model: {{name: mlp, options: {{hidden: [32]}}}}}}
training:
  strategy: {strategy}
  rounds: {rounds}
  clients_per_round: 6
  local: {{epochs: 2, batch_size: 16, lr: 0.1}}
clients:
  - {{for: {{profile: pi-4b}}, plan: {{width: 0.5}}}}
"""


def scenario(strategy="{name: feddf, rows: 200, steps: 60}", rounds=4):
    return parse_scenario(SCENARIO.format(strategy=strategy, rounds=rounds))


def test_no_client_holds_a_row_of_the_server():
    learning = compose_learning.prepare(scenario())
    dealt = np.concatenate(learning.rows)
    assert len(learning.public) == 200
    assert sorted(np.concatenate([learning.public, dealt]).tolist()) == list(range(len(learning.data.y_train)))
    plain = compose_learning.prepare(scenario("fedavg"))
    assert len(plain.public) == 0
    assert len(np.concatenate(plain.rows)) == len(plain.data.y_train)


def test_a_run_with_clients_of_two_widths_learns_on_the_server_the_same_way_each_time(tmp_path):
    macs = {}

    def accuracy(name, made):
        run = fedlite.run(made, out=tmp_path / name, settings=fedlite.Settings(backend="local"))
        macs[name] = run.summary["server"]["macs"]
        return run.rounds["accuracy"].drop_nulls().to_list()

    fused, again, barely = (
        accuracy(name, scenario(f"{{name: feddf, rows: 200, steps: {steps}}}", rounds=2))
        for name, steps in (("one", 60), ("two", 60), ("three", 1))
    )
    assert fused == again
    assert fused[0] == barely[0]
    assert fused[1:] != barely[1:]
    assert fused[-1] > fused[0] + 0.2
    # 59 steps more in each of two rounds, each sample worth three forward passes; the replies are asked alike.
    learning = compose_learning.prepare(scenario())
    samples = [Study(steps, 64, 1e-3, 1.0).samples(200) for steps in (60, 1)]
    assert samples == [15 * 200, 64]
    assert macs["one"] == macs["two"]
    assert macs["one"] - macs["three"] == 2 * 3 * (samples[0] - samples[1]) * learning.workload().macs
    assert macs["three"] > 2 * 3 * samples[1] * learning.workload().macs
    assert "The server trained for" in (tmp_path / "one" / "report.html").read_text()


def test_what_cannot_be_fused_is_refused():
    with pytest.raises(FedliteError, match=r"training.strategy.rows: got 1000, expected at most half of the 1438"):
        compose_learning.prepare(scenario("{name: feddf, rows: 1000}"))
    boxes = SCENARIO.format(strategy="feddf", rounds=1).replace("data: digits", "data: digit-scenes")
    with pytest.raises(FedliteError, match="got 'feddf' with the objective 'detection', expected 'cross-entropy'"):
        parse_scenario(boxes.replace("{name: mlp, options: {hidden: [32]}}", "detector").partition("clients:")[0])
    with pytest.raises(FedliteError, match="but its noise fits only a mean"):
        parse_scenario(
            SCENARIO.format(strategy="feddf", rounds=1).partition("clients:")[0]
            + "privacy: {mechanism: server-fixed-clipping, clipping_norm: 1.0, noise_multiplier: 1.0}\n"
        )
