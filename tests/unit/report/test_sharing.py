"""What figures have in common is written once, and nothing is lost by it."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from fedlite.report.sharing import packed
from tests.unit.report.drawn import unpacked

TIMES = [0.125 * i for i in range(20)]
_leaves = st.none() | st.integers(0, 3) | st.sampled_from(["ab", "a longer name of a series", "="])
_values = st.recursive(
    _leaves, lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.sampled_from("xyz"), inner), max_leaves=60
)


@given(_values)
def test_what_was_packed_comes_back_from_text(value):
    assert unpacked(json.loads(json.dumps(packed(value)))) == value


def test_equal_parts_are_written_once_the_inner_ones_first():
    trace = {"x": TIMES, "y": [1, 2], "name": "a"}
    found = packed([trace, trace, {"x": TIMES, "y": [3, 4]}])
    assert found["shared"] == [TIMES, {"x": {"=": 0}, "y": [1, 2], "name": "a"}]
    assert found["value"] == [{"=": 1}, {"=": 1}, {"x": {"=": 0}, "y": [3, 4]}]


def test_what_is_short_or_alone_stays_where_it_is():
    value = {"a": [1, 2], "b": [1, 2], "c": TIMES}
    assert packed(value) == {"shared": [], "value": value}
