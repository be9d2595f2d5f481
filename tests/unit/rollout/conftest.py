"""A fleet of two classes, a model that fits both, and a plan that lets everybody in at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedlite.fleet import population
from fedlite.fleet.rules import Budgets, Rules
from fedlite.fleet.state import Fleet
from fedlite.rollout.audience import Audience
from fedlite.rollout.builds import Variant, assign
from fedlite.rollout.delivery import Policy
from fedlite.rollout.heat import Heat
from fedlite.rollout.plan import Old, Plan
from fedlite.rollout.signals import Telemetry
from fedlite.rollout.strategy import Stage
from fedlite.rollout.worlds import Behaviour, World
from fedlite.scenario.profiles import load_profile
from fedlite.simulation.availability import Always
from fedlite.units import DAY_S

NAMES = ("galaxy-a52", "pixel-4")
MODEL_BYTES = 4e6
COLD = Heat(1, np.full(2, np.inf), np.ones(2))


def fleet_of(n=2000, *, availability=None, names=NAMES, access=None, seed=4):
    people = population.draw([load_profile(name) for name in names], [1.0] * len(names), n, seed=seed, access=access)
    return Fleet(people, availability or Always(), Rules(), Budgets(), seed=seed)


def behaviour(install_failure=0.0, crashes=0.0, drop=0.0, factor=1.0, after_s=0.0):
    fields = [np.broadcast_to(np.asarray(x, dtype=float), 2).copy() for x in (install_failure, crashes, drop, factor)]
    return Behaviour(*fields, after_s)


def world_of(bad=(False, False), **changes):
    return World("a world", behaviour(**changes), np.array(bad))


def variant(name="int8", **changes):
    both = np.ones(2)
    told = {
        "download_bytes": MODEL_BYTES, "full_bytes": MODEL_BYTES, "peak_bytes": 1e7 * both, "latency_s": 0.02 * both,
        "inference_j": 0.05 * both, "accuracy": 0.9 * both, "meant_for": both > 0,
    }  # fmt: skip
    return Variant(name, **(told | changes))


@pytest.fixture
def fleet():
    """Return two thousand phones that are always there."""
    return fleet_of()


@pytest.fixture
def plan(fleet):
    """Return a plan that lets everybody in at once, with nothing in the way."""
    assigned = assign([variant()], fleet.hardware.job_ram_bytes, fleet.hardware.storage_bytes, COLD, best_accuracy=True)
    old = Old(MODEL_BYTES, behaviour(), np.full(2, 0.85), np.full(2, 0.03), np.full(2, 0.06))
    stages = (Stage("all", 1, 1.0, 0.0),)
    return Plan(assigned, old, Audience(), Policy(), stages, (), Telemetry(), 20.0, COLD, 0.0, 30 * DAY_S, seed=3)


@pytest.fixture
def with_(plan):
    """Return a function that changes the plan."""
    return lambda **changes: replace(plan, **changes)
