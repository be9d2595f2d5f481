"""Membership: whose examples the released model was trained on, by its loss and by likelihood ratios.

Both need nothing but the released model, which every adversary sees. Members are the examples of owners whose update
arrived at least once, others are of the test set. Shadow models are trained by the run's own trainer, in one place: for
as many passes over their data as the run made over its members.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from fedlite.attacks import lira
from fedlite.attacks.loss_threshold import loss_scores
from fedlite.attacks.roc import roc
from fedlite.compose.finished import load_run
from fedlite.errors import FedliteError
from fedlite.learning.training.records import ClientJob
from fedlite.learning.training.threads import single_thread
from fedlite.learning.training.trainer import Trainer
from fedlite.rng import seed_of

if TYPE_CHECKING:
    from fedlite.attacks.roc import Roc
    from fedlite.compose.attack_scene import Scene

Array = NDArray[Any]
Bools = NDArray[np.bool_]

LOW_RATES: Final = (0.001, 0.01)
"""Rates of false alarms at which the true ones are told."""
MOST_EXAMPLES: Final = 1000
_MOST_PASSES: Final = 300
_SHOWN: Final = 200
_BATCH: Final = 1024


def infer_membership(scene: Scene, shadows: int = 16, most: int = MOST_EXAMPLES) -> dict[str, Any]:
    """Return how well members are told from others, as JSON values.

    Parameters
    ----------
    scene : Scene
    shadows : int
        Shadow models of the likelihood ratios; 0 for the loss alone.
    most : int
        Members, and others, that are judged.
    """
    x, y, member, passes = _examples(scene, most)
    logits = logits_of(scene, scene.final, x)
    target = lira.scaled_confidence(logits, y)
    losses = torch.nn.functional.cross_entropy(torch.as_tensor(logits), torch.as_tensor(y), reduction="none").numpy()
    curves: dict[str, Roc] = {"loss": roc(loss_scores(losses), member)}
    if shadows:
        within = _halves(scene, shadows, len(y))
        confidences = _shadows(scene, x, y, within, passes)
        curves["lira-online"] = roc(lira.online_scores(target, confidences, within), member)
        curves["lira-offline"] = roc(lira.offline_scores(target, confidences, within), member)
    return {
        "attack": "membership",
        "sees": "models",
        "members": int(member.sum()),
        "others": int((~member).sum()),
        "shadows": shadows,
        "passes": passes,
        "scores": {name: _told(curve) for name, curve in curves.items()},
        "curves": {name: _thinned(curve) for name, curve in curves.items()},
    }


def _examples(scene: Scene, most: int) -> tuple[Array, Array, Bools, int]:
    """Return inputs and labels of as many members as others, which are members, and passes over the members' data."""
    learning, clients = scene.learning, load_run(scene.run).clients
    arrived = clients.filter((clients["kind"] == "train") & (clients["outcome"] == "arrived"))
    canaries = scene.scenario.adversary.canaries if scene.scenario.adversary else None
    owners = np.unique(arrived["device"].to_numpy() % len(learning.rows))
    owners = owners[owners >= (canaries.clients if canaries else 0)]
    if not len(owners):
        raise FedliteError(f"{scene.run}: got a run in which no update arrived, expected members; run it to its end")
    rows = scene.rows_of(owners.tolist())
    passes = float((arrived["examples"] * scene.scenario.training.local_config().epochs).sum()) / len(rows)
    test = learning.test_set
    count = min(most, len(rows), len(test.y_test))
    mine = np.sort(scene.stream("members").permutation(len(rows))[:count])
    theirs = np.sort(scene.stream("others").permutation(len(test.y_test))[:count])
    x = np.concatenate([learning.data.x_train[rows[mine]], test.x_test[theirs]])
    y = np.concatenate([learning.data.y_train[rows[mine]], test.y_test[theirs]]).astype(np.int64)
    return x, y, np.arange(2 * count) < count, int(np.clip(round(passes), 1, _MOST_PASSES))


def _halves(scene: Scene, shadows: int, examples: int) -> Bools:
    """Return which shadow sees which example, (K, n): each example half of them, so that all have some of either."""
    if shadows < 2 or shadows % 2:  # noqa: PLR2004 -- one half sees an example, one does not
        raise FedliteError(f"--shadows: got {shadows}, expected an even number, or 0 for none; write for example 16")
    rng = scene.stream("shadows")
    ranks = np.argsort(rng.random((shadows, examples)), axis=0)
    return np.asarray(ranks < shadows // 2)


def _shadows(scene: Scene, x: Array, y: Array, within: Bools, passes: int) -> NDArray[np.float64]:
    """Return each shadow model's scaled confidence in each example, (K, n)."""
    learning = scene.learning
    trainer = Trainer(learning.build(), objective=learning.objective)
    config = replace(scene.scenario.training.local_config(), epochs=passes, max_steps=None, proximal_mu=0.0)
    jobs = [
        ClientJob(np.flatnonzero(mine), seed_of(scene.scenario.seed, "attack", "shadow", number))
        for number, mine in enumerate(within)
    ]
    trained = trainer.train(learning.arrays, jobs, x, y, config)
    return np.stack(
        [
            lira.scaled_confidence(logits_of(scene, [part[number] for part in trained.arrays], x), y)
            for number in range(len(jobs))
        ]
    )


def logits_of(scene: Scene, arrays: list[Array], x: Array) -> Array:
    """Return what a model answers, (n, classes)."""
    net = scene.net(dict(zip(scene.learning.names, arrays, strict=True)))
    with torch.no_grad(), single_thread():
        parts = [net(torch.as_tensor(x[first : first + _BATCH])).numpy() for first in range(0, len(x), _BATCH)]
    return np.concatenate(parts)


def _told(curve: Roc) -> dict[str, Any]:
    rates = {f"tpr_at_{rate:g}": curve.tpr_at(rate) for rate in LOW_RATES}
    return {**rates, "auc": curve.auc, "balanced_accuracy": curve.balanced_accuracy}


def _thinned(curve: Roc) -> dict[str, list[float]]:
    """Return points enough to draw the curve on log axes: those at which it turns up, and not too many."""
    turns = np.flatnonzero(np.diff(curve.fpr, append=2.0) > 0)
    kept = turns[np.unique(np.geomspace(1, len(turns), min(_SHOWN, len(turns))).astype(int) - 1)]
    return {"fpr": curve.fpr[kept].tolist(), "tpr": curve.tpr[kept].tolist()}
