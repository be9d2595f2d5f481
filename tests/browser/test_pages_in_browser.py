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
