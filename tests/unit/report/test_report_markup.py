"""Nothing that comes from a scenario or a data set can become markup."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlite.report.figure import DARK, LIGHT, labels, resolve, scale_for
from fedlite.report.markup import Safe, data_script, escape, finite, plain, safe_join, script, tag


def test_children_are_escaped_and_elements_are_not():
    assert tag("p", "a < b", tag("b", "&")) == "<p>a &lt; b<b>&amp;</b></p>"


def test_attributes_are_escaped_renamed_and_left_out():
    found = tag("input", class_='x"y', aria_label="a", checked=True, disabled=False, title=None)
    assert found == '<input class="x&quot;y" aria-label="a" checked>'


def test_joining_escapes_plain_text_and_keeps_elements():
    assert safe_join(["<", tag("i", "x"), None, 3], " ") == "&lt; <i>x</i>  3"


@given(st.text())
def test_any_text_survives_escaping_and_unescaping(text):
    assert plain(Safe(escape(text))) == text
    assert "<" not in escape(text)


@given(st.recursive(st.text() | st.floats() | st.none() | st.booleans(), lambda inner: st.lists(inner, max_size=4)))
def test_a_data_block_can_not_be_closed_by_what_is_inside_and_reads_back(value):
    block = data_script("d", {"v": value})
    inside = re.fullmatch(r'<script type="application/json" id="d">(.*)</script>', block, re.DOTALL)[1]
    assert not set(inside) & set("<>&\u2028\u2029")
    assert json.loads(inside) == {"v": finite(value)}


def test_a_script_that_would_end_itself_is_refused():
    with pytest.raises(AssertionError, match="end tag"):
        script("x = '</SCRIPT>'")


def test_labels_are_escaped_shortened_and_stay_distinct():
    found = labels(["<b>x</b>", "a" * 40 + "1", "a" * 40 + "2"])
    assert found[0] == "&lt;b&gt;x&lt;/b&gt;"
    assert len(set(found)) == 3
    assert all(len(name) < 40 for name in found)


def test_both_themes_know_every_colour():
    assert set(LIGHT) == set(DARK)
    assert resolve({"a": ["$blue", "other"]}, LIGHT) == {"a": [LIGHT["$blue"], "other"]}


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_text_and_marks_have_enough_contrast(theme):
    """WCAG 2.2: 4.5 to 1 for text (1.4.3), about 3 to 1 for marks (1.4.11); sky is only ever a stacked part."""

    def ratio(name):
        a, b = sorted((luminance(theme[name]), luminance(theme["$paper"])))
        return (b + 0.05) / (a + 0.05)

    assert min(ratio("$text"), ratio("$soft")) >= 4.5
    assert min(ratio(name) for name in ("$blue", "$orange", "$green", "$red", "$pink", "$grey")) >= 2.9


@pytest.mark.parametrize(
    ("values", "dimension", "unit"),
    [([1500.0, 2.0], "bytes", "kB"), ([0.0, None], "energy", "J"), ([7200.0], "time", "h"), ([], "time", "s")],
)
def test_an_axis_takes_the_unit_of_its_largest_value(values, dimension, unit):
    assert scale_for(values, dimension).unit == unit
