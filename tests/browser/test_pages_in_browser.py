"""The pages in a real browser: drawn, silent, within the screen, unconnected."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


devtools = load(HERE / "devtools.py")
synthetic_run = load(HERE.parent / "unit" / "report" / "synthetic_run.py")

pytestmark = [pytest.mark.browser, pytest.mark.skipif(devtools.CHROMIUM is None, reason="no chromium here")]

EVIL_CLASS = (
    "<b>x</b></script><script>window.broken=1</script>",
    "phone-low",
    "full",
    "lte",
    8,
    16.0,
    21.0,
    66e3,
    10**9,
)


@pytest.fixture(scope="module")
def browser():
    started = devtools.Browser()
    yield started
    started.close()


def drawing_name():
    from fedlite.report import drawing

    return drawing.name()


def _rehearsed(path):
    """Rehearse a shipped plan a few times on a small fleet."""
    from fedlite.compose.rollout_run import rehearse
    from fedlite.runner import Settings
    from fedlite.scenario.rollout.loading import load_rollout

    plan = HERE.parent.parent / "scenarios" / "rollout" / "phone-phased.yaml"
    small = load_rollout(plan, {"replications": "3", "fleet.devices": "400", "horizon": "10 d"})
    return rehearse(small, out=path, settings=Settings("local")).path


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """One page of each kind."""
    from fedlite.report import drawing
    from fedlite.report.compare_page import write_comparison
    from fedlite.report.rollout_page import write_rollout_report
    from fedlite.report.run_page import write_report
    from fedlite.report.study_page import write_study_page

    root = tmp_path_factory.mktemp("pages")
    shared = root / "of-a-study"
    shared.mkdir()
    drawing.share(shared)
    evil = {"name": "</script><img src=x onerror='window.broken=1'>", "classes": [EVIL_CLASS]}
    a = synthetic_run.write_run(root / "a")
    b = synthetic_run.write_run(root / "b", seed=2, lr=0.1, level=0.6)
    return {
        "run": write_report(a),
        "hostile": write_report(synthetic_run.write_run(root / "evil", **evil)),
        "failed": write_report(synthetic_run.write_run(root / "failed", all_failed=True, evaluated=False)),
        "empty": write_report(synthetic_run.write_run(root / "empty", nothing=True)),
        "compare": write_comparison([a, b], root / "compare.html"),
        "rollout": write_rollout_report(_rehearsed(root / "rollout")),
        "in-a-study": write_report(synthetic_run.write_run(shared / "run")),
        "study": write_study_page([("a", 7, a), ("b", 2, b)], root / "study.html"),
    }


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    """A page with a front of ten points that lie close to each other, the hours of a day, and three columns."""
    import polars as pl

    from fedlite.learning.objectives import Metric
    from fedlite.report.figure import TextTable
    from fedlite.report.figures import calendar, fronts
    from fedlite.report.markup import Safe
    from fedlite.report.page import Page, Section, write_page
    from fedlite.report.trade_off import TradeOffs

    rows = [
        {"label": f"top {i} %, fp16", "seed": 1, "accuracy": 0.85 + 0.004 * (i % 4), "epsilon": None}
        | dict.fromkeys(("up_bytes", "energy_j", "virtual_time_s"), 3e3 + 100.0 * i)
        for i in range(10)
    ]
    frame = pl.DataFrame(rows, schema_overrides={"epsilon": pl.Float64})
    numbers = ("accuracy", "up_bytes", "energy_j", "virtual_time_s", "epsilon")
    ends = [(pl.col(name) * (1 + way * 0.005)).alias(f"{name}_{end}") for name in numbers
            for end, way in (("low", -1), ("high", 1), ("min", -1), ("max", 1))]  # fmt: skip
    kind = [pl.lit(None, pl.Float64).alias("epsilon_delta"), pl.lit("").alias("epsilon_guards")]
    figure = fronts.fronts(frame.with_columns(*ends, *kind), TradeOffs(frame, Metric("accuracy", "max")))
    hours = calendar.over_the_day({"rounds_per_hour": [1.0] * 24, "check_ins_by_hour": [9] * 24})
    head = ("", "Mean or total", "95th percentile")
    table = TextTable("t", head, (("Never checked in, of those that may", "80.3 J (0.23 %)", "331 J (0.53 %)"),),
                      frozenset({1, 2}))  # fmt: skip
    section = Section("a", "A", None, [figure, hours, table])
    return write_page(Page("f", "k", Safe(""), [], [section]), tmp_path_factory.mktemp("front") / "page.html")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", ["run", "hostile", "failed", "empty", "compare", "study", "rollout"])
def test_a_page_is_drawn_in_silence_and_fits_the_screen(browser, pages, name, width):
    browser.open(pages[name], width=width)
    assert browser.logged == []
    assert browser.requested == [pages[name].resolve().as_uri()]
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    undrawn = "Array.from(document.querySelectorAll('.plot')).filter((plot) => !plot.querySelector('.main-svg')).length"
    assert browser.evaluate(undrawn) == 0
    assert browser.evaluate("window.broken") is None
    assert browser.evaluate("document.querySelectorAll('img').length") == 0


def test_pages_of_a_studys_runs_draw_with_the_script_that_they_share(browser, pages):
    page = pages["in-a-study"]
    browser.open(page, width=1280)
    assert browser.logged == []
    script = (page.parent.parent / drawing_name()).resolve().as_uri()
    assert browser.requested == [page.resolve().as_uri(), script]
    assert browser.evaluate("document.querySelectorAll('.plot .main-svg').length") > 8
    assert not browser.evaluate("document.getElementById('missing').checkVisibility()")


def test_a_page_taken_away_from_its_script_says_so_and_opens_its_tables(browser, pages, tmp_path):
    alone = tmp_path / "alone.html"
    alone.write_bytes(pages["in-a-study"].read_bytes())
    browser.send("Page.navigate", url=alone.resolve().as_uri())
    browser.wait("document.readyState === 'complete' && document.getElementById('missing')")
    assert "belongs into the folder above" in browser.evaluate("document.getElementById('missing').innerText")
    shown = "Array.from(document.querySelectorAll('{}')).filter((one) => one.checkVisibility()).length"
    assert browser.evaluate(shown.format("figure table")) >= browser.evaluate(shown.format("figure")) > 5
    assert browser.evaluate(shown.format(".plot")) == 0


@pytest.mark.parametrize("name", ["run", "rollout"])
def test_every_view_can_be_chosen(browser, pages, name):
    browser.open(pages[name], width=1280)
    views = browser.evaluate(
        """(async () => {
          const inputs = Array.from(document.querySelectorAll('fieldset.views input'));
          for (const input of inputs) { input.click(); await new Promise((done) => setTimeout(done, 20)); }
          return inputs.length;
        })()"""
    )
    assert views > 15
    assert browser.logged == []
    if name != "run":
        return
    title = "document.querySelector('#plot-learning .xtitle').textContent"
    assert browser.evaluate(title).startswith("energy of all devices")


@pytest.mark.parametrize("name", ["run", "hostile", "compare", "study", "rollout"])
def test_no_table_is_wider_than_a_phone(browser, pages, name):
    browser.open(pages[name], width=390)
    browser.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    wider = "Array.from(document.querySelectorAll('.wide')).filter((one) => one.scrollWidth > one.clientWidth)"
    assert browser.evaluate(f"{wider}.map((one) => one.getAttribute('aria-label'))") == []
    assert browser.evaluate("document.querySelectorAll('.wide').length") > 2


def test_words_of_a_heading_are_whole_on_a_phone(browser, front):
    """A table of three columns broke "percentile" before its last letter."""
    browser.open(front, width=390)
    broken = """Array.from(document.querySelectorAll('table:not(.stack) thead th')).filter((cell) => {
      const lines = (text) => {
        const range = document.createRange();
        range.selectNodeContents(text);
        return new Set(Array.from(range.getClientRects(), (one) => Math.round(one.top))).size;
      };
      return lines(cell) > cell.textContent.split(' ').length;
    }).map((cell) => cell.textContent)"""
    assert browser.evaluate("document.querySelectorAll('table:not(.stack) thead th').length") >= 3
    assert browser.evaluate(broken) == []


def overlapping(browser, selector):
    """Return which of the texts that a selector finds lie on one another."""
    return browser.evaluate(
        f"""(() => {{
          const found = Array.from(document.querySelectorAll({selector!r})).map((one) => [one.textContent, one.getBoundingClientRect()]);
          return found.flatMap(([text, a], i) => found.slice(i + 1).filter(([, b]) =>
            a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1
          ).map(([other]) => [text, other]));
        }})()"""  # noqa: E501
    )


def test_hours_do_not_lie_on_one_another_on_a_phone(browser, front):
    browser.open(front, width=390)
    hours = "#plot-calendar .xtick text"
    assert browser.evaluate(f"document.querySelectorAll({hours!r}).length") > 5
    assert overlapping(browser, hours) == []


def test_titles_of_axes_are_whole_and_names_of_small_charts_apart_on_a_phone(browser, pages):
    browser.open(pages["rollout"], width=390)
    names = "#plot-coverage-by-class .annotation-text"
    assert browser.evaluate(f"document.querySelectorAll({names!r}).length") > 5
    assert overlapping(browser, names) == []
    out = """Array.from(document.querySelectorAll('.plot')).flatMap((plot) => {
      const frame = plot.getBoundingClientRect();
      return Array.from(plot.querySelectorAll('.xtitle')).filter((title) => {
        const own = title.getBoundingClientRect();
        return own.left < frame.left - 1 || own.right > frame.right + 1;
      }).map((title) => title.textContent);
    })"""
    assert browser.evaluate(out) == []
    assert browser.evaluate("document.querySelectorAll('.xtitle tspan').length") > 1


@pytest.mark.parametrize("width", [760, 1280])
def test_names_of_a_front_lie_on_no_other_name_nor_point(browser, front, width):
    browser.open(front, width=width)
    names = "#plot-fronts .textpoint text, #plot-fronts .annotation-text"
    assert browser.evaluate(f"document.querySelectorAll({names!r}).length") == 10
    assert overlapping(browser, f"{names}, #plot-fronts .points path") == []


def test_colours_follow_the_reader(browser, pages):
    stroke = "getComputedStyle(document.querySelector('#plot-learning .js-line')).stroke"
    browser.open(pages["run"], width=1280)
    light = browser.evaluate(stroke)
    browser.open(pages["run"], width=1280, dark=True)
    assert browser.evaluate(stroke) != light


def test_without_scripts_the_numbers_are_still_there(browser, pages):
    browser.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.send("Page.navigate", url=pages["run"].resolve().as_uri())
        browser.wait("document.readyState === 'complete' && document.querySelector('h1')")
        assert browser.evaluate("document.querySelector('noscript').innerText").startswith("The figure needs scripts")
        assert browser.evaluate("document.querySelectorAll('table').length") > 8
    finally:
        browser.send("Emulation.setScriptExecutionDisabled", value=False)
