"""Tables on a terminal: whatever its width, nothing is cut off, and numbers stay whole where there is room."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from fedlite.report.compare_page import read_runs, settings_table, totals_table
from fedlite.report.console import rich_table
from fedlite.report.figure import TextTable
from fedlite.report.run_sets import metric_of, totals

NUMBERS = TextTable(
    "The runs",
    ("Run", "Virtual time", "Energy band"),
    (
        ("fashion-heterogeneous", "2.2\u00a0min", "1.24\u00a0kJ to 2.21\u00a0kJ"),
        ("b", "6\u00a0s", "27\u00a0J to 182\u00a0J"),
    ),
    frozenset({1, 2}),
)


def printed(content, width):
    console = Console(width=width, file=io.StringIO())
    console.print(rich_table(content, console.width))
    return console.file.getvalue().splitlines()


def characters(lines):
    return sorted(re.sub(r"\s", "", "".join(lines)))


@pytest.mark.parametrize("width", [200, 80, 50, 33, 24])
def test_nothing_is_cut_off_at_any_width(write_run, width):
    runs, names = read_runs([write_run("a"), write_run("b", lr=0.1, name="a-run-with-a-long-name")])
    whole = totals_table(totals(runs, names), metric_of(runs))
    for content in (NUMBERS, whole, settings_table(runs, names)):
        lines = printed(content, width)
        assert max(map(len, lines)) <= width
        assert characters(lines) == characters(printed(content, 1_000))
        assert "…" not in "".join(lines)


def test_numbers_break_between_words_only_as_long_as_there_is_room():
    words = {word for line in printed(NUMBERS, 40)[1:] for word in line.split()}
    assert {"2.2", "min", "1.24", "kJ", "2.21", "Virtual", "182"} <= words
    # The names of runs give way first.
    assert "fashion-heterogeneous" not in words


def test_what_fits_is_on_one_line():
    assert len(printed(NUMBERS, 80)) == 4
