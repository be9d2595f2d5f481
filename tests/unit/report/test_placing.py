"""Names of points in a figure do not lie on one another, nor on points, nor on whiskers while there is room."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fedlite.report.figures.placing import (
    AREAS_PX,
    Point,
    anchors,
    box,
    line,
    mark,
    positions,
    whiskers,
)


def test_a_lone_point_has_its_name_on_the_side_where_there_is_room():
    assert positions([Point("int8", 0.2, 0.5, 0.5, 0.5)]) == ["bottom right"]
    assert positions([Point("int8", 0.9, 0.5, 0.5, 0.5)]) == ["bottom left"]


def test_names_keep_within_the_figure():
    crowd = [Point("a rather long name", 0.97, 0.5, 0.5, 0.5)] * 3
    found = positions(crowd)
    assert found[:2] == ["bottom left", "top left"]
    last = box(crowd[2], found[2], AREAS_PX[0])
    assert last.left >= 0
    assert last.right <= AREAS_PX[0][0] + 30


def test_a_point_between_whiskers_has_its_name_beyond_them_with_a_line():
    """The cheapest of seven codecs had none, for the next whisker was nearer than its name was long."""
    cheap, next_ = Point("int2", 0.03, 0.5, 0.4, 0.6), Point("top 10 %", 0.06, 0.4, 0.0, 1.0)
    place, _ = positions([cheap, next_])
    assert place[0] > 0
    for area in AREAS_PX:
        assert box(cheap, place, area).left > 0.06 * area[0]
        assert any(part.meets(whisker) for part in line(cheap, place, area) for whisker in whiskers(next_, area))


def test_a_name_stands_by_the_side_that_looks_to_its_point():
    assert anchors((30.0, 0.0)) == ("left", "middle")
    assert anchors((-30.0, 20.0)) == ("right", "bottom")
    assert anchors((0.0, -24.0)) == ("center", "top")


def test_of_two_points_in_one_place_each_keeps_its_name():
    here, there = Point("top 10 %", 0.1, 0.3, 0.2, 0.4), Point("top 10 % with feedback", 0.1, 0.3, 0.1, 0.6)
    found = positions([here, there])
    assert None not in found
    assert len(set(found)) == 2


def test_where_no_place_is_left_the_name_is_left_out():
    crowd = [Point("a name that is much longer than any figure is wide " * 3, 0.5, 0.5, 0.5, 0.5)] * 2
    assert positions(crowd) == [None, None]


def test_a_name_keeps_off_whiskers_while_there_is_room():
    here, other = Point("int2", 0.5, 0.5, 0.4, 0.6), Point("int8", 0.53, 0.9, 0.0, 0.95)
    place, _ = positions([here, other])
    for area in AREAS_PX:
        taken = [whisker for point in (here, other) for whisker in whiskers(point, area)]
        assert not any(box(here, place, area).meets(one) for one in taken)


def test_a_name_keeps_off_lying_whiskers_too():
    here, other = Point("int2", 0.5, 0.5, 0.5, 0.5), Point("int8", 0.7, 0.46, 0.4, 0.5, 0.4, 1.0)
    place, _ = positions([here, other])
    assert place == "top right"


def test_ten_close_points_all_have_their_names():
    crowd = [Point(f"top {i} %, fp16", 0.4 + 0.02 * i, 0.5 + 0.01 * i, 0.3, 0.7) for i in range(10)]
    assert None not in positions(crowd)


@given(
    st.lists(
        st.tuples(st.text("abc", min_size=1, max_size=20), *[st.floats(0, 1)] * 3).map(
            lambda it: Point(it[0], it[1], it[2], max(0.0, it[2] - it[3] / 5), min(1.0, it[2] + it[3] / 5))
        ),
        max_size=12,
    )
)
def test_no_name_meets_another_or_a_mark(points):
    places = positions(points)
    for area in AREAS_PX:
        placed = [(box(p, at, area), line(p, at, area)) for p, at in zip(points, places, strict=True) if at]
        for index, (name, lead) in enumerate(placed):
            assert name.left >= 0
            assert not lead or (name.bottom >= 0 and name.top <= area[1])
            assert not any(part.meets(mark(point, area)) for part in (name, *lead) for point in points)
            # Nor the line to another, whichever was there first.
            others = [other for j, both in enumerate(placed) if j != index for other in (both[0], *both[1])]
            assert not any(name.meets(other) for other in others)
