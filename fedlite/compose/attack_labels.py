"""Labels read off single updates, and whether a class is common among a client's data, told by a classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from fedlite.attacks.label_inference import labels_present, single_label
from fedlite.attacks.property_inference import PropertyClassifier
from fedlite.attacks.roc import roc
from fedlite.compose.attack_scene import bias_of_classes
from fedlite.errors import FedliteError
from fedlite.learning.training.records import ClientJob
from fedlite.learning.training.trainer import Trainer
from fedlite.rng import seed_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.compose.attack_scene import Observation, Scene

Array = NDArray[Any]
Bools = NDArray[np.bool_]

SHADOW_CLIENTS: Final = 100
"""Clients that the adversary makes up of data of its own."""


def infer_labels(scene: Scene) -> dict[str, Any]:
    """Return how often the labels behind updates are told rightly, as JSON values."""
    scene.single("label")
    name, classes = bias_of_classes(scene), scene.learning.data.num_classes
    rows, right, present = [], [], []
    for one in scene.observations():
        labels = scene.learning.data.y_train[scene.rows_of(one.owners)].astype(np.int64)
        bias = np.asarray(one.update[name])
        found, likeliest, truth = labels_present(bias), single_label(bias), np.unique(labels)
        right.append(bool(np.isin(likeliest, truth)))
        present.append(np.isin(np.arange(classes), found) == np.isin(np.arange(classes), truth))
        rows.append(
            {
                "round": one.round_,
                "device": one.device,
                "examples": one.examples,
                "told": found.tolist(),
                "true": truth.tolist(),
                "likeliest": likeliest,
            }
        )
    if not rows:
        raise FedliteError(f"{scene.run}: got a recording without any reply, expected some; record another round")
    truths = [np.isin(np.arange(classes), row["true"]) for row in rows]
    share = np.mean(truths, axis=0)
    return {
        "attack": "label",
        "sees": scene.sight.sees,
        "likeliest_is_there": float(np.mean(right)),
        "guess_is_there": float(share.max()),
        "presence_accuracy": float(np.mean(present)),
        "guess_accuracy": float(np.maximum(share, 1.0 - share).mean()),
        "observations": rows,
    }


def infer_property(scene: Scene, label: int | None = None, shadows: int = SHADOW_CLIENTS) -> dict[str, Any]:
    """Return how well the adversary tells among whose data a class is more common than in all data, as JSON values.

    The adversary has the test set for data of its own. It makes clients of it, half of them with the property, lets
    them train from the model that it saw go out, and fits a classifier to their updates.

    Parameters
    ----------
    scene : Scene
    label : int, optional
        The class; the one that divides the clients best if not given.
    shadows : int
        Clients that are made up for each round.
    """
    scene.single("property")
    seen = list(scene.observations())
    data = scene.learning.data
    if label is not None and not 0 <= label < data.num_classes:
        raise FedliteError(f"--property: got {label}, expected a class from 0 to {data.num_classes - 1}; write one")
    common = np.bincount(data.y_test.astype(np.int64), minlength=data.num_classes) / len(data.y_test)
    shares = np.array([_shares(scene, one) for one in seen])
    if label is None:
        label = int(np.argmin(np.abs((shares > common).mean(axis=0) - 0.5)))
    has = shares[:, label] > common[label]
    if has.all() or not has.any():
        raise FedliteError(
            f"--property: got class {label}, which is alike common among all {len(seen)} clients seen, expected some of"
            " either kind; record more clients, or name another class"
        )
    scores = np.empty(len(seen))
    for round_ in sorted({one.round_ for one in seen}):
        mine = [place for place, one in enumerate(seen) if one.round_ == round_]
        updates, truth = _made_up(scene, seen[mine[0]], label, float(common[label]), shadows)
        classifier = PropertyClassifier.fit(updates, truth)
        scores[mine] = classifier.scores(np.stack([_flat(scene, seen[place].update) for place in mine]))
    curve = roc(scores, has)
    return {
        "attack": "property",
        "sees": scene.sight.sees,
        "property": f"class {label} is more common than in all data",
        "label": label,
        "clients": len(seen),
        "with_property": int(has.sum()),
        "accuracy": float(((scores > 0) == has).mean()),
        "guess_accuracy": float(max(has.mean(), 1.0 - has.mean())),
        "auc": curve.auc,
        "shadow_clients": shadows,
    }


def _shares(scene: Scene, one: Observation) -> Array:
    data = scene.learning.data
    labels = data.y_train[scene.rows_of(one.owners)].astype(np.int64)
    return np.bincount(labels, minlength=data.num_classes) / max(len(labels), 1)


def _made_up(
    scene: Scene, like: Observation, label: int, common: float, shadows: int
) -> tuple[NDArray[np.float64], Bools]:
    """Return the updates of clients with and without the property, and which have it."""
    data, rng = scene.learning.data, scene.stream("property", like.round_)
    with_label, others = np.flatnonzero(data.y_test == label), np.flatnonzero(data.y_test != label)
    has = np.arange(shadows) % 2 == 0
    rows = []
    for mine in has.tolist():
        share = rng.uniform(common, 1.0) if mine else rng.uniform(0.0, common)
        count = int(np.ceil(share * like.examples)) if mine else int(share * like.examples)
        rest = like.examples - count
        rows.append(np.concatenate([rng.choice(with_label, count), rng.choice(others, rest)]))
    trainer = Trainer(scene.learning.build(), objective=scene.learning.objective)
    start = [np.asarray(part.numpy()) for part in scene.net(like.model).state_dict().values()]
    jobs = [
        ClientJob(mine, seed_of(scene.scenario.seed, "attack", "made up", like.round_, number))
        for number, mine in enumerate(rows)
    ]
    trained = trainer.train(start, jobs, data.x_test, data.y_test, scene.scenario.training.local_config())
    named = zip(scene.learning.names, trained.arrays, start, strict=True)
    updates: list[Array] = [(stacked - old).reshape(shadows, -1) for name, stacked, old in named if name in like.update]
    return np.concatenate(updates, axis=1).astype(np.float64), has


def _flat(scene: Scene, update: dict[str, Array] | Any) -> Array:
    parts: Sequence[Array] = [np.ravel(update[name]) for name in scene.learning.names if name in update]
    return np.concatenate(parts)
