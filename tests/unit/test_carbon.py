import numpy as np
import pytest

from fedlite.devices import carbon
from fedlite.errors import UnknownNameError


def test_a_kilowatt_hour_on_the_german_grid_emits_its_intensity():
    assert carbon.grams(3.6e6, "germany") == pytest.approx(380.95)


def test_the_default_grid_is_the_world():
    assert carbon.grams(3.6e6) == pytest.approx(485.99)


def test_emissions_of_many_devices_are_theirs_one_by_one():
    assert carbon.grams(np.array([0.0, 3.6e6]), "france") == pytest.approx([0.0, 56.04])


@pytest.mark.parametrize("name", sorted(carbon.GRIDS))
def test_every_grid_is_plausible_and_sourced(name):
    grid = carbon.GRIDS[name]
    assert 10 < grid.grams_per_kwh < 1000
    assert "Ember" in grid.source


def test_an_unknown_grid_is_refused_with_the_known_ones():
    with pytest.raises(UnknownNameError, match="norway"):
        carbon.grams(1.0, "atlantis")
