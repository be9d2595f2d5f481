"""Coarse classes first: which are merged, who is asked, what the answer is and what it costs in the mean."""

from __future__ import annotations

import copy
import functools

import numpy as np
import pytest
import torch
from torch import nn

from fedlite.compression.part import PartError
from fedlite.delivery.base import Artefact, Calibration
from fedlite.delivery.coarse_to_fine import CoarseToFine
from fedlite.delivery.stages import Stages, confused_groups
from fedlite.delivery.static_quantization import StaticQuantization
from fedlite.delivery.structured_pruning import StructuredPruning
from fedlite.learning.models.spec import spec_of
from fedlite.learning.tracing import trace
from fedlite.rng import stream

SPEC = spec_of("cnn", (1, 8, 8), 5, 1, channels=(8, 16), hidden=24)
Y = np.arange(60) % 5
KINDS = 2 * stream(2, "kinds").normal(size=(5, 1, 8, 8))
KINDS[1] = KINDS[0] + 0.4 * (KINDS[1] - KINDS[0])  # the first two are hard to tell apart
X = (KINDS[Y] + stream(1, "rows").normal(size=(60, 1, 8, 8))).astype(np.float32)


@functools.cache
def trained():
    made = SPEC.build().eval()
    optimiser = torch.optim.Adam(made.parameters(), lr=0.01)
    for _ in range(40):
        optimiser.zero_grad()
        nn.functional.cross_entropy(made(torch.from_numpy(X)), torch.from_numpy(Y)).backward()
        optimiser.step()
    return made


def net():
    return copy.deepcopy(trained())


def rows():
    return Calibration(X, lambda _: 0.0, stream(1, "delivery"), len(X), labelled=(X, Y))


def test_classes_are_merged_that_are_confused_by_a_chain_and_no_others():
    wanted = np.repeat(np.arange(5), 10)
    said = wanted.copy()
    said[[0, 1]], said[[10, 11]], said[30] = 1, 2, 4  # 2 of 20 rows of 0 and 1, of 1 and 2; 1 of 20 of 3 and 4
    assert confused_groups(said, wanted, 5, 0.06).tolist() == [0, 0, 0, 1, 2]
    assert confused_groups(said, wanted, 5, 0.04).tolist() == [0, 0, 0, 1, 1]
    assert confused_groups(said, wanted, 5, 0.2).tolist() == [0, 1, 2, 3, 4]
    # A class without rows is nobody's double.
    assert confused_groups(said, wanted, 6, 0.04).tolist() == [0, 0, 0, 1, 1, 2]


def test_the_answer_is_that_of_both_nets_asked_by_hand():
    whole = net()
    artefact = CoarseToFine(share=0.5, confused=0.1, steps=0).deliver(Artefact.of(whole), rows())
    stages, merged = artefact.net.eval(), artefact.facts["merged"]
    assert merged
    on = []
    with torch.no_grad():
        for row in torch.from_numpy(X):
            small, said = stages.small(row[None])[0], stages(row[None])[0]
            group = next((one for one in merged if int(small.argmax()) in one), [])
            on.append(bool(group))
            if group:
                fine = whole(row[None])[0]
                assert int(said.argmax()) == group[int(fine[group].argmax())]
                assert torch.equal(said[group], fine[group])
            else:
                assert int(said.argmax()) == int(small.argmax())
        together = stages(torch.from_numpy(X)).argmax(1)
        assert torch.equal(together, torch.cat([stages(row[None]).argmax(1) for row in torch.from_numpy(X)]))
    assert 0 < sum(on) < len(X)
    assert artefact.facts["goes_on"] == pytest.approx(sum(on) / len(X))
    first, last = (artefact.facts[f"held_accuracy{kind}"] for kind in ("_of_first", ""))
    assert artefact.facts["held_accuracy_of_whole"] == 1.0
    assert last > first


def test_the_fine_net_computes_only_the_rows_that_go_on():
    seen = []

    class Fine(nn.Module):
        def forward(self, x):
            seen.append(len(x))
            return x

    scores = torch.eye(4)
    stages = Stages(nn.Identity(), Fine(), [0, 0, 1, 2])
    said = stages(scores)
    assert seen == [2]
    assert said.argmax(1).tolist() == [0, 1, 2, 3]
    assert (said[0, 2:] < said[0, :2].min() - 19).all()
    stages(scores[2:])
    assert seen == [2]


def test_the_mean_inference_is_the_small_net_and_the_whole_one_as_often_as_it_is_asked():
    whole = net()
    artefact = CoarseToFine(share=0.5, confused=0.1, steps=0).deliver(Artefact.of(whole), rows())
    small, fine = (trace(one, (1, 8, 8), name="").macs for one in (artefact.net.small, whole))
    shares = {path.share: trace(path.plain, (1, 8, 8), name="").macs for path in artefact.paths}
    on = artefact.facts["goes_on"]
    assert shares == {1.0 - on: small, on: small + fine}
    assert small < 0.5 * fine
    assert trace(artefact.plain, (1, 8, 8), name="").macs == small + fine
    assert len(artefact.file()) > len(Artefact.of(whole).file())


def test_the_small_net_is_taught_what_the_whole_one_says_which_stays():
    whole = net()
    before = {name: value.clone() for name, value in whole.state_dict().items()}
    part = [CoarseToFine(share=0.5, confused=0.1, steps=steps).deliver(Artefact.of(whole), rows()) for steps in (0, 30)]
    untaught, taught = (one.facts["held_accuracy_of_first"] for one in part)
    assert taught > untaught + 0.1
    assert all(torch.equal(before[name], value) for name, value in whole.state_dict().items())
    assert part[1].forward_samples - part[0].forward_samples == 3 * 30 * len(X)


def test_both_nets_can_be_quantised():
    whole = net()
    artefact = CoarseToFine(share=0.5, confused=0.1, steps=0).deliver(Artefact.of(whole), rows())
    integer = StaticQuantization(rows=32).deliver(artefact, rows())
    for path in integer.paths:
        names = {one.name.partition("#")[0] for one in trace(path.plain, (1, 8, 8), name="").layers if one.weights}
        assert names <= set(integer.precision)
    with torch.no_grad():
        said, exact = (one.eval()(torch.from_numpy(X)).argmax(1) for one in (integer.net, artefact.net))
    assert float((said == exact).float().mean()) > 0.8


def test_what_cannot_be_told_is_refused():
    whole = net()
    with pytest.raises(PartError, match="got no held-out rows with classes"):
        CoarseToFine(steps=0).deliver(Artefact.of(whole), Calibration(X, lambda _: 0.0, stream(1, "delivery")))
    for options, said in (
        ({"confused": 1.0}, "confused: got"),
        ({"steps": -1}, "steps: got"),
        ({"share": 0.0}, "share"),
    ):
        with pytest.raises(PartError, match=said):
            CoarseToFine(**options)


def test_no_remark_claims_what_values_decide():
    assert CoarseToFine().remark.startswith("where the coarse answer is enough (the facts say how often), time")
    assert "training has brought near to zero, if any (the facts" in StructuredPruning(below=0.35).remark
    assert StructuredPruning().remark.startswith("channels that matter least are left out of the file")
