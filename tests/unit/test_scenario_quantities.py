"""Quantities at the edge: text with a unit in, SI floats inside, text with a unit out."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from fedlite.scenario.quantities import Bytes, Fraction, PositiveFraction, Seconds, WeekTime, write


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Seconds, "10 min", 600.0),
        (Seconds, "1.5 h", 5400.0),
        (Bytes, "512 MiB", 536870912.0),
        (Fraction, "30 %", 0.3),
        (Fraction, 0.3, 0.3),
        (Fraction, 0, 0.0),
        (WeekTime, "Mon 00:00", 0.0),
        (WeekTime, "Sun 23:59", 604740.0),
        (WeekTime, "Tue 8:30", 117000.0),
    ],
)
def test_a_quantity_is_read_into_si_units(kind, text, value):
    assert TypeAdapter(kind).validate_python(text) == value


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        (Seconds, 600, "got 600 without a unit, expected a time; write '600 min'"),
        (Seconds, "10 MiB", "with unit 'MiB', expected a time in one of"),
        (Seconds, "0 s", "expected more than 0.0 s"),
        (Seconds, True, "got True, expected a quantity"),
        (Seconds, ["1 s"], "expected a quantity"),
        (Bytes, "-1 MB", "expected more than 0.0 B"),
        (Fraction, "120 %", "got '120 %', expected 0 % to 100 %"),
        (Fraction, 30, "expected 0 % to 100 %; write '30 %'"),
        (PositiveFraction, 0, "expected more than 0 % and at most 100 %"),
        (WeekTime, "20:00", "expected a day and a time"),
        (WeekTime, "Mon 24:00", "expected a day and a time"),
        (WeekTime, 1200, "expected a day and a time"),
    ],
)
def test_a_wrong_quantity_is_refused_with_a_remedy(kind, text, told):
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(text)
    assert told in caught.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    ("value", "dimension", "text"),
    [
        (600.0, "time", "10 min"),
        (90.0, "time", "1.5 min"),
        (86400.0, "time", "1 d"),
        (0.25, "time", "250 ms"),
        (536870912.0, "bytes", "512 MiB"),
        (2e8, "bytes", "200 MB"),
        (11160.0, "energy", "3.1 Wh"),
        (0.3, "fraction", "30 %"),
        (1 / 3, "fraction", 1 / 3),
        (1 / 3, "time", "0.3333333333333333 s"),
    ],
)
def test_a_quantity_is_written_in_the_unit_people_would_choose(value, dimension, text):
    assert write(value, dimension) == text
