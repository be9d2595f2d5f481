"""Names of points in a figure do not lie on one another, nor on points and whiskers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fedlite.report.figures.placing import Point, _marks, _text, positions


def test_a_lone_point_has_its_name_on_the_side_where_there_is_room():
    assert positions([Point("int8", 0.2, 0.5, 0.5, 0.5)]) == ["bottom right"]
    assert positions([Point("int8", 0.9, 0.5, 0.5, 0.5)]) == ["bottom left"]


def test_names_keep_within_the_figure():
    crowd = [Point("a rather long name", 0.97, 0.5, 0.5, 0.5)] * 3
    assert positions(crowd) == ["bottom left", "top left", None]


def test_of_two_points_in_one_place_each_keeps_its_name():
    here, there = Point("top 10 %", 0.1, 0.3, 0.2, 0.4), Point("top 10 % with feedback", 0.1, 0.3, 0.1, 0.6)
    found = positions([here, there])
    assert None not in found
    assert len(set(found)) == 2


def test_where_no_place_is_left_the_name_is_left_out():
    crowd = [Point("a rather long name", 0.5, 0.5, 0.5, 0.5)] * 9
    found = positions(crowd)
    assert found[:2] == ["bottom right", "top right"]
    assert None in found


@given(
    st.lists(
        st.tuples(st.text("abc", min_size=1, max_size=20), *[st.floats(0, 1)] * 3).map(
            lambda it: Point(it[0], it[1], it[2], max(0.0, it[2] - it[3] / 5), min(1.0, it[2] + it[3] / 5))
        ),
        max_size=12,
    )
)
def test_no_name_meets_another_or_a_mark(points):
    placed = [(p, _text(p, *place.split())) for p, place in zip(points, positions(points), strict=True) if place]
    marks = [box for point in points for box in _marks(point)]
    for index, (_, box) in enumerate(placed):
        assert box.left >= 0
        assert not any(box.meets(mark) for mark in marks)
        assert not any(box.meets(other) for _, other in placed[index + 1 :])
