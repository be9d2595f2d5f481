"""What a gate sees of a wave agrees with published arithmetic, with closed forms and with plain simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from fedlite.errors import FedliteError
from fedlite.rollout.formulas import accuracy_devices, chance_of_seeing, z_power
from fedlite.rollout.gates.evidence import Evidence
from fedlite.rollout.gates.exact import Exact
from fedlite.rollout.gates.mann_whitney import MannWhitney
from fedlite.rollout.gates.msprt import Msprt
from fedlite.rollout.gates.sequential import Sequential
from fedlite.rollout.gates.threshold import Threshold
from fedlite.rollout.gates.two_arms import TwoArms
from fedlite.rollout.power import advice, devices_needed, minimum_detectable_effect, operating
from fedlite.rollout.recursion import limits
from fedlite.rollout.wave import Wave

HUNDREDTH = 0.0051
"""Figures are given to two digits."""
SIMULATED = 0.016
"""Two standard errors of 4,000 replications, as the figures have them."""

Z_POWER = {
    (0.01, 0.02): [0.11, 0.14, 0.21, 0.37, 0.58, 0.83, 0.99],
    (0.01, 0.03): [0.18, 0.26, 0.41, 0.73, 0.94, 1.00, 1.00],
    (0.01, 0.05): [0.32, 0.51, 0.76, 0.98, 1.00, 1.00, 1.00],
    (0.005, 0.01): [0.09, 0.11, 0.14, 0.23, 0.36, 0.57, 0.89],
    (0.02, 0.03): [0.09, 0.12, 0.16, 0.26, 0.42, 0.65, 0.94],
}


@pytest.mark.parametrize(("rates", "powers"), Z_POWER.items())
def test_two_arms_have_the_power_of_the_formula(rates, powers):
    found = [operating(TwoArms(), Wave(n, rates[0]), rates[1]) for n in (50, 100, 200, 500, 1000, 2000, 5000)]
    assert [one.power for one in found] == pytest.approx(powers, abs=HUNDREDTH)
    assert {one.how for one in found} == {"formula"}
    assert operating(TwoArms(0.01), Wave(100, rates[0]), rates[0]).power == pytest.approx(0.01)


def test_the_formula_of_two_arms_is_what_the_test_does_on_many_failures():
    formula = z_power(1000, 0.2, 0.24)
    looked_at_twice = operating(TwoArms(), Wave(1000, 0.2, looks=2), 0.24)
    assert looked_at_twice.power > formula + 0.01
    rng = np.random.Generator(np.random.PCG64(2))
    treated, control = rng.binomial(1000, 0.24, 20_000), rng.binomial(1000, 0.2, 20_000)
    n = np.full(20_000, 1000)
    simulated = TwoArms().trips(Evidence(n, treated, control_n=n, control_total=control)).mean()
    assert simulated == pytest.approx(formula, abs=0.012)


THRESHOLDS = {
    (20, 0.05): [0.20, 0.59, 0.98],
    (100, 0.03): [0.10, 0.95, 1.0],
    (100, 0.05): [0.00, 0.27, 0.95],
    (500, 0.02): [0.05, 1.0, 1.0],
    (1000, 0.02): [0.01, 1.0, 1.0],
}


@pytest.mark.parametrize(("rule", "chances"), THRESHOLDS.items())
def test_a_raw_threshold_aborts_as_often_as_published_and_at_its_first_look(rule, chances):
    gate = Threshold(rule[1], rule[0])
    found = [operating(gate, Wave(5000, 0.01), rate) for rate in (0.01, 0.03, 0.05)]
    assert [one.power for one in found] == pytest.approx(chances, abs=SIMULATED)
    assert [one.median_n for one in found] == [rule[0]] * 3


def test_peeking_at_an_exact_test_aborts_good_releases():
    gate, wave = Exact(0.01), Wave(5000, 0.01, looks=100)
    assert operating(gate, wave, 0.01).power == pytest.approx(0.22, abs=SIMULATED)
    assert operating(gate, wave, 0.02).power == pytest.approx(1.0, abs=HUNDREDTH)
    assert operating(gate, Wave(5000, 0.01), 0.01).power <= 0.05


def test_the_e_process_has_the_published_chances_and_delays():
    rates = (0.01, 0.015, 0.02, 0.03, 0.05)
    long = [operating(Sequential(0.01), Wave(5000, 0.01), rate) for rate in rates]
    short = [operating(Sequential(0.01), Wave(500, 0.01), rate) for rate in rates]
    assert [one.power for one in long] == pytest.approx([0.029, 0.74, 1.0, 1.0, 1.0], abs=SIMULATED)
    # .34 was simulated: the recursion has .323, two standard errors and the rounding below.
    assert [one.power for one in short] == pytest.approx([0.019, 0.11, 0.34, 0.82, 0.999], abs=SIMULATED + 0.002)
    assert [one.median_n for one in long[1:]] == pytest.approx([2149, 820, 239, 85], rel=0.03)


BLINDNESS = {
    (0.05, 0.2): [0.01, 0.08, 0.32, 0.88, 1.0],
    (0.01, 0.5): [0.00, 0.01, 0.08, 0.46, 0.88],
    (0.01, 1.0): [0.01, 0.08, 0.32, 0.88, 1.0],
}


@pytest.mark.parametrize(("affected", "chances"), BLINDNESS.items())
def test_small_waves_are_blind_to_small_classes(affected, chances):
    found = [chance_of_seeing(n, *affected) for n in (50, 100, 200, 500, 1000)]
    assert found == pytest.approx(chances, abs=HUNDREDTH)
    assert found == pytest.approx([stats.binom.sf(2, n, math.prod(affected)) for n in (50, 100, 200, 500, 1000)])


def test_nobody_sees_more_failures_than_devices():
    assert chance_of_seeing(2, 1.0, 1.0, failures=3) == 0.0
    assert chance_of_seeing(3, 1.0, 1.0, failures=3) == 1.0


def test_an_accuracy_gate_needs_the_published_number_of_devices():
    found = [accuracy_devices(drop, sd=0.08, base=0.85, samples=20) for drop in (0.01, 0.02, 0.05)]
    assert found == [1580, 395, 64]


@pytest.mark.parametrize(
    ("gate", "looks", "rate"),
    [(Threshold(0.05, 20), 400, 0.03), (Exact(0.02), 8, 0.03), (Sequential(0.01), 400, 0.03), (Exact(0.3), 3, 0.4)],
    ids=lambda value: type(value).__name__,
)
def test_the_recursion_is_what_simulated_devices_do(gate, looks, rate):
    wave, waves = Wave(400, 0.01, looks), 8000
    seen = wave.seen_at(gate)
    rng = np.random.Generator(np.random.PCG64(4))
    total = (rng.random((waves, 400)) < rate).cumsum(-1)[:, seen - 1]
    tripped = gate.trips(Evidence(np.broadcast_to(seen, total.shape), total))
    found, ever = operating(gate, wave, rate), tripped.any(-1)
    assert found.how == "recursion"
    assert found.standard_error == 0.0
    assert found.power == pytest.approx(ever.mean(), abs=4 * math.sqrt(0.25 / waves))
    assert found.median_n == pytest.approx(np.median(seen[tripped[ever].argmax(-1)]), rel=0.12)


def test_one_look_of_an_exact_test_is_the_binomial_tail():
    least = next(k for k in range(200) if stats.binom.sf(k - 1, 900, 0.01) <= 0.05)
    assert limits(Exact(0.01), np.array([900])).tolist() == [least]
    for rate in (0.01, 0.025):
        assert operating(Exact(0.01), Wave(900, 0.01), rate).power == pytest.approx(
            stats.binom.sf(least - 1, 900, rate)
        )


def test_limits_are_the_fewest_failures_that_trip():
    seen = np.arange(1, 300)
    for gate in (Threshold(0.05, 20), Exact(0.02, 0.01), Sequential(0.02)):
        n, total = np.meshgrid(seen, np.arange(60), indexing="ij")
        trips = gate.trips(Evidence(n, total)) & (total <= n)
        wanted = np.where(trips.any(-1), trips.argmax(-1), seen + 1)
        assert limits(gate, seen).tolist() == wanted.tolist()


def test_rates_of_none_and_of_all_are_certain():
    assert operating(Threshold(0.5, 3), Wave(9, 0.0), 0.0).power == 0.0
    assert operating(Threshold(0.5, 3), Wave(9, 0.0), 0.0).median_n is None
    assert operating(Threshold(0.5, 3), Wave(9, 0.0), 1e-308).power == 0.0
    everyone = operating(Threshold(0.5, 3), Wave(9, 0.0), 1.0)
    assert (everyone.power, everyone.median_n) == (pytest.approx(1.0), 3)


def test_a_class_dilutes_what_the_fleet_shows():
    diluted = operating(Sequential(0.01), Wave(1000, 0.01, class_share=0.05), 0.2)
    whole = operating(Sequential(0.01), Wave(1000, 0.01), 0.05 * 0.2 + 0.95 * 0.01)
    assert diluted.power == pytest.approx(whole.power, rel=1e-9)
    continuous = Wave(300, 0.0, sd=1.0, class_share=0.3)
    assert operating(Msprt(), continuous, 1.0).power < operating(Msprt(), Wave(300, 0.0, sd=1.0), 1.0).power


def test_a_mann_whitney_gate_sees_what_a_shift_of_normal_metrics_makes_probable():
    """Noether's formula for U, whose spread is nearly that of no shift while the shift is small."""
    n, shift = 200, 0.25
    ordered = stats.norm.cdf(shift / math.sqrt(2))
    wanted = stats.norm.cdf(math.sqrt(6 * n) * (ordered - 0.5) - stats.norm.ppf(0.95))
    wave = Wave(n, 10.0, sd=2.0)
    found = operating(MannWhitney(), wave, 10.0 + 2.0 * shift)
    assert found.power == pytest.approx(wanted, abs=4 * found.standard_error + 0.005)
    assert found.median_n == n
    assert operating(MannWhitney(), wave, 10.0).power == pytest.approx(0.05, abs=0.014)
    assert operating(MannWhitney("decrease"), wave, 10.0 - 2.0 * shift).power == pytest.approx(found.power, abs=0.03)
    assert operating(MannWhitney(margin=0.5), wave, 10.5).power == pytest.approx(0.05, abs=0.014)


def test_a_mixture_sprt_sees_an_effect_and_aborts_few_good_releases():
    wave = Wave(500, 100.0, sd=20.0)
    seen, false = operating(Msprt(), wave, 105.0), operating(Msprt(), wave, 100.0)
    assert seen.power > 0.85
    assert seen.median_n < 300
    assert 0.002 < false.power <= 0.05
    assert operating(Msprt("decrease"), wave, 105.0).power < 0.01
    known = operating(Msprt(sd=20.0), wave, 105.0)
    assert known.power == pytest.approx(seen.power, abs=0.02)


def test_simulated_sums_are_those_of_drawn_devices():
    """The gate on sums drawn between looks does what it does on devices drawn one by one."""
    wave = Wave(60, 3.0, looks=6, sd=2.0, class_share=0.6)
    found = operating(Msprt(mixing=0.5), wave, 4.5)
    rng = np.random.Generator(np.random.PCG64(6))
    treated = rng.normal(3.0, 2.0, (4000, 60)) + 1.5 * (rng.random((4000, 60)) < 0.6)
    control = rng.normal(3.0, 2.0, (4000, 60))
    tripped = [
        Msprt(mixing=0.5).trips(Evidence.of_samples(treated[:, :n], control[:, :n])) for n in wave.seen_at(Msprt())
    ]
    assert found.power == pytest.approx(np.any(tripped, axis=0).mean(), abs=0.04)
    assert 0.2 < found.power < 0.9


def test_the_least_effect_is_seen_with_the_power_asked_for_and_a_smaller_one_is_not():
    for gate, wave in (
        (Sequential(0.01), Wave(1000, 0.01)),
        (Exact(0.01), Wave(700, 0.01)),
        (TwoArms(), Wave(500, 0.02)),
    ):
        least = minimum_detectable_effect(gate, wave, 0.9)
        assert operating(gate, wave, least).power >= 0.9
        assert operating(gate, wave, least - 1e-4).power < 0.9
    assert minimum_detectable_effect(TwoArms(), Wave(1000, 0.01)) == pytest.approx(0.0245, abs=0.0002)


def test_the_least_effect_of_a_mean_lies_on_the_bad_side():
    wave = Wave(395, 0.85, sd=0.113)
    drop = 0.85 - minimum_detectable_effect(MannWhitney("decrease"), wave)
    assert drop == pytest.approx(0.02, abs=0.002)
    assert minimum_detectable_effect(Msprt("increase"), wave) > 0.85 + drop


def test_some_waves_see_nothing():
    assert minimum_detectable_effect(Sequential(0.01), Wave(1, 0.01)) is None
    assert minimum_detectable_effect(Threshold(0.5, 10), Wave(5, 0.01)) is None
    assert minimum_detectable_effect(Msprt(min_executed=9), Wave(5, 0.0, sd=1.0)) is None
    # The mildest ratio of the mixture is 1.25: what is nearer to the baseline than half of that is no regression to it.
    assert devices_needed(Sequential(0.01), Wave(100, 0.01), 0.0101) is None


def test_a_wave_of_the_advised_size_suffices_and_half_of_it_does_not():
    for gate, wave, effect in (
        (Sequential(0.01), Wave(100, 0.01, class_share=0.05), 0.2),
        (Threshold(0.05, 100), Wave(100, 0.01), 0.05),
        (TwoArms(), Wave(100, 0.01), 0.02),
    ):
        needed = devices_needed(gate, wave, effect)
        enough, half = (Wave(n, 0.01, class_share=wave.class_share) for n in (needed, needed // 2))
        assert operating(gate, enough, effect).power >= 0.8
        assert operating(gate, half, effect).power < 0.8
    assert devices_needed(MannWhitney("decrease"), Wave(50, 0.85, sd=0.113), 0.83) == pytest.approx(414, rel=0.12)


def test_advice_says_what_a_wave_sees_and_what_it_needs():
    assert advice(Sequential(0.01), Wave(100, 0.01, class_share=0.05), 0.2) == (
        "a wave of 100 devices sees a failure rate of 20 % in a class of 5 % with probability 0.07;"
        " for 0.80 it needs about 1740"
    )
    assert advice(TwoArms(), Wave(5000, 0.01), 0.03).endswith("with probability 1.00: large enough")


def test_the_same_seed_makes_the_same_waves_and_another_seed_others():
    wave = Wave(100, 0.0, sd=1.0)
    one, again = (operating(Msprt(), wave, 0.4) for _ in range(2))
    assert one == again
    assert one != operating(Msprt(), Wave(100, 0.0, sd=1.0, seed=1), 0.4)


def test_looks_are_evenly_spaced_and_end_at_the_last_device():
    assert Wave(10, 0.1, looks=3).seen_at(Exact(0.1)).tolist() == [4, 7, 10]
    assert Wave(10, 0.1).seen_at(Exact(0.1)).tolist() == [10]
    assert Wave(4, 0.1).seen_at(Sequential(0.1)).tolist() == [1, 2, 3, 4]
    assert len(Wave(5000, 0.1).seen_at(Sequential())) == 100
    assert len(Wave(1_000_000, 0.1).seen_at(Sequential(0.1))) == 20_000


MISTAKES = {
    "n: got 0, expected a whole number from 1 to 1000000": lambda: Wave(0, 0.1),
    "looks: got 9, expected a whole number from 1 to 5": lambda: Wave(5, 0.1, looks=9),
    "baseline: got 1.5, expected 0 to 1": lambda: Wave(5, 1.5),
    "class_share: got 0.0, expected more than 0": lambda: Wave(5, 0.5, class_share=0.0),
    "sd: got -1.0, expected a number up to 1e+100, more than 0": lambda: Wave(5, 0.5, sd=-1.0),
    "effect: got 7, expected 0 to 1": lambda: operating(Exact(0.1), Wave(5, 0.1), 7),
    "effect: got nan, expected a number up to 1e+100;": lambda: operating(Msprt(), Wave(5, 0.1, sd=1.0), math.nan),
    "sd: got 1 with a gate that counts failures": lambda: operating(Exact(0.1), Wave(5, 0.1, sd=1.0), 0.2),
    "sd: got none with a gate of a continuous metric": lambda: operating(Msprt(), Wave(5, 0.1), 0.2),
    "power: got 1.0, expected": lambda: minimum_detectable_effect(Exact(0.1), Wave(5, 0.1), 1.0),
    "numbers to draw and look at": lambda: operating(MannWhitney(), Wave(90_000, 0.1, sd=1.0), 0.2),
}


@pytest.mark.parametrize(("words", "ask"), MISTAKES.items(), ids=list(MISTAKES))
def test_questions_that_mean_nothing_are_refused(words, ask):
    with pytest.raises(FedliteError) as told:
        ask()
    assert words in str(told.value)
