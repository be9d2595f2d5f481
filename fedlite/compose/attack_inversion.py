"""Inversion of what was seen of a run: which inputs were behind it, and how like they are to the true ones."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import nn

from fedlite.attacks.analytic_inversion import invert_linear
from fedlite.attacks.cosine_inversion import invert_by_angle
from fedlite.attacks.dlg import deep_leakage
from fedlite.attacks.gradients import Seen
from fedlite.attacks.label_inference import labels_present
from fedlite.attacks.likeness import nearest_guess, psnr, ssim
from fedlite.compose.attack_scene import bias_of_classes
from fedlite.errors import FedliteError, UnknownNameError
from fedlite.learning.training.threads import single_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fedlite.compose.attack_scene import Observation, Scene

    Array = NDArray[Any]

METHODS: Final = ("analytic", "cosine", "dlg")
MOST_GUESSED: Final = 8
"""Inputs that an optimisation guesses at a time."""
MOST_JUDGED: Final = 64
"""True inputs of an observation that guesses are compared with."""
SHOWN: Final = 8
"""Pictures for the page."""
RECOVERED_DB: Final = 30.0
"""A reconstruction counts as recovered from here on: our choice, at which digits and clothes are plainly legible."""


def invert(scene: Scene, method: str | None = None, most: int = 16) -> dict[str, Any]:
    """Return how like the guesses are, observation by observation, with some pictures, as JSON values.

    Parameters
    ----------
    scene : Scene
    method : str, optional
        One of `METHODS`; analytic where the net begins with a linear layer, else cosine.
    most : int
        Observations that are attacked.
    """
    method = method or ("analytic" if _first_linear(scene) else "cosine")
    if method not in METHODS:
        raise UnknownNameError("method", method, list(METHODS))
    if method == "analytic" and _first_linear(scene) is None:
        raise FedliteError(
            f"--method: got 'analytic' of the model {scene.learning.spec.name!r}, whose first layer is not linear with"
            " a bias, expected cosine or dlg; leave the option out"
        )
    low, high = scene.span
    common = np.broadcast_to(scene.learning.data.x_test.mean(axis=0), scene.learning.data.input_shape)
    rows, pictures = [], []
    for one in islice(scene.observations(), most):
        truths = scene.learning.data.x_train[scene.rows_of(one.owners)][:MOST_JUDGED]
        with single_thread():
            guesses = _guesses(scene, one, method)
        guesses = np.clip(np.nan_to_num(guesses), low, high).reshape(-1, *scene.learning.data.input_shape)
        if not len(guesses):
            guesses = np.array([common])
        best = guesses[nearest_guess(truths, guesses)]
        like = [_likeness(truth, guess, high - low) for truth, guess in zip(truths, best, strict=True)]
        mean = [psnr(truth, common, high - low) for truth in truths]
        rows.append({**_told(one), **_summed(like), "baseline_db": float(np.mean(mean))})
        pictures += [
            {"who": one.who, "round": one.round_, "psnr_db": db, "ssim": similar, "truth": truth, "guess": guess}
            for truth, guess, (db, similar) in zip(truths, best, like, strict=True)
        ][: max(1, SHOWN // most)]
    if not rows:
        raise FedliteError(f"{scene.run}: got a recording without any reply, expected some; record another round")
    return {
        "attack": "inversion",
        "method": method,
        "sees": scene.sight.sees,
        "psnr_db": float(np.mean([row["psnr_db"] for row in rows])),
        "baseline_db": float(np.mean([row["baseline_db"] for row in rows])),
        "ssim": float(np.mean([row["ssim"] for row in rows])),
        "recovered": float(np.average([row["recovered"] for row in rows], weights=[row["judged"] for row in rows])),
        "recovered_db": RECOVERED_DB,
        "observations": rows,
        "pictures": pictures[:SHOWN],
        "span": [low, high],
    }


def _guesses(scene: Scene, one: Observation, method: str) -> Array:
    layer = _first_linear(scene)
    if method == "analytic" and layer is not None:
        return invert_linear(one.update[f"{layer}.weight"], one.update[f"{layer}.bias"])
    net = scene.net(one.model)
    names = [name for name, _ in net.named_parameters()]
    # Of many steps the update is only about their common direction.
    lr = scene.scenario.training.local_config().lr
    seen = Seen(net, [torch.as_tensor(-np.asarray(one.update[name]) / lr) for name in names])
    shape, classes = scene.learning.data.input_shape, scene.learning.data.num_classes
    count = min(one.examples, MOST_GUESSED)
    rng = scene.stream(method, one.round_, one.who)
    if method == "dlg":
        return deep_leakage(seen, (count, *shape), classes, rng)[0]
    # Which classes there are, again and again until there are as many as examples.
    labels = np.resize(labels_present(np.asarray(one.update[bias_of_classes(scene)])), count)
    low, high = scene.span
    return invert_by_angle(seen, labels, shape, rng, low=low, high=high)


def _first_linear(scene: Scene) -> str | None:
    """Return the name of the first layer if it is a linear one of the whole input, with a bias."""
    name, first = scene.layers[0]
    size = int(np.prod(scene.learning.data.input_shape))
    linear = isinstance(first, nn.Linear) and first.bias is not None and first.in_features == size
    return name if linear else None


def _likeness(truth: Array, guess: Array, span: float) -> tuple[float, float]:
    return psnr(truth, guess, span), ssim(truth, guess, span)


def _told(one: Observation) -> dict[str, Any]:
    return {"round": one.round_, "device": one.device, "clients": len(one.owners), "examples": one.examples}


def _summed(like: Sequence[tuple[float, float]]) -> dict[str, float]:
    decibels = np.array([db for db, _ in like])
    return {
        "judged": len(like),
        "psnr_db": float(decibels.mean()),
        "best_db": float(decibels.max()),
        "ssim": float(np.mean([similar for _, similar in like])),
        "recovered": float((decibels >= RECOVERED_DB).mean()),
    }
