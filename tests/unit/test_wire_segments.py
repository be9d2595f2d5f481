"""Where tensors lie in the flat vector, of which shapes they are, and where their rows are."""

import numpy as np

from fedlite.wire.codec import parse_codec
from fedlite.wire.layout import describe, layout_of
from fedlite.wire.segments import Segments

SHAPES = [(2, 3), (0, 5), (4,), (3, 1, 2), ()]


def test_a_format_is_told_the_shapes_of_whole_tensors_that_are_not_empty():
    arrays = [np.zeros(shape, np.float32) for shape in SHAPES] + [np.zeros((9, 9), np.int8)]
    segments = layout_of(parse_codec(["fp32"]), tuple(map(describe, arrays))).segments
    assert segments.shapes == ((2, 3), (4,), (3, 1, 2), ())
    assert segments.sizes.tolist() == [6, 4, 6, 1]


def test_rows_are_those_of_the_first_dimension_and_a_vector_is_one_row():
    segments = Segments([6, 0, 4, 6, 1], SHAPES)
    assert segments.rows().sizes.tolist() == [3, 3, 4, 2, 2, 2, 1]
    assert segments.row_count == 7


def test_what_a_sparsifier_left_has_no_shape_and_one_row_a_tensor():
    kept = Segments([6, 0, 4, 6, 1], SHAPES).at(np.array([0, 5, 7, 16]))
    assert kept.shapes == ((2,), (1,), (1,))
    assert kept.rows().sizes.tolist() == [2, 1, 1]


def test_rows_are_counted_before_they_are_made():
    assert Segments([2**60], [(2**60, 1)]).row_count == 2**60
