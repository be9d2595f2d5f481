"""The axis of boxes has room for all of them, also where some go down to zero."""

from __future__ import annotations

import math

import polars as pl

from fedlite.report.figure import Scale
from fedlite.report.figures.shapes import box_axis

QUANTILES = ("q05", "q25", "q50", "q75", "q95")


def spread(*rows):
    return pl.DataFrame([dict(zip(QUANTILES, row, strict=True)) for row in rows])


def test_small_boxes_are_on_a_logarithmic_axis_though_others_begin_at_zero():
    """plotly ended it at a tenth of the largest number where there was a zero, and the small boxes were beyond."""
    boxes = spread([0.0, 0.0, 0.0, 2e-3, 4e-3], [1e-3, 2e-3, 3e-3, 4e-3, 5e-3], [0.0, 0.0, 1.0, 2.0, 3.0])
    found = box_axis("x", boxes, Scale(10, "m"))
    assert found["type"] == "log"
    least, most = found["range"]
    assert least < math.log10(1e-4) < least + 0.3
    assert most - 0.3 < math.log10(0.3) < most


def test_boxes_of_like_size_are_on_a_plain_axis():
    found = box_axis("x", spread([1.0, 2.0, 3.0, 4.0, 5.0]), Scale(1, "m"))
    assert found == {"title": {"text": "x"}, "rangemode": "tozero"}
