"""A clipping norm that follows a quantile: where it ends, and what its count takes from the sum."""

from __future__ import annotations

import numpy as np
import pytest

from fedlite.privacy.adaptive import AdaptiveNorm, update_noise

# z, cohort -> noise multiplier of the sum, for a count with a deviation of a twentieth of the cohort (theorem 1).
SUM_NOISE = {
    (1.0, 100): 1.0050378,
    (1.0, 20): 1.1547005,
    (0.5, 10): 0.5773503,
    (1.0, 1000): 1.00005,
    (0.3, 100): 0.3001351,
}


@pytest.mark.parametrize("case", SUM_NOISE, ids=str)
def test_the_sum_has_the_noise_that_the_count_leaves_it(case):
    z, cohort = case
    assert update_noise(z, cohort / 20) == pytest.approx(SUM_NOISE[case], rel=1e-6)
    assert update_noise(0.0, 1.0) == 0.0


@pytest.mark.parametrize("sigma", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("start", [0.1, 10.0])
@pytest.mark.parametrize("noise", [False, True])
def test_it_is_within_a_fifth_of_the_median_after_thirty_rounds(sigma, start, noise):
    """From a tenth and from ten times the median of log-normal norms, with and without the noise on the count."""
    rng, cohort, norm = np.random.default_rng(5), 100, start
    law = AdaptiveNorm(0.5, 0.2, cohort / 20 if noise else 0.0)
    for _ in range(30):
        unclipped = np.exp(sigma * rng.normal(size=cohort)) <= norm
        norm = law.next(norm, law.share(float((unclipped - 0.5).sum()), float(rng.normal()), cohort))
    assert norm == pytest.approx(1.0, rel=0.2)


@pytest.mark.parametrize("quantile", [0.2, 0.8])
def test_other_quantiles_are_found_from_near(quantile):
    rng, norm, norms = np.random.default_rng(6), 1.0, []
    law = AdaptiveNorm(quantile, 0.2, 0.0)
    for _ in range(200):
        unclipped = np.exp(0.5 * rng.normal(size=200)) <= norm
        norm = law.next(norm, law.share(float((unclipped - 0.5).sum()), 0.0, 200))
        norms.append(norm)
    wanted = np.quantile(np.exp(0.5 * rng.normal(size=100_000)), quantile)
    assert np.mean(norms[50:]) == pytest.approx(wanted, rel=0.05)


def test_a_count_of_nobody_leaves_the_norm_at_a_target_of_one_half():
    law = AdaptiveNorm(0.5, 0.2, 0.0)
    assert law.next(3.0, law.share(0.0, 0.0, 10)) == 3.0
