"""Figures for papers: every view with the numbers of the page, the same bytes every time, as wide as asked for."""

from __future__ import annotations

import struct
import sys
import warnings
from pathlib import Path

import pytest

from fedlite.compose.finished import Run
from fedlite.compose.finished_study import FinishedRun, Sweep
from fedlite.errors import FedliteError, UnknownNameError
from fedlite.report.figure import Figure, View
from fedlite.report.paper.write import named_views, write

LINE = {"type": "scatter", "mode": "lines", "x": [0, 1, 2], "y": [0.1, 0.4, 0.5], "name": "a $1 & <b>", "line": {}}


def figure(*views):
    return Figure(id="f", title="F", views=views or (View("one", [LINE]),), caption="", alt="", height=300)


@pytest.fixture
def run(write_run):
    return Run(write_run(rounds=4))


@pytest.fixture
def study(write_run, tmp_path):
    runs = [("a", 1, write_run("a", rounds=4)), ("b", 2, write_run("b", rounds=4, seed=2, level=0.6))]
    return Sweep(tmp_path, "s", tuple(FinishedRun(*one) for one in runs), (), 0)


def axes_of(view):
    from matplotlib.figure import Figure as Canvas

    from fedlite.report.paper.drawn import draw

    canvas = Canvas(figsize=(3.35, 2.4))
    draw(canvas, view, 85.0)
    return canvas.axes[0], canvas


def test_a_file_is_called_after_its_figure_and_view():
    views = (View("Whole job", []), View("Per job (J)", []), View("per job, J", []))
    assert [name for name, _ in named_views(figure(*views))] == ["f-whole-job", "f-per-job-j", "f-per-job-j-2"]
    assert [name for name, _ in named_views(figure(views[0]))] == ["f"]


def test_without_matplotlib_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(FedliteError, match=r"pip install 'fedlite\[figures\]'"):
        write({"f": figure()}, tmp_path)


def test_what_is_no_format_and_no_width_is_told(tmp_path):
    with pytest.raises(UnknownNameError, match=r"--format: got 'gif', expected one of pdf, png, svg"):
        write({}, tmp_path, "gif")
    with pytest.raises(FedliteError, match=r"--width: got 8\.5 mm, expected 40 to 600"):
        write({}, tmp_path, "svg", 8.5)


@pytest.mark.figures
def test_every_view_of_a_run_and_of_a_study_is_drawn(run, study):
    for figures in (run.figures, study.figures):
        for name, found in figures.items():
            for view in found.views:
                ax, canvas = axes_of(view)
                assert ax.lines or ax.patches or ax.collections, (name, view.label)
                title = view.layout["xaxis"].get("title", {}).get("text", "")
                assert ax.get_xlabel() == title
                canvas.clear()


@pytest.mark.figures
def test_a_line_goes_through_the_numbers_of_the_page(run):
    (view,) = (view for view in run.figures["learning"].views if view.label == "Rounds")
    ax, _ = axes_of(view)
    line = next(line for line in ax.lines if len(line.get_xdata()) > 2)
    assert list(line.get_xdata()) == view.traces[-1]["x"]
    assert list(line.get_ydata()) == view.traces[-1]["y"]
    assert ax.get_xlim()[0] == 0


@pytest.mark.figures
def test_stacked_bars_begin_where_those_before_end_and_rows_read_from_the_top():
    bars = [
        {"type": "bar", "orientation": "h", "name": name, "y": ["x", "y"], "x": values, "marker": {"color": "$blue"}}
        for name, values in (("p", [1, 2]), ("q", [3, None]))
    ]
    rows = {"type": "category", "categoryarray": ["x", "y"], "autorange": "reversed"}
    ax, canvas = axes_of(View("v", bars, {"barmode": "stack", "yaxis": rows, "xaxis": {"rangemode": "tozero"}}))
    assert [(bar.get_x(), bar.get_width()) for bar in ax.patches] == [(0, 1), (0, 2), (1, 3), (2, 0)]
    assert ax.yaxis.get_inverted()
    assert [text.get_text() for text in ax.get_yticklabels()] == ["x", "y"]
    assert [text.get_text() for text in canvas.legends[0].get_texts()] == ["p", "q"]
    ax, _ = axes_of(View("v", bars, {"barmode": "group", "yaxis": rows}))
    assert {bar.get_x() for bar in ax.patches} == {0}
    assert len({round(bar.get_y(), 6) for bar in ax.patches}) == 4


@pytest.mark.figures
def test_a_box_has_the_quantiles_that_it_was_given():
    box = {
        "type": "box",
        "y": ["a"],
        "q1": [2.0],
        "median": [3.0],
        "q3": [5.0],
        "lowerfence": [1.0],
        "upperfence": [9.0],
    }
    ax, _ = axes_of(View("v", [box], {"yaxis": {"type": "category"}}))
    (x0, _), (x1, _) = ax.patches[0].get_path().get_extents().get_points()
    assert (x0, x1) == (2.0, 5.0)
    assert {float(x) for line in ax.lines for x in line.get_xdata()} == {1.0, 2.0, 3.0, 5.0, 9.0}


@pytest.mark.figures
def test_notes_and_lines_may_stand_at_shares_of_the_chart():
    layout = {
        "xaxis": {"type": "category"},
        "shapes": [{"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 0.3, "y1": 0.3, "line": {"dash": "dot"}}],
        "annotations": [{"xref": "paper", "x": 0.01, "y": 0.3, "text": "mean &lt; <b>1</b>", "yanchor": "bottom"}],
    }
    bar = {"type": "bar", "x": ["a", "b"], "y": [1, 2], "name": "n"}
    ax, _ = axes_of(View("v", [bar], layout))
    assert [text.get_text() for text in ax.get_xticklabels()] == ["a", "b"]
    assert ax.texts[0].get_text() == "mean < 1"
    assert ax.lines[0].get_linestyle() == ":"


def close_points(number, *, mode="markers+text"):
    """Return a front of points that lie close to each other, with whiskers, of which the page names the first only."""
    names = [f"top {i + 1} % with feedback" for i in range(number)]
    return {
        "type": "scatter",
        "mode": mode,
        "x": [5.0 + 0.02 * i for i in range(number)],
        "y": [0.85 + 0.002 * (i % 4) for i in range(number)],
        "text": [names[0], *[""] * (number - 1)],
        "hovertext": names,
        "textposition": ["bottom right"] * number,
        "marker": {"size": 11, "color": "$blue"},
        "error_y": {"type": "data", "array": [0.004] * number, "arrayminus": [0.005] * number, "symmetric": False},
    }


@pytest.mark.figures
def test_names_of_ten_close_points_do_not_lie_on_one_another_nor_on_a_point():
    from matplotlib.transforms import Bbox

    trace = close_points(10)
    ax, canvas = axes_of(View("v", [trace], {"xaxis": {"rangemode": "tozero"}}))
    canvas.draw_without_rendering()
    named = [text for text in ax.texts if text.get_text()]
    assert [text.get_text() for text in named] == trace["hovertext"]
    boxes = [text.get_window_extent() for text in named]
    marks = [Bbox([ax.transData.transform(at)] * 2).padded(2.5) for at in zip(trace["x"], trace["y"], strict=True)]
    room = ax.get_window_extent().padded(1.0)
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in (*boxes[i + 1 :], *marks))
        assert (room.x0 <= box.x0, box.x1 <= room.x1, room.y0 <= box.y0, box.y1 <= room.y1) == (True,) * 4
    # Those farther away have a line to their points.
    assert sum(text.arrow_patch is not None for text in ax.texts) == len(ax.texts) - len(named) > 4


@pytest.mark.figures
def test_points_without_names_on_the_page_have_none_here():
    ax, _ = axes_of(View("v", [close_points(3, mode="markers")]))
    assert not ax.texts


@pytest.mark.figures
def test_ticks_say_where_they_are():
    line = LINE | {"y": [0.8602, 0.8611, 0.8653]}
    ax, canvas = axes_of(View("v", [line], {"yaxis": {"tickformat": ".0%"}}))
    canvas.draw_without_rendering()
    told = [float(text.get_text().rstrip("%")) / 100 for text in ax.get_yticklabels()]
    assert told == pytest.approx([float(tick) for tick in ax.get_yticks()])


@pytest.mark.figures
def test_small_charts_stand_as_their_domains_say_and_are_fewer_in_a_row_on_a_column():
    wide = {
        "xaxis": {"domain": [0, 0.3]}, "xaxis2": {"domain": [0.35, 0.6]}, "yaxis": {}, "yaxis2": {},
        "annotations": [{"xref": "x2 domain", "yref": "y2 domain", "x": 0, "y": 1, "text": "second"}],
    }  # fmt: skip
    narrow = {"xaxis2": {"domain": [0, 0.3]}, "yaxis": {"domain": [0.6, 1]}, "yaxis2": {"domain": [0, 0.4]}}
    view = View("v", [LINE | {"xaxis": "x1"}, LINE | {"xaxis": "x2", "y": [3, 4, 5]}], wide, narrow)
    from matplotlib.figure import Figure as Canvas

    from fedlite.report.paper.drawn import draw

    for width_mm, side_by_side in ((170.0, True), (85.0, False)):
        canvas = Canvas(figsize=(3.35, 2.4))
        draw(canvas, view, width_mm)
        first, second = canvas.axes
        assert (list(first.lines[0].get_ydata()), list(second.lines[0].get_ydata())) == ([0.1, 0.4, 0.5], [3, 4, 5])
        assert [text.get_text() for text in (*first.texts, *second.texts)] == ["second"]
        assert (first.get_position().x0 < second.get_position().x0) == side_by_side
        assert (first.get_position().y0 > second.get_position().y0) != side_by_side


@pytest.mark.figures
def test_layers_lie_on_those_before_them():
    layer = {"type": "scatter", "stackgroup": "a", "x": [0, 1, 2], "fillcolor": "$blue", "line": {"shape": "hv"}}
    ax, _ = axes_of(View("v", [layer | {"y": [1, 1, 1]}, layer | {"y": [2, 3, 4]}]))
    ends = [area.get_paths()[0].get_extents().get_points()[:, 1].tolist() for area in ax.collections]
    assert ends == [[0, 1], [1, 5]]


@pytest.mark.figures
def test_bars_that_say_where_they_begin_lie_in_one_row():
    bar = {"type": "bar", "orientation": "h", "y": ["a"], "width": 0.5}
    bars = [bar | {"x": [2], "base": [0]}, bar | {"x": [3], "base": [2]}]
    ax, _ = axes_of(View("v", bars, {"barmode": "overlay", "yaxis": {"type": "category"}}))
    assert [(one.get_x(), one.get_width(), one.get_y(), one.get_height()) for one in ax.patches] == [
        (0, 2, -0.25, 0.5), (2, 3, -0.25, 0.5),
    ]  # fmt: skip


@pytest.mark.figures
def test_flows_are_as_wide_as_what_goes_along_them():
    flows = {
        "type": "sankey",
        "node": {"label": ["a (3)", "b (1)", "int8 &lt; 1"], "color": ["$grey"] * 3, "pad": 20},
        "link": {"source": [0, 1], "target": [2, 2], "value": [3, 1], "color": ["$blue-flow"] * 2},
    }
    ax, _ = axes_of(View("v", [flows]))
    assert [text.get_text() for text in ax.texts] == ["a (3)", "b (1)", "int8 < 1"]
    heights = [patch.get_height() for patch in ax.patches[2:]]
    assert heights[0] == pytest.approx(3 * heights[1])
    assert heights[2] == pytest.approx(heights[0] + heights[1])
    # Each flow begins at the side of its thing and ends below the one before it.
    first, second = (patch.get_path().vertices for patch in ax.patches[:2])
    assert first[4][1] == pytest.approx(second[3][1])


@pytest.mark.figures
@pytest.mark.parametrize("kind", ["svg", "pdf"])
def test_the_same_figure_gives_the_same_bytes_whatever_the_house_style(tmp_path, kind, monkeypatch):
    import matplotlib as mpl

    (first,) = write({"f": figure()}, tmp_path / "a", kind)
    monkeypatch.setitem(mpl.rcParams, "xtick.color", "#ff0000")
    (second,) = write({"f": figure()}, tmp_path / "b", kind)
    assert first.read_bytes() == second.read_bytes()
    assert mpl.rcParams["xtick.color"] == "#ff0000"
    assert b"CreationDate" not in first.read_bytes()
    assert b"<dc:date>" not in first.read_bytes()


@pytest.mark.figures
def test_a_picture_is_as_wide_as_asked_for_and_nothing_is_warned_of(tmp_path, run):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (page,) = write({"f": figure()}, tmp_path, "png", 85)
        assert run.write_figures(tmp_path / "all", "svg")[0] == tmp_path / "all" / "learning-rounds.svg"
    width, height = struct.unpack(">II", page.read_bytes()[16:24])
    assert (width, height) == (int(85 / 25.4 * 300), int(300 * 0.17 / 25.4 * 300))


@pytest.mark.figures
def test_where_nothing_can_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FedliteError, match="while writing, expected a folder"):
        write({"f": figure()}, Path(tmp_path / "file"))
