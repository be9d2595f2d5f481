"""Group lasso: the penalty's value and gradient, and that it empties channels that then go for nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fedlite.compression.channels.coupling import coupled
from fedlite.compression.channels.pruning import removed
from fedlite.compression.part import PartError
from fedlite.delivery.base import Artefact, Calibration
from fedlite.delivery.structured_pruning import StructuredPruning
from fedlite.learning.models.spec import spec_of
from fedlite.learning.objectives.terms.group_lasso import GroupLasso, penalty
from fedlite.learning.training import ClientJob, LocalConfig, Trainer
from fedlite.rng import stream


def slow_penalty(state, layers):
    """Unit by unit: root of the number of its numbers times the root of the sum of their squares."""
    total = 0.0
    for names, units in layers:
        for unit in units:
            numbers = np.concatenate([np.asarray(state[name].detach())[unit].reshape(-1) for name in names])
            total += len(numbers) ** 0.5 * float((numbers.astype(np.float64) ** 2).sum()) ** 0.5
    return total


def test_the_penalty_is_the_sum_over_everything_that_makes_a_channel():
    net = spec_of("resnet8", (3, 16, 16), 5, 1).build()
    named = dict(net.named_parameters())
    eights = {count: [slice(8 * u, 8 * u + 8) for u in range(count)] for count in (2, 4, 8)}

    def made(*layers):
        return [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]

    wanted = slow_penalty(
        named,
        [
            (made("0", "1", "3.layers.3", "3.layers.4"), eights[2]),
            (made("3.layers.0", "3.layers.1"), eights[2]),
            (made("4.layers.0", "4.layers.1"), eights[4]),
            (made("4.layers.3", "4.layers.4", "4.shortcut"), eights[4]),
            (made("5.layers.0", "5.layers.1"), eights[8]),
            (made("5.layers.3", "5.layers.4", "5.shortcut"), eights[8]),
        ],
    )
    assert float(penalty(coupled(net, (3, 16, 16)), named).detach()) == pytest.approx(wanted, rel=1e-5)


def test_the_gradient_of_a_channel_is_its_direction_and_nothing_where_it_is_gone():
    net = spec_of("mlp", (3,), 2, 1, hidden=(4,)).build()
    with torch.no_grad():
        net[1].weight[2], net[1].bias[2] = 0.0, 0.0
    named = dict(net.named_parameters())
    found = torch.autograd.grad(penalty(coupled(net, (3,)), named), list(named.values()), materialize_grads=True)
    rows = torch.cat([net[1].weight, net[1].bias[:, None]], dim=1).detach()
    directions = torch.nn.functional.normalize(rows, dim=1) * 4**0.5
    torch.testing.assert_close(torch.cat([found[0], found[1][:, None]], dim=1), directions)
    assert (found[0][2] == 0).all()
    assert (found[2] == 0).all()
    assert (found[3] == 0).all()


def trained(terms, epochs=80):
    """A net with far more units than two clouds of points need."""
    net = spec_of("mlp", (4,), 2, 1, hidden=(24,)).build()
    dice = stream(1, "rows")
    y = np.arange(160) % 2
    x = (dice.normal(size=(160, 4)) * 0.4 + np.where(y[:, None], 1.0, -1.0)).astype(np.float32)
    arrays = [value.detach().numpy().copy() for value in net.state_dict().values()]
    job, config = ClientJob(np.arange(160), 3), LocalConfig(epochs=epochs, batch_size=16, lr=0.1)
    trainer = Trainer(net, mode="sequential")
    result = trainer.train(arrays, [job], x, y, config, terms=terms)
    return net, [stack[0] for stack in result.arrays], (x, y)


def test_it_empties_channels_that_go_for_nothing_and_plain_training_does_not():
    below = {}
    for name, terms in (("lasso", [GroupLasso(0.01)]), ("plain", [])):
        net, arrays, (x, y) = trained(terms)
        small, values, _, facts = removed(net, arrays, 0.5, "l2", "local", input_shape=(4,), below=0.1)
        below[name] = facts["channels"]["1"][0]
        before, after = (
            Trainer(model, mode="sequential").evaluate(own, x, y).metrics
            for model, own in ((net, arrays), (small, values))
        )
        assert after["accuracy"] == before["accuracy"]
        assert abs(after["loss"] - before["loss"]) < 0.01
    assert below["lasso"] <= 12
    assert below["plain"] >= 23


def test_the_delivery_takes_out_what_the_term_has_emptied():
    net, arrays, (x, _) = trained([GroupLasso(0.01)])
    net.load_state_dict({key: torch.from_numpy(a) for key, a in zip(net.state_dict(), arrays, strict=True)})
    rows = Calibration(x, lambda _: 0.0, stream(0, "delivery"))
    shipped = StructuredPruning(importance="l2", below=0.1).deliver(Artefact.of(net.eval()), rows)
    kept, of = shipped.facts["structured-pruning"]["channels"]["1"]
    assert shipped.facts["structured-pruning"]["channels_removed"] == of - kept
    assert (of, kept) == (24, shipped.net[1].out_features)
    assert len(shipped.file()) < len(Artefact.of(net).file())
    assert shipped.forward_samples == 0


def test_a_net_without_channels_to_spare_is_refused_by_layer():
    net = spec_of("char-lstm", (6,), 9, 1, units=8).build()
    arrays = [value.detach().numpy().copy() for value in net.state_dict().values()]
    x, y = np.zeros((4, 6), np.float32), np.zeros(4, np.int64)
    with pytest.raises(PartError, match=r"'lstm' \(OneBiasLstm\) cannot be sliced"):
        Trainer(net, mode="sequential").train(
            arrays, [ClientJob(np.arange(4), 1)], x, y, LocalConfig(), terms=[GroupLasso()]
        )
