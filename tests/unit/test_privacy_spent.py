"""The guarantee of a run by mechanism, and the terms that a scenario sets."""

from __future__ import annotations

import numpy as np
import pytest
from dp_accounting import gaussian_mechanism

from fedlite.compose import guarding
from fedlite.compose.privacy_spent import privacy_spent
from fedlite.errors import FedliteError
from fedlite.fleet.ledger import COLUMNS, Ledger
from fedlite.privacy import accounting
from fedlite.privacy.releases import Release, record
from fedlite.report.privacy_report import privacy_report
from fedlite.scenario.loader import parse_scenario

SCENARIO = """
name: owners
fleet: {devices: DEVICES, mix: {pixel-8: 1}}
task: {data: digits, model: mlp}
training: {rounds: 3, clients_per_round: 20, failures: missing}
privacy: {PRIVACY}
"""
FIXED = "mechanism: client-fixed-clipping, clipping_norm: 1.0, noise_multiplier: 2.0, delta: 0.001"
TARGET = "mechanism: client-fixed-clipping, clipping_norm: 1.0, target_epsilon: 5, delta: 0.001"
LOCAL = "mechanism: local-dp, clipping_norm: 1.0, epsilon: 1.0, delta: 0.001"
NONE = "mechanism: none"


class Fleet:
    """Devices, some of which are never asked."""

    def __init__(self, devices, excluded=()):
        self.ids = np.arange(devices)
        self.excluded = np.isin(self.ids, excluded)


def scenario(privacy, devices=60, **changes):
    text = SCENARIO.replace("PRIVACY", privacy).replace("DEVICES", str(devices))
    for old, new in changes.values():
        text = text.replace(old, new)
    return parse_scenario(text)


def terms(privacy, devices=60, clients=40, excluded=(), **changes):
    return guarding.terms_of(scenario(privacy, devices, **changes), clients, Fleet(devices, excluded))


def guard(privacy, **changes):
    told, fleet = scenario(privacy, **changes), Fleet(60)
    return guarding.guard_of(told, guarding.terms_of(told, 40, fleet), 40, fleet)


def ledger(*jobs, **same):
    """Rows of (round, device) that arrived from training unless told otherwise."""
    told = {"kind": "train", "outcome": "arrived", "up_bytes": 10, **same}
    if jobs:
        told |= {"round": np.array([job[0] for job in jobs]), "device": np.array([job[1] for job in jobs])}
    filled = Ledger()
    filled.append({name: told.get(name, "" if kind is np.str_ else np.zeros(1)) for name, kind in COLUMNS.items()})
    return filled


def both(first, second):
    for name in COLUMNS:
        assert first.columns()[name].dtype.kind == second.columns()[name].dtype.kind
    first.append(second.columns())
    return first


# -- terms -------------------------------------------------------------------------------------------------------------


def test_only_a_server_that_adds_noise_has_terms():
    assert terms(NONE) is None
    assert terms(LOCAL) is None
    assert terms(FIXED).noise_multiplier == 2.0


def test_the_population_is_the_owners_of_devices_that_may_be_asked():
    assert terms(FIXED, devices=60, clients=40).population == 40
    assert terms(FIXED, devices=30, clients=40).population == 30
    # Owners 0 to 19 have two devices each: they are left out only if both are.
    assert terms(FIXED, devices=60, clients=40, excluded=(0, 1, 41, 25)).population == 38


def test_noise_for_a_target_is_that_of_the_rounds_however_many_devices_an_owner_has():
    wanted = float(gaussian_mechanism.get_sigma_gaussian(5.0, 0.001)) * 3**0.5
    for devices in (40, 60, 120):
        assert terms(TARGET, devices).noise_multiplier == pytest.approx(wanted, rel=1e-9)


def test_a_sampler_needs_less_noise_for_a_target_unless_something_hinders_it():
    plain = terms(TARGET).noise_multiplier
    sampled = terms(f"{TARGET}, sampling: fixed, relation: zero-out").noise_multiplier
    hindered = terms(
        f"{TARGET}, sampling: fixed, relation: zero-out", change=("failures:", "deadline: 1 h, failures:")
    ).noise_multiplier
    assert sampled < plain == pytest.approx(hindered, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("failures:", "deadline: 1 h, failures:"), "training.deadline"),
        (("mix:", "availability: diurnal, mix:"), "fleet.availability"),
    ],
)
def test_what_may_decide_beside_chance_is_an_obstacle(change, why):
    assert terms(FIXED).obstacles == ()
    [found] = terms(f"{FIXED}, sampling: poisson", change=change).obstacles
    assert why in found


def test_the_cap_is_half_as_much_again_unless_told():
    assert terms(FIXED).cap is None
    assert terms(f"{FIXED}, sampling: truncated-poisson").cap == 30
    assert terms(f"{FIXED}, sampling: truncated-poisson, cap: 25").cap == 25
    assert terms(f"{FIXED}, sampling: truncated-poisson, cap: 500").cap == 40


def test_more_in_a_round_than_there_are_is_refused():
    with pytest.raises(FedliteError, match=r"training\.clients_per_round: got 20, .* at most the 15 that have"):
        terms(f"{FIXED}, sampling: poisson", devices=60, clients=15)
    assert terms(FIXED, devices=60, clients=15).population == 15


def test_a_budget_below_one_release_is_refused_before_training():
    with pytest.raises(FedliteError, match=r"privacy\.max_epsilon: got 0\.1, which is less than one release"):
        guard(f"{FIXED}, max_epsilon: 0.1")
    assert guard(f"{FIXED}, max_epsilon: 3").limit > 1
    assert guard(FIXED).limit is None


def test_a_tree_is_half_as_long_as_its_owners_suffice_for_unless_told():
    tree = "mechanism: dp-ftrl, clipping_norm: 1.0, noise_multiplier: 2.0, delta: 0.001"
    few = {"change": ("clients_per_round: 20", "clients_per_round: 4")}
    assert terms(tree, **few).longest == guard(tree, **few).longest == 5
    assert terms(tree).longest == 1
    assert terms(f"{tree}, restart_every: 10", **few).longest == 10
    with pytest.raises(FedliteError, match=r"privacy\.restart_every: got 11, expected at most 10"):
        terms(f"{tree}, restart_every: 11", **few)
    assert terms(FIXED).longest is None


def test_a_guard_keeps_what_the_scenario_says():
    kept = guard(f"{FIXED}, sampling: truncated-poisson, cap: 25")
    assert (kept.norm, kept.on_client, kept.sampling, kept.sum_noise) == (1.0, True, "truncated-poisson", 2.0)
    assert (kept.draw.population, kept.draw.cohort, kept.draw.cap) == (40, 20, 25)
    assert kept.owner_of[45] == 5
    moving = guard("mechanism: server-adaptive-clipping, noise_multiplier: 1.0, delta: 0.001")
    assert (moving.norm, moving.on_client, moving.adapts.count_std) == (0.1, False, 1.0)
    assert moving.sum_noise == pytest.approx(1.1547005, rel=1e-6)


# -- what was spent ----------------------------------------------------------------------------------------------------


def test_nothing_is_stated_of_a_scenario_without_a_mechanism():
    assert privacy_spent(scenario(NONE), ledger((1, 0)), 20, None, ()) is None


def test_a_server_that_adds_noise_is_accounted_by_what_it_published():
    released = [Release(1, 2.0, 1.0, 20, 18), Release(2, 2.0, 1.0, 20, 20)]
    found = privacy_spent(scenario(FIXED), ledger((1, 0)), 20, terms(FIXED), released)
    assert found == {
        "mechanism": "client-fixed-clipping", "trust": "central", **record(terms(FIXED), released)
    }  # fmt: skip
    assert found["epsilon"] == pytest.approx(accounting.spent(2.0, 1, [accounting.Mean(1)] * 2, 0.001).epsilon)


def test_under_secure_aggregation_the_server_is_told_to_see_sums():
    secret = f"{FIXED}, secure_aggregation: {{clip: 1.0}}"
    found = privacy_spent(scenario(secret), ledger((1, 0)), 20, terms(FIXED), [Release(1, 2.0, 1.0, 20, 20)])
    assert found["trust"] == "sums"
    assert "no single one" in privacy_report({"privacy": found}, {}).record["trust"]


def test_local_updates_count_once_they_were_sent_whether_or_not_they_arrived_in_time():
    rows = both(ledger((1, 0), (1, 1), (2, 20), (3, 40), outcome="late"), ledger((4, 0), (5, 60), up_bytes=0))
    rows = both(rows, ledger((6, 0), kind="evaluate"))
    found = privacy_spent(scenario(LOCAL), rows, 20, None, ())
    wanted = accounting.spent_locally(1.0, 0.001, 3)
    assert (found["epsilon"], found["statement"]) == (wanted.epsilon, wanted.statement)
    assert (found["guarantee"], found["relation"], found["releases"]) == (True, "replace-one", 3)
    assert found["cohort_realised"] == {"min": 1, "mean": pytest.approx(4 / 3), "max": 2}


def test_local_privacy_of_a_run_that_sent_nothing():
    assert privacy_spent(scenario(LOCAL), ledger((1, 0), up_bytes=0), 20, None, ())["epsilon"] == 0.0
