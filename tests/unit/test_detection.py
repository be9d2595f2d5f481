"""Objects in pictures: boxes and average precision by hand and by a slow reference, the grid, the scenes, the loss."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fedlite import wire
from fedlite.compose.deploying import Deployment, deploy, variants
from fedlite.compose.final_model import learning_of
from fedlite.devices.duty import Use
from fedlite.learning.corruptions import CORRUPTIONS
from fedlite.learning.data import scenes
from fedlite.learning.data.digits import pictures
from fedlite.learning.data.load import load
from fedlite.learning.data.scenes import CELLS, CLASSES, composed
from fedlite.learning.detection.average_precision import area_under, mean_average_precision
from fedlite.learning.detection.boxes import kept, overlap
from fedlite.learning.detection.grid import BOX, encoded, read, read_targets
from fedlite.learning.models import ModelError, build
from fedlite.learning.objectives import objective
from fedlite.learning.objectives.base import MisfitError
from fedlite.learning.objectives.fitting import check_fit
from fedlite.learning.training import ClientJob, LocalConfig, Trainer
from fedlite.rng import stream
from fedlite.runner import Settings, run
from fedlite.scenario.loader import parse_scenario


def row(confidence, kind, *box):
    return [confidence, kind, *box]


def test_overlaps_by_hand():
    ours = np.array([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 0.0, 5.0]])
    theirs = np.array([[1.0, 1.0, 3.0, 3.0], [0.0, 0.0, 2.0, 1.0], [5.0, 5.0, 6.0, 6.0]])
    np.testing.assert_allclose(overlap(ours, theirs), [[1 / 7, 0.5, 0.0], [0.0, 0.0, 0.0]])


def test_of_boxes_that_tell_one_object_the_surest_stays():
    detections = np.array([
        [row(0.6, 1, 0, 0, 10, 10), row(0.9, 1, 1, 0, 11, 10), row(0.5, 2, 1, 0, 11, 10), row(0.4, 1, 30, 0, 40, 10)],
        [row(0.6, 1, 0, 0, 10, 10), row(0.9, 1, 8, 0, 18, 10), row(0.8, 1, 0, 0, 10, 10), row(0.8, 1, 0, 1, 10, 10)],
    ])  # fmt: skip
    assert kept(detections).tolist() == [[False, True, True, True], [False, True, True, False]]
    # What was dropped drops nobody: the third overlaps the second, which the first has dropped.
    chain = np.array([[row(0.9, 0, 0, 0, 10, 10), row(0.8, 0, 3, 0, 13, 10), row(0.7, 0, 6, 0, 16, 10)]])
    assert kept(chain).tolist() == [[True, False, True]]


def test_area_under_precision_by_hand():
    # Precision 1, 1/2, 2/3, 2/4, 3/5 at recall 1/4, 1/4, 2/4, 2/4, 3/4; made monotone 1, 2/3, 2/3, 3/5, 3/5.
    right = np.array([True, False, True, False, True])
    assert area_under(right, 4) == pytest.approx((1 + 2 / 3 + 3 / 5) / 4)
    assert area_under(np.zeros(0, bool), 3) == 0.0


def test_mean_average_precision_by_hand():
    objects = np.array(
        [[row(1, 0, 0, 0, 10, 10), row(1, 1, 20, 0, 30, 10)], [row(1, 0, 0, 0, 10, 10), row(0, 5, 0, 0, 1, 1)]]
    )
    told = np.array([
        [row(0.9, 0, 0, 0, 10, 9), row(0.8, 0, 0, 0, 10, 10), row(0.7, 1, 0, 0, 10, 10)],
        [row(0.6, 0, 0, 0, 10, 4), row(0.5, 0, 0, 0, 10, 5), row(0.4, 9, 0, 0, 10, 10)],
    ])  # fmt: skip
    everything = np.ones((2, 3), bool)
    # Class 0: right, wrong (twice the same object), wrong (0.4), right (0.5): precision 1, 2/4. Class 1: wrong place.
    assert mean_average_precision(told, everything, objects) == pytest.approx(((1 + 2 / 4) / 2 + 0) / 2)
    without = everything.copy()
    without[0, 1] = without[1, 0] = False
    assert mean_average_precision(told, without, objects) == pytest.approx((1 + 0) / 2)
    assert math.isnan(mean_average_precision(told, everything, objects * 0))


def slow(told, stays, objects):
    """Everingham et al., with lists and loops, integrating precision over every step of recall."""
    return float(np.mean(list(slow_by_class(told, stays, objects).values())))


def slow_by_class(told, stays, objects, kinds=3):
    values = {}
    for kind in range(kinds):
        there = [(i, o[2:]) for i, each in enumerate(objects) for o in each if o[0] > 0 and o[1] == kind]
        if not there:
            continue
        ranked = [
            (d[0], -i, -j, d[2:])
            for i, each in enumerate(told)
            for j, d in enumerate(each)
            if stays[i][j] and d[1] == kind
        ]
        ranked.sort(key=lambda one: one[:3], reverse=True)
        taken, points, hits = set(), [], 0
        for rank, (_, picture, _, box) in enumerate(ranked, 1):
            best, which = 0.0, None
            for number, (where, other) in enumerate(there):
                if where == -picture:
                    sides = [max(0.0, min(box[k + 2], other[k + 2]) - max(box[k], other[k])) for k in (0, 1)]
                    common = sides[0] * sides[1]
                    areas = sum((b[2] - b[0]) * (b[3] - b[1]) for b in (box, other))
                    if common / (areas - common) > best:
                        best, which = common / (areas - common), number
            if best >= 0.5 and which not in taken:
                taken.add(which)
                hits += 1
            points.append((hits / len(there), hits / rank))
        steps = sorted({recall for recall, _ in points if recall > 0})
        values[kind] = sum(max(p for r, p in points if r >= step) for step in steps) / len(there)
    return values


@pytest.mark.parametrize("seed", range(6))
def test_mean_average_precision_is_that_of_a_slow_reference(seed):
    dice = np.random.default_rng(seed)

    def drawn(count):
        corner, sides = dice.integers(0, 4, (8, count, 2)), dice.integers(3, 6, (8, count, 2))
        made = np.concatenate([corner, corner + sides], axis=2).astype(float)
        return np.concatenate([dice.random((8, count, 1)), dice.integers(0, 3, (8, count, 1)), made], axis=2)

    told, objects = drawn(7), drawn(3)
    objects[..., 0] = objects[..., 0] > 0.3
    stays = kept(told)
    assert 0 < stays.sum() < stays.size
    value = mean_average_precision(told, stays, objects)
    assert 0 < value < 1
    assert value == pytest.approx(slow(told, stays, objects), abs=1e-12)


def test_a_grid_is_read_as_it_was_written():
    boxes = [(3, 0.1, 0.2, 0.3, 0.5), (7, 0.5, 0.75, 1.0, 1.0)]
    grid = encoded(boxes, 4, 10)
    found = read_targets(torch.from_numpy(grid)[None]).numpy()[0]
    there = found[found[:, 0] > 0]
    np.testing.assert_allclose(there, [[1, *boxes[0]], [1, *boxes[1]]], atol=1e-6)
    # The same from what a net would give: logits of presence and places, a large one for the class.
    outputs = torch.special.logit(torch.from_numpy(grid).double().clamp(1e-7, 1 - 1e-7))
    outputs[BOX:] = 30.0 * torch.from_numpy(grid[BOX:])
    told = read(outputs[None]).numpy()[0]
    np.testing.assert_allclose(told[told[:, 0] > 0.5], there, atol=1e-5)


def test_scenes_are_real_digits_in_boxes_that_leave_each_other_alone():
    drawn, kinds = pictures()["test"]
    scenes, grids = composed(drawn[:, 0], kinds, 60, stream(5, "scenes"))
    again, _ = composed(drawn[:, 0], kinds, 60, stream(5, "scenes"))
    assert np.array_equal(scenes, again)
    told = read_targets(torch.from_numpy(grids.reshape(60, BOX + CLASSES, CELLS, CELLS))).numpy()
    counts = set()
    for scene, cells in zip(scenes[:, 0], told, strict=True):
        there = cells[cells[:, 0] > 0]
        counts.add(len(there))
        assert (overlap(there[:, 2:], there[:, 2:]) - np.eye(len(there)) < 1e-6).all()
        rest = scene.copy()
        for _, kind, *corners in there:
            x0, y0, x1, y1 = np.rint(32 * np.array(corners)).astype(int)
            ink = scene[y0:y1, x0:x1]
            rest[y0:y1, x0:x1] = 0
            assert all(edge.any() for edge in (ink[0], ink[-1], ink[:, 0], ink[:, -1]))
            small = ink[::2, ::2] if np.array_equal(np.kron(ink[::2, ::2], np.ones((2, 2))), ink) else ink
            same = [k for p, k in zip(drawn[:, 0], kinds, strict=True) if small.sum() == p.sum()]
            assert int(kind) in same
        assert not rest.any()
    assert counts == {1, 2, 3}


def test_the_data_set_is_held_out_as_digits_are_and_suits_its_objective():
    data = load("digit-scenes")
    assert (len(data.y_train), len(data.y_test)) == (3000, 600)
    assert (data.input_shape, data.num_classes, data.objective) == ((1, 32, 32), 240, "detection")
    check_fit(build("detector", input_shape=(1, 32, 32), num_classes=240, seed=1), objective("detection"), data)
    with pytest.raises(MisfitError, match=r"got labels int64 of shape \(\), expected 15 float numbers for each cell"):
        check_fit(build("mlp", input_shape=(1, 8, 8), num_classes=10, seed=1), objective("detection"), load("digits"))
    with pytest.raises(ModelError, match="got 10 numbers for a picture of 16 x 16, expected sides that are"):
        build("detector", input_shape=(1, 16, 16), num_classes=10, seed=1)


def test_the_loss_by_hand_and_what_cells_without_objects_cost():
    goal = objective("detection")
    grid = torch.from_numpy(encoded([(2, 0.2, 0.2, 0.6, 0.4)], 2, 10).reshape(1, -1))
    outputs = torch.zeros(1, 60)
    # Four cells at even chances; one object, 0.2 and 0.6 in its cell and 0.4 and 0.2 large, against 0.5 each.
    boxes = sum(gap - 0.05 if gap > 0.1 else gap**2 / 0.2 for gap in (0.3, 0.1, 0.1, 0.3))
    assert float(goal.losses(outputs, grid)) == pytest.approx(4 * math.log(2) + 20 * boxes + math.log(10), rel=1e-5)
    empty = torch.zeros(1, 60)
    assert float(goal.losses(outputs, empty)) == pytest.approx(4 * math.log(2), rel=1e-5)


def test_what_is_told_exactly_is_found_and_noise_is_not():
    goal, data = objective("detection"), load("digit-scenes")
    y = torch.from_numpy(data.y_test[:50])
    sure = goal.grid(60.0 * y - 30.0).clone()
    shares = goal.grid(y)
    sure[:, 1:BOX] = torch.special.logit(shares[:, 1:BOX].clamp(1e-6, 1 - 1e-6))
    told = goal.summary(goal.score(sure.flatten(1), y).numpy(), y.numpy(), np.zeros(50))
    assert told == {"map50": 1.0, "accuracy": 1.0, "macro_f1": 1.0}
    noise = torch.randn(50, 240, generator=torch.Generator().manual_seed(1))
    assert goal.summary(goal.score(noise, y).numpy(), y.numpy(), np.zeros(50))["map50"] < 0.05


def test_a_net_learns_to_find():
    data = load("digit-scenes")
    net = build("detector", input_shape=(1, 32, 32), num_classes=240, seed=1)
    trainer = Trainer(net, objective="detection", mode="sequential")
    arrays = [value.detach().numpy().copy() for value in net.state_dict().values()]
    config = LocalConfig(epochs=20, batch_size=20, lr=3e-3, optimizer="adam")
    result = trainer.train(arrays, [ClientJob(np.arange(120), 1)], data.x_train, data.y_train, config)
    learned = [stacked[0] for stacked in result.arrays]
    assert trainer.evaluate(learned, data.x_train[:120], data.y_train[:120]).metrics["map50"] > 0.5
    assert trainer.evaluate(arrays, data.x_train[:120], data.y_train[:120]).metrics["map50"] < 0.05


SCENES = """
name: scenes
fleet: {devices: 2, mix: {pi-4b: 100 %}, rules: {charging: false, unmetered: false, idle: false}}
task: {data: digit-scenes, partition: iid, model: {name: detector, options: {channels: [16, 16, 16, 32]}}, clients: 2}
training:
  {rounds: 1, clients_per_round: 1, evaluate_every: 1, local: {epochs: 8, lr: 0.01, optimizer: adam, batch_size: 16}}
"""


def test_a_detector_is_deployed_and_judged_by_mean_average_precision_of_its_files(tmp_path, monkeypatch):
    for split, few in (("train", 400), ("test", 80)):
        monkeypatch.setitem(scenes._SCENES, split, few)
    trained = run(parse_scenario(SCENES), out=tmp_path / "run", settings=Settings("local"))
    asked = (("fp32", []), ("static-int8", [("static-int8", {})]))
    told = deploy(Deployment(trained.path, asked, Use(), math.inf, tmp_path / "out"))
    whole, integers = told["artefacts"]
    assert told["main"] == {"metric": "map50", "goal": "max"}
    assert whole["metrics"]["map50"] == pytest.approx(trained.summary["metrics"]["map50"], abs=1e-9)
    # Each file is read and computed anew, on the test scenes and on corrupted ones, and judged by loops.
    learning = learning_of(trained.path, "run")
    net, data = learning.build(), learning.judge
    arrays = wire.decode((tmp_path / "out" / "fp32.fedlite").read_bytes())
    names = list(net.state_dict())
    net.load_state_dict({name: torch.from_numpy(one.copy()) for name, one in zip(names, arrays, strict=True)})
    goal = learning.goal
    noisy = CORRUPTIONS["noise"](data.x_test, learning.spec.seed)
    for found, x in ((whole["metrics"]["map50"], data.x_test), (whole["corrupted"]["noise"]["map50"], noisy)):
        with torch.no_grad():
            scores = goal.score(net.eval()(torch.from_numpy(x)), torch.from_numpy(data.y_test)).numpy()
        each = slow_by_class(scores[:, 0], kept(scores[:, 0]), scores[:, 1], CLASSES)
        assert found == pytest.approx(np.mean(list(each.values())), abs=1e-9)
        assert found > 0
    assert [one["class"] for one in whole["metrics"]["by_class"]] == list(range(CLASSES))
    assert np.mean([one["average_precision"] for one in whole["metrics"]["by_class"]]) == pytest.approx(
        whole["metrics"]["map50"]
    )
    assert whole["corrupted"]["noise"]["map50"] != whole["metrics"]["map50"] != integers["metrics"]["map50"]
    best = max(told["artefacts"], key=lambda one: one["metrics"]["map50"])["artefact"]
    assert variants(told, Deployment(trained.path, asked, Use(), math.inf, tmp_path))["variants"][0]["name"] == best
