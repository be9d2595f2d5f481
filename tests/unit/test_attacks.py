"""Attacks against formulas of their own: exact where they are exact, useless where they must be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fedlite.attacks.analytic_inversion import invert_linear
from fedlite.attacks.cosine_inversion import invert_by_angle, total_variation
from fedlite.attacks.dlg import deep_leakage
from fedlite.attacks.gradients import Seen
from fedlite.attacks.label_inference import labels_present, single_label
from fedlite.attacks.likeness import CAP_DB, nearest_guess, psnr, ssim
from fedlite.attacks.lira import offline_scores, online_scores, scaled_confidence
from fedlite.attacks.loss_threshold import advantage, loss_scores
from fedlite.attacks.property_inference import PropertyClassifier
from fedlite.attacks.roc import roc
from fedlite.rng import stream


def _net(seed: int, middle: nn.Module, hidden: int = 12) -> nn.Sequential:
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, hidden), middle, nn.Linear(hidden, 3))
    rng = stream(seed, "weights")
    with torch.no_grad():
        for part in net.parameters():
            part.copy_(torch.as_tensor(rng.normal(0, 0.5, part.shape)))
    return net


def _gradient(net: nn.Module, x: np.ndarray, y: list[int]) -> list[torch.Tensor]:
    loss = nn.functional.cross_entropy(net(torch.as_tensor(x)), torch.as_tensor(y))
    return list(torch.autograd.grad(loss, list(net.parameters())))


def _pictures(count: int) -> np.ndarray:
    return stream(1, "pictures").uniform(size=(count, 1, 4, 4)).astype(np.float32)


def test_psnr_is_the_peak_over_the_squared_error_and_capped() -> None:
    truth = np.zeros((4, 4))
    assert psnr(truth, truth + 0.1) == pytest.approx(20.0)
    assert psnr(truth, truth + 0.2, span=2.0) == pytest.approx(20.0)
    assert psnr(truth, truth) == CAP_DB


def test_ssim_of_one_window_is_the_formula_and_one_of_itself() -> None:
    one, two = stream(1, "one").uniform(size=(5, 5)), stream(1, "two").uniform(size=(5, 5))
    covariance = np.cov(one.ravel(), two.ravel(), bias=True)
    light = (2 * one.mean() * two.mean() + 1e-4) / (one.mean() ** 2 + two.mean() ** 2 + 1e-4)
    contrast = (2 * covariance[0, 1] + 9e-4) / (covariance[0, 0] + covariance[1, 1] + 9e-4)
    assert ssim(one, two) == pytest.approx(light * contrast)
    assert ssim(one, one) == pytest.approx(1.0)
    assert ssim(np.ones((9, 9)), np.zeros((9, 9))) < 0.01
    assert np.isnan(ssim(np.zeros(3), np.zeros(3)))


def test_each_truth_is_matched_with_its_nearest_guess() -> None:
    truths = np.eye(3)
    np.testing.assert_array_equal(nearest_guess(truths, truths[[2, 0, 1]] * 0.9), [1, 2, 0])


@pytest.mark.parametrize("steps", [1, 5])
def test_a_linear_layer_tells_its_input_exactly_whatever_the_steps(steps: int) -> None:
    net, x = _net(1, nn.ReLU()), _pictures(1)
    before = [part.detach().clone() for part in net.parameters()]
    for _ in range(steps):
        slopes = _gradient(net, x, [2])
        with torch.no_grad():
            for part, slope in zip(net.parameters(), slopes, strict=True):
                part.sub_(0.3 * slope)
    moved = [(new.detach() - old).numpy() for new, old in zip(net.parameters(), before, strict=True)]
    found = invert_linear(moved[0], moved[1])
    assert psnr(x.ravel(), found[0]) > 90.0
    noisy = [part + stream(3, "noise").normal(0, 0.1, part.shape) for part in moved]
    best = invert_linear(noisy[0], noisy[1])
    assert psnr(x.ravel(), best[nearest_guess(x.reshape(1, -1), best)[0]]) < 15.0


def test_rows_that_nothing_moved_say_nothing() -> None:
    assert invert_linear(np.zeros((3, 2)), np.zeros(3)).shape == (0, 2)
    np.testing.assert_allclose(invert_linear(np.array([[1.0, 2], [0, 0]]), np.array([0.5, 0])), [[2.0, 4.0]])


def test_deep_leakage_finds_picture_and_label_of_a_smooth_net() -> None:
    net, x = _net(2, nn.Sigmoid()), _pictures(1)
    found, labels = deep_leakage(
        Seen(net, _gradient(net, x, [1])), (1, 1, 4, 4), 3, stream(5, "dlg"), starts=1, steps=60
    )
    assert labels.tolist() == [1]
    assert psnr(x, found) > 40.0
    noise = [
        part + torch.as_tensor(stream(4, "noise").normal(0, 0.5, part.shape)).float() for part in _gradient(net, x, [1])
    ]
    hidden, _ = deep_leakage(Seen(net, noise), (1, 1, 4, 4), 3, stream(5, "dlg"), steps=50, starts=1)
    assert psnr(x, hidden) < 15.0


def test_the_angle_alone_finds_a_picture_whatever_its_length() -> None:
    net, x = _net(2, nn.Tanh(), hidden=32), _pictures(1)
    clipped = [part * 1e-3 for part in _gradient(net, x, [0])]
    labels = np.array([single_label(-clipped[-1].numpy())])
    assert labels.tolist() == [0]
    found = invert_by_angle(Seen(net, clipped), labels, (1, 4, 4), stream(6, "start"), steps=200, smooth=0.0)
    assert psnr(x, found) > 30.0
    assert 0.0 <= found.min() <= found.max() <= 1.0


def test_total_variation_is_the_mean_step_between_neighbours() -> None:
    assert float(total_variation(torch.tensor([[[0.0, 1.0], [0.0, 1.0]]]))) == pytest.approx(1.0)
    assert float(total_variation(torch.ones(2, 3))) == 0.0


def test_labels_are_where_the_update_of_the_bias_is_positive() -> None:
    net = _net(3, nn.ReLU())
    for label in range(3):
        bias = -_gradient(net, _pictures(1), [label])[-1].numpy()
        assert single_label(bias) == label
        assert labels_present(bias).tolist() == [label]
    assert labels_present(np.array([-1.0, -0.5])).tolist() == [1]


def test_the_curve_counts_every_threshold_once_and_ties_together() -> None:
    curve = roc(np.array([3.0, 2.0, 2.0, 1.0]), np.array([True, True, False, False]))
    np.testing.assert_allclose(curve.fpr, [0, 0, 0.5, 1])
    np.testing.assert_allclose(curve.tpr, [0, 0.5, 1, 1])
    assert curve.auc == pytest.approx(0.875)  # one of four pairs is a tie
    assert curve.tpr_at(0.01) == 0.5
    assert curve.balanced_accuracy == pytest.approx(0.75)


def test_confidence_is_scaled_as_if_computed_by_its_formula() -> None:
    logits, labels = stream(1, "logits").normal(size=(5, 4)), np.array([0, 1, 2, 3, 0])
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    right = p[np.arange(5), labels]
    np.testing.assert_allclose(scaled_confidence(logits, labels), np.log(right / (1 - right)))
    assert np.isfinite(scaled_confidence(np.array([[800.0, 0.0]]), np.array([0]))).all()


def test_likelihood_ratios_are_those_of_the_gaussians_behind() -> None:
    rng = stream(2, "shadows")
    within = np.tile(np.arange(4000)[:, None] % 2 == 0, (1, 2))
    shadows = np.where(within, rng.normal(3.0, 1.0, within.shape), rng.normal(0.0, 1.0, within.shape))
    target = np.array([3.0, 0.0])
    # log N(t; 3, 1) - log N(t; 0, 1) = 3 t - 4.5
    np.testing.assert_allclose(online_scores(target, shadows, within), 3 * target - 4.5, atol=0.4)
    np.testing.assert_allclose(offline_scores(target, shadows, within), [np.log(0.99865), np.log(0.5)], atol=0.05)


def test_few_shadows_share_one_variance() -> None:
    within = np.array([[True, True], [True, True], [False, False], [False, False]])
    shadows = np.array([[5.0, 5.0], [7.0, 5.0], [-1.0, 0.0], [1.0, 0.0]])
    # Without: means 0 and 0, pooled variance (1 + 1 + 0 + 0) / 4.
    np.testing.assert_allclose(
        offline_scores(np.array([0.0, np.sqrt(0.5)]), shadows, within), [np.log(0.5), np.log(0.841345)], rtol=1e-5
    )


def test_losses_are_a_score_and_their_threshold_an_advantage() -> None:
    losses, member = np.array([0.1, 0.2, 0.3, 0.9]), np.array([True, True, False, False])
    assert roc(loss_scores(losses), member).auc == 1.0
    assert advantage(losses, member, 0.15) == pytest.approx(0.5)


def test_a_property_that_turns_an_update_is_found_and_a_coin_is_not() -> None:
    rng = stream(4, "property")
    has = np.arange(60) % 2 == 0
    updates = rng.normal(size=(60, 200))
    updates[has, :4] += 3.0
    classifier = PropertyClassifier.fit(updates[:40], has[:40])
    assert roc(classifier.scores(updates[40:]), has[40:]).auc > 0.95
    # Length alone must not matter.
    np.testing.assert_allclose(classifier.scores(updates[40:] * 7.0), classifier.scores(updates[40:]))
    plain = rng.normal(size=(60, 200))
    assert roc(PropertyClassifier.fit(plain[:40], has[:40]).scores(plain[40:]), has[40:]).auc < 0.85


def test_the_classifier_is_the_minimum_of_its_own_loss() -> None:
    rng = stream(5, "fit")
    updates, has = rng.normal(size=(12, 5)), rng.random(12) < 0.5
    fitted = PropertyClassifier.fit(updates, has, penalty=0.1)
    x = updates / np.linalg.norm(updates, axis=1, keepdims=True) - fitted.mean
    spread = np.linalg.svd(x)[1].max() / np.sqrt(len(x))

    def loss(weights: np.ndarray, offset: float) -> float:
        signs = np.where(has, 1.0, -1.0)
        fit = np.log1p(np.exp(-signs * (x @ weights + offset))).mean()
        return float(fit + 0.05 * np.square(weights * spread).sum())

    best = loss(fitted.weights, fitted.offset)
    for _ in range(20):
        step = rng.normal(size=6) * 0.1
        assert loss(fitted.weights + step[:5], fitted.offset + step[5]) > best
