"""Our clipping on the device is the one that Flower's mod does."""

import numpy as np

try:
    from flwr.supercore.differential_privacy import compute_clip_model_update
except ModuleNotFoundError:  # flwr 1.31
    from flwr.common.differential_privacy import compute_clip_model_update

from fedlite.privacy.clipping import add_noise, clip_update


def models(scale):
    rng = np.random.default_rng(3)
    old = [rng.normal(size=shape).astype(np.float32) for shape in ((5, 4), (4,), (3, 3, 2))]
    return old, [a + scale * rng.normal(size=a.shape).astype(np.float32) for a in old]


def test_an_update_is_scaled_as_flower_scales_it():
    for scale, was_clipped in ((2.0, True), (1e-3, False)):
        old, new = models(scale)
        ours, clipped = clip_update(new, old, 1.0)
        theirs = [a.copy() for a in new]
        compute_clip_model_update(theirs, old, 1.0)
        assert clipped is was_clipped
        for mine, flower in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(mine, flower, rtol=1e-5, atol=1e-6)


def test_the_norm_of_a_clipped_update_is_the_limit():
    old, new = models(5.0)
    ours, _ = clip_update(new, old, 0.7)
    norm = np.sqrt(sum(np.sum((a - b) ** 2) for a, b in zip(ours, old, strict=True)))
    assert abs(norm - 0.7) < 1e-4


def test_counters_pass_unchanged():
    old, new = models(5.0)
    ours, _ = clip_update([*new, np.array(7)], [*old, np.array(2)], 0.1)
    assert ours[-1] == 7
    assert add_noise(ours, 1.0, np.random.default_rng(1))[-1] == 7


def test_noise_has_the_deviation_that_was_asked_for():
    (noisy,) = add_noise([np.zeros(100_000, dtype=np.float32)], 0.3, np.random.default_rng(1))
    assert abs(noisy.std() - 0.3) < 0.005
    assert noisy.dtype == np.float32
