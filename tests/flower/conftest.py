import textwrap
from types import SimpleNamespace

import pytest

from fedlite.compose import fleet as compose_fleet
from fedlite.engine.pool import LocalPool
from fedlite.fleet.ledger import Ledger
from fedlite.flower.app_prices import AppPrices, Declared
from fedlite.flower.app_runtime import AppRuntime, worker_spec
from fedlite.flower.grid import FleetGrid, RoundPolicy
from fedlite.scenario.loader import load_fleet
from fedlite.scenario.profiles import load_profile


@pytest.fixture
def app_fleet(tmp_path):
    """Return a function that writes a fleet scenario of always-available devices and reads it back."""

    def make(devices=8, mix="iot-gateway", extra=""):
        path = tmp_path / "fleet.yaml"
        text = f"name: test-fleet\nseed: 5\nfleet: {{devices: {devices}, mix: {mix}}}\n{textwrap.dedent(extra)}"
        path.write_text(text, encoding="utf-8")
        return load_fleet(path)

    return make


@pytest.fixture
def app_grid(tmp_path, app_fleet):
    """Return a function that puts a ClientApp, given as source text, on a grid of its own."""

    def make(source, *, devices=8, declared=None, policy=None, run_config=None, mix="iot-gateway"):
        number = len(list(tmp_path.glob("client_*.py")))
        name = f"client_{tmp_path.name.replace('-', '_')}_{number}"
        (tmp_path / f"client_{number}.py").touch()
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        scenario = app_fleet(devices, mix)
        profiles = [load_profile(each) for each in scenario.fleet.mix]
        fleet = compose_fleet.build(scenario, profiles, [False] * len(profiles))
        pool = LocalPool(worker_spec(f"{name}:app", tmp_path, run_config or {}))
        prices = AppPrices(profiles, declared or Declared())
        runtime = AppRuntime(pool, profiles, fleet.population.profile_of, prices, seed=5)
        ledger = Ledger()
        grid = FleetGrid(fleet, runtime, ledger, policy=policy or RoundPolicy())
        return SimpleNamespace(grid=grid, runtime=runtime, ledger=ledger)

    return make
