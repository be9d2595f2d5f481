"""Every test that starts Ray runs in one process, one after the other, however many processes share the rest."""

from __future__ import annotations

import os

import numpy as np
import pytest

from fedlite.fleet import population
from fedlite.fleet.check_ins import CheckIns
from fedlite.fleet.pace import Pace
from fedlite.fleet.protocol import CheckIn, Protocol, Reporting, Retry, Selection, StartUp
from fedlite.fleet.rules import Budgets, Rules
from fedlite.fleet.state import Fleet
from fedlite.scenario.profiles import load_profile
from fedlite.simulation.availability import Always
from fedlite.units import DAY_S

# The runner of tests in several processes sets it; what is printed into a pipe is wide wherever tests are run.
os.environ.pop("COLUMNS", None)


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("ray"):
            item.add_marker(pytest.mark.xdist_group("ray"))


@pytest.fixture
def protocol():
    """Return a protocol without steering and without start-up, of round numbers."""
    return Protocol(
        check_in=CheckIn(
            first_s=300.0,
            every_s=60.0,
            jitter_s=300.0,
            steering=False,
            full_s=(600.0, 900.0),
            transient=Retry(900.0, 0.2),
            permanent=Retry(14_400.0, 0.2),
            refused=0.0,
        ),
        min_gap_s=DAY_S,
        selection=Selection(asked=10, least=6, timeout_s=120.0, rounds=True),
        reporting=Reporting(deadline_s=270.0, device_cap_s=585.0),
        server_time_s=5.0,
        start_up=StartUp(0.0, 0.0, 0.0),
    )


@pytest.fixture
def checking_in(protocol):
    """Return a function that makes a fleet whose devices check in."""
    plain = protocol

    def make(n=200, protocol=plain, *, availability=None, rules=None, names=("pixel-4",), start_s=0.0, access=None):
        people = population.draw([load_profile(name) for name in names], [1.0] * len(names), n, seed=4, access=access)
        fleet = Fleet(people, availability or Always(), rules or Rules(), Budgets(), seed=4, start_s=start_s)
        pace = Pace(protocol, np.full(24, float(n)))
        fleet.check_ins = CheckIns(fleet, protocol, pace, seed=4, start_s=start_s)
        return fleet

    return make
