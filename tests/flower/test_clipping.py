"""Our clipping on the device is the one that Flower's mod does."""

import numpy as np

try:
    from flwr.supercore.differential_privacy import compute_clip_model_update
except ModuleNotFoundError:  # flwr 1.31
    from flwr.common.differential_privacy import compute_clip_model_update

from fedlite.client.stages.base import Sending
from fedlite.client.stages.clip import CLIPPED, Clip
from fedlite.client.stages.noise import Noise
from fedlite.rng import stream


def models(scale):
    rng = np.random.default_rng(3)
    old = [rng.normal(size=shape).astype(np.float32) for shape in ((5, 4), (4,), (3, 3, 2))]
    return old, [a + scale * rng.normal(size=a.shape).astype(np.float32) for a in old]


def clipped_model(new, old, norm):
    """The weights that a client sends whose update was clipped, and whether it was."""
    update = [a - b if a.dtype.kind == "f" else a for a, b in zip(new, old, strict=True)]
    applied = Clip(norm).apply(update, Sending([], 0, 1, {}, stream(0, "unused")))
    sent = [b + part if part.dtype.kind == "f" else part for part, b in zip(applied.update, old, strict=True)]
    return sent, applied.metrics[CLIPPED]


def test_an_update_is_scaled_as_flower_scales_it():
    for scale, was_clipped in ((2.0, 1.0), (1e-3, 0.0)):
        old, new = models(scale)
        ours, clipped = clipped_model(new, old, 1.0)
        theirs = [a.copy() for a in new]
        compute_clip_model_update(theirs, old, 1.0)
        assert clipped == was_clipped
        for mine, flower in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(mine, flower, rtol=1e-5, atol=1e-6)


def test_the_norm_of_a_clipped_update_is_the_limit():
    old, new = models(5.0)
    ours, _ = clipped_model(new, old, 0.7)
    norm = np.sqrt(sum(np.sum((a - b) ** 2) for a, b in zip(ours, old, strict=True)))
    assert abs(norm - 0.7) < 1e-4


def test_counters_pass_unchanged():
    old, new = models(5.0)
    ours, _ = clipped_model([*new, np.array(7)], [*old, np.array(2)], 0.1)
    assert ours[-1] == 7
    assert Noise(1.0).apply(ours, Sending([], 0, 1, {}, np.random.default_rng(1))).update[-1] == 7


def test_noise_has_the_deviation_that_was_asked_for():
    (noisy,) = (
        Noise(0.3).apply([np.zeros(100_000, dtype=np.float32)], Sending([], 0, 1, {}, np.random.default_rng(1))).update
    )
    assert abs(noisy.std() - 0.3) < 0.005
    assert noisy.dtype == np.float32
