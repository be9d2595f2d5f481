import pytest

from fedlite import units
from fedlite.errors import UnitError


@pytest.mark.parametrize(
    ("text", "dimension", "si"),
    [
        ("10 min", "time", 600.0),
        ("512 MiB", "bytes", 512 * 1024**2),
        ("3.1 Wh", "energy", 3.1 * 3600),
        ("20 Mbit/s", "rate", 20e6),
        ("2 MB/s", "rate", 16e6),
        ("30 %", "fraction", 0.3),
        (0.3, "fraction", 0.3),
        ("438.39 mW/Mbps", "power_per_rate", 438.39e-9),
        ("250 gCO2e/kWh", "carbon_intensity", 250 / 3.6e6),
        ("1e3 ms", "time", 1.0),
    ],
)
def test_quantities_become_si(text, dimension, si):
    assert units.parse(text, dimension) == pytest.approx(si, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "dimension", "said"),
    [
        ("3.1", "energy", "without a unit"),
        ("3.1 W", "energy", "with unit 'W'"),
        ("ten min", "time", "expected a time"),
        ("", "bytes", "expected a size in bytes"),
    ],
)
def test_a_wrong_quantity_is_refused_with_an_example(text, dimension, said):
    with pytest.raises(UnitError, match=said) as caught:
        units.parse(text, dimension)
    assert "write" in str(caught.value)


def test_every_dimension_has_an_example_that_parses():
    for dimension, example in units.EXAMPLES.items():
        assert units.parse(example, dimension) > 0


def test_quantities_are_shown_with_three_digits():
    assert units.show(1.5e6, "bytes") == "1.5 MB"
    assert units.show(0.0, "energy") == "0 J"
    assert units.show(90.0, "time") == "1.5 min"
