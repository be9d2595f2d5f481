"""The page and the tables of a rehearsed rollout say what its files say, and nothing of anything else."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from fedlite.cli.main import app
from fedlite.compose.rollout_run import rehearse
from fedlite.errors import FedliteError
from fedlite.report.figure import MOST_POINTS, Figure
from fedlite.report.figures import rollout_timeline
from fedlite.report.rollout_answer import answer, remark
from fedlite.report.rollout_console import tables
from fedlite.report.rollout_data import read_rollout
from fedlite.report.rollout_page import as_text, rollout_page, worlds_table, write_rollout_report
from fedlite.report.rollout_rows import ROWS
from fedlite.report.words import count, percent, quantity
from fedlite.rollout.states import STATES
from fedlite.runner import Settings
from fedlite.scenario.rollout.loading import parse_rollout
from tests.unit.report.drawn import figures_of
from tests.unit.rollout.test_rollout_command import PLAN as SMALL

PLAN = (
    SMALL.replace("replications: 6", "replications: 8")
    + "  - {name: slow-and-wrong-on-phones, changes: {accuracy_drop: 5 %, latency_factor: 3},\n"
    "     on: {profiles: [galaxy-a52]}}\n"
)
RATE = """
  rate: {baseRatePerMinute: 1, incrementFactor: 2.0, maximumPerMinute: 100,
         rateIncreaseCriteria: {numberOfNotifiedThings: 50}}
"""
FIGURES = {
    "coverage", "coverage-by-class", "course", "reasons", "timeline", "gates", "watched",
    "blast", "variants", "accuracy",
    "battery-per-day", "bytes",
}  # fmt: skip


def other(kind):
    """Return plans that lack something a page shows."""
    steps = PLAN[PLAN.index("  steps:") : PLAN.index("gates:")]
    gates = PLAN[PLAN.index("gates:") : PLAN.index("worlds:")]
    return {
        "a rate": PLAN.replace(steps, RATE),
        "no gates": PLAN.replace(gates, "").replace("    - analysis: [installs]\n", ""),
        "only bad worlds": PLAN.replace("  - name: good\n", ""),
        "only a good world": PLAN[: PLAN.index("  - {name: bad")],
        "one class": PLAN.replace("mix: {galaxy-a52: 60 %, pi-4b: 20 %, nrf52840: 20 %}", "mix: {pi-4b: 100 %}")
        .replace("on: {profiles: [galaxy-a52]}", "on: {profiles: [pi-4b]}"),
        "a server": PLAN.replace(
            "  old:", "  fallback: cloud\n  cloud: {price_per_1000: 0.5, bytes_per_inference: 20 kB}\n  old:"
        ),
        "nobody fits": PLAN.replace("galaxy-a52: 60 %, pi-4b: 20 %, nrf52840: 20 %", "nrf52840: 99 %, galaxy-a52: 1 %"),
    }[kind].replace("replications: 8", "replications: 2")  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return rehearse(parse_rollout(PLAN), out=tmp_path_factory.mktemp("one") / "out", settings=Settings("local")).path


@pytest.fixture
def copied(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "copy")


def figures(path):
    page = rollout_page(read_rollout(path))
    return {block.id: block for section in page.sections for block in section.present() if isinstance(block, Figure)}


def cells(table):
    return [tuple(str(cell) for cell in row) for row in table.rows]


def test_the_page_has_every_figure_each_with_words_and_a_table(finished):
    found = figures(finished)
    assert set(found) == FIGURES
    for figure in found.values():
        assert figure.table is not None, figure.id
        assert figure.table.rows, figure.id
        assert len(figure.alt) > 20
        for view in figure.views:
            assert sum(len(trace.get("x", ())) for trace in view.traces) <= MOST_POINTS
        for index in range(len(figure.views)):
            assert figure.plotly(index).data


@pytest.mark.parametrize(
    "kind", ["a rate", "no gates", "only bad worlds", "only a good world", "one class", "a server", "nobody fits"]
)
def test_plans_that_lack_something_give_whole_pages(tmp_path, kind):
    path = rehearse(parse_rollout(other(kind)), out=tmp_path, settings=Settings("local")).path
    text = write_rollout_report(path).read_text(encoding="utf-8")
    words = re.sub(r"<script.*?</script>|<style.*?</style>|<[^>]*>", " ", text, flags=re.DOTALL)
    assert not {"nan", "None", "inf"} & set(re.findall(r"\w+", words))
    drawn = set(figures(path))
    assert ("gates" in drawn) == (kind != "no gates")
    assert ("watched" in drawn) == (kind != "no gates")
    assert ("blast" in drawn) == (kind != "only a good world")
    assert ("coverage-by-class" in drawn) == (kind != "one class")
    assert ("per-1000" in drawn) == (kind == "a server")


def test_the_sentence_at_the_top_answers_with_numbers_of_the_summary(finished):
    data = read_rollout(finished)
    good, bad, wrong = data.summary["worlds"]
    told = str(answer(data))
    assert "In the good world <strong>half of 300</strong> devices" in told
    assert quantity(good["time_to_50_s"]["p50"], "time") in told
    devices = count(bad["blast_radius"]["devices"]["p50"])
    assert f"in bad a bad build reaches <strong>{devices}</strong> of 180 galaxy-a52 before it is stopped" in told
    assert wrong["p_detect"] == 0.0
    assert "in slow-and-wrong-on-phones a bad build reaches" in told
    assert "is stopped in 0" in told
    said = str(remark(data))
    assert "all but never find what is wrong in slow-and-wrong-on-phones" in said
    assert f"{percent(good['never']['no_memory']['p50'])}: no variant fits its memory" in said
    assert "No rehearsal of a good model was stopped." in said


def test_the_table_of_worlds_tells_every_number_as_the_summary_has_it(finished):
    data = read_rollout(finished)
    rows = {row[0]: row[1:] for row in cells(worlds_table(data))}
    for i, world in enumerate(data.summary["worlds"]):
        assert rows["Unmetered bytes"][i].startswith(quantity(world["bytes"]["unmetered"]["p50"], "bytes"))
        assert rows["Devices on a bad one"][i].startswith(count(world["blast_radius"]["devices"]["p50"]))
        assert rows["Stopped by a gate"][i] == percent(world["p_abort"])
    assert rows["99 % after"] == ("never",) * 3
    band = data.summary["worlds"][1]["blast_radius"]["devices"]
    assert f"({count(band['p5'])}–{count(band['p95'])})" in rows["Devices on a bad one"][1]
    # Nothing is metered in this fleet's plan, so no row speaks of it.
    assert "Metered bytes" not in rows
    assert len(rows) < len(ROWS)


def test_the_text_to_paste_is_the_same_table(finished):
    table = worlds_table(read_rollout(finished))
    lines = as_text(table).splitlines()
    assert len(lines) == 2 + 2 + len(table.rows)
    assert len({len(line) for line in lines[2:]}) == 1
    assert [cell.strip() for cell in lines[4].strip("|").split("|")] == [str(cell) for cell in table.rows[0]]


def test_the_fan_ends_where_the_summary_says_and_begins_with_nobody(finished):
    data = read_rollout(finished)
    for world in data.worlds:
        for name, band in world.told["coverage"].items():
            assert data.coverage(world, name)[:, -1].tolist() == [band["p5"], band["p50"], band["p95"]]
        assert data.coverage(world)[1, 0] == 0.0
        assert (data.coverage(world)[1] <= data.let_in(world) + 1e-12).all()
    # 10 % of those that can be reached on the first day, all of them afterwards.
    let_in, able = data.let_in(data.worlds[0]), 0.8 * 0.95
    day = round(len(data.times_s) / 5) - 1
    assert let_in[day - 1] == pytest.approx(0.1 * able, abs=0.01)
    assert let_in[-1] == pytest.approx(able, abs=0.03)


def test_bars_of_states_are_whole_and_their_table_is_the_summary(finished):
    data, figure = read_rollout(finished), figures(finished)["reasons"]
    for view in figure.views:
        totals = np.sum([trace["x"] for trace in view.traces], axis=0)
        assert totals == pytest.approx(1.0)
    told = {row[-1]: row[1:-1] for row in cells(figure.table)}
    for i, world in enumerate(data.summary["worlds"]):
        for state in STATES:
            if state.value in world["never"]:
                assert told[state.reason][i].startswith(percent(world["never"][state.value]["p50"]))


def test_layers_add_up_to_the_fleet_and_end_as_the_bars_do(finished):
    found = figures(finished)
    for number, view in enumerate(found["course"].views):
        layers = {trace["name"]: trace["y"] for trace in view.traces}
        assert np.sum(list(layers.values()), axis=0) == pytest.approx(1.0, abs=5e-6 * len(layers))
        assert layers["updated"][0] == 0.0
        end = {trace["name"]: trace["x"][number] for trace in found["reasons"].views[0].traces}
        # Drawn until little changes any more.
        assert layers["updated"][-1] == pytest.approx(end["updated"], abs=0.004)
        assert layers["too little memory"] == pytest.approx([end["too little memory"]] * len(layers["updated"]))
    ends = {(row[0], row[1]): row[-1] for row in cells(found["course"].table)}
    for i, world in enumerate(read_rollout(finished).worlds):
        assert ends[world.name, "Updated"] == percent(found["reasons"].views[0].traces[0]["x"][i])


def test_operating_curves_go_through_the_power_of_the_table(finished):
    data, figure = read_rollout(finished), figures(finished)["gates"]
    (view,) = figure.views
    for trace, row in zip(view.traces, data.summary["gates"], strict=True):
        (at,) = np.flatnonzero(np.isclose(trace["x"], row["effect"]))
        assert trace["y"][at] == pytest.approx(row["power"])
        assert (np.diff(trace["y"]) >= -1e-9).all()
        assert trace["y"][0] <= 0.05
    assert view.layout["shapes"][0]["x0"] == 0.3
    assert [row[6] for row in cells(figure.table)] == [percent(row["power"], 0) for row in data.summary["gates"]]


def test_the_timeline_tells_when_steps_began_and_which_gate_stopped_them(finished):
    data = read_rollout(finished)
    good, bad, _ = (rollout_timeline.steps(data, world) for world in data.worlds)
    assert [step.label for step in good] == ["10 %", "100 %"]
    assert good[1].began_s.tolist() == [86_400.0] * 8
    assert sum(share for step in bad for share in step.stopped_by.values()) == data.worlds[1].told["p_abort"] == 1.0
    assert bad[1].share == pytest.approx(1.0 - bad[0].stopped_by["installs"])
    crosses = figures(finished)["timeline"].views[0].traces[-1]
    assert crosses["y"] == ["bad"]
    assert "installs 100" in crosses["text"][0]


def test_blast_radius_is_that_of_every_rehearsal(finished):
    figure = figures(finished)["blast"]
    first = figure.views[0].traces[0]
    stored = np.sort(load_file(finished / "replications.safetensors")["1/blast_devices"])
    assert first["x"][2:] == stored.tolist()
    assert first["y"][-1] == 1.0
    assert [trace["name"] for trace in figure.views[0].traces] == ["bad", "slow-and-wrong-on-phones"]


def test_bytes_add_up_to_what_was_sent(finished):
    data, figure = read_rollout(finished), figures(finished)["bytes"]
    for view in figure.views:
        drawn = {trace["name"]: trace["x"] for trace in view.traces}
        sent = np.sum([drawn[name] for name in drawn if name != "saved by differences"], axis=0)
        told = [world["bytes"]["unmetered"]["p50"] for world in data.summary["worlds"]]
        assert sent / sent[0] == pytest.approx(np.array(told) / told[0])


def test_classes_show_their_variant_or_why_they_have_none(finished):
    found = figures(finished)
    rows = {row[0]: row for row in cells(found["variants"].table)}
    assert rows["galaxy-a52"][2] == "fp32"
    assert rows["nrf52840"][2] == "none: too little memory"
    assert rows["nrf52840"][3] == percent(0.0)
    accuracy = {(row[0], row[1]): row[2:] for row in cells(found["accuracy"].table)}
    assert accuracy["slow-and-wrong-on-phones", "galaxy-a52"][:2] == (percent(0.7), percent(0.67))
    told = read_rollout(finished).summary["worlds"][2]["accuracy"]
    assert accuracy["slow-and-wrong-on-phones", "worst class"][2].startswith(percent(told["worst"]["p50"]))
    assert accuracy["slow-and-wrong-on-phones", "gap between best and worst"][2].startswith(percent(told["gap"]["p50"]))


def test_the_band_of_a_gate_leaves_the_baseline_where_it_tripped(finished):
    data, figure = read_rollout(finished), figures(finished)["watched"]
    (told,) = data.summary["watched"]
    assert told["world"] == "bad"
    stop_s = data.worlds[1].runs["stop_s"]
    assert told["stop_s"] == stop_s[told["replication"]] == np.sort(stop_s)[3] == told["times_s"][-1]
    assert told["low"][-1] > told["reference"] == 0.01
    band, observed, baseline, cross = figure.views[0].traces
    assert cross["x"] == [observed["x"][-1]]
    assert cross["y"] == [told["observed"][-1]]
    assert baseline["y"] == [0.01, 0.01]
    assert min(band["y"]) == told["low"][0] == 0.0
    assert len(band["x"]) == 2 * len(told["times_s"])


def test_every_device_is_in_one_flow_from_its_class_to_what_it_runs(finished):
    data, figure = read_rollout(finished), figures(finished)["variants"]
    for world, view in zip(data.worlds, figure.views, strict=True):
        (trace,) = view.traces
        names, link = trace["node"]["label"], trace["link"]
        flows = list(zip(link["source"], link["target"], link["value"], strict=True))
        assert sum(value for _, _, value in flows) == pytest.approx(300)
        for i, (name, devices) in enumerate(sorted(data.classes.items(), key=lambda item: -item[1])):
            assert names[i].startswith(name)
            assert sum(value for source, _, value in flows if source == i) == pytest.approx(devices)
        into = {names[target].partition(" (")[0] for source, target, _ in flows if names[source].startswith("nrf52840")}
        assert into == {"too little memory"}
        updated = world.runs["states"][:, :, STATES.index("updated")].sum(axis=1).mean()
        variant = names.index(f"fp32 ({percent(updated / 300)})") if updated else None
        assert sum(value for _, target, value in flows if target == variant) == pytest.approx(updated)


def test_things_stand_under_each_other_in_their_order_with_air_between(finished):
    figure = figures(finished)["variants"]
    for view in figure.views:
        node, link = view.traces[0]["node"], view.traces[0]["link"]
        drawn_px = figure.height - view.layout["margin"]["t"] - view.layout["margin"]["b"]
        for x, end in ((min(node["x"]), "source"), (max(node["x"]), "target")):
            side = [i for i, at in enumerate(node["x"]) if at == x]
            through = [sum(v for i, v in zip(link[end], link["value"], strict=True) if i == one) for one in side]
            assert all(through)
            # As plotly has it: as large as the fuller side allows.
            most = max(sum(at == other for at in node["x"]) for other in node["x"])
            scale = (drawn_px - node["pad"] * (most - 1)) / sum(through)
            middles_px = [node["y"][i] * drawn_px for i in side]
            for i in range(len(side) - 1):
                apart = middles_px[i + 1] - middles_px[i]
                assert apart == pytest.approx(node["pad"] + scale * (through[i] + through[i + 1]) / 2)


def test_a_slow_model_takes_more_of_the_battery_and_mains_take_none(finished):
    figure = figures(finished)["battery-per-day"]
    assert "pi-4b" not in {row[0] for row in cells(figure.table)}
    assert [view.label for view in figure.views] == ["good", "slow-and-wrong-on-phones", "The download, once"]
    new = [dict(zip(view.traces[1]["y"], view.traces[1]["x"], strict=True)) for view in figure.views[:2]]
    once = figure.views[2].traces[0]
    assert once["y"] == ["galaxy-a52"]
    data = read_rollout(finished)
    assert once["x"] == [np.median(data.worlds[0].runs["update_charge"][:, data.position("galaxy-a52"), 1])]
    assert once["error_x"]["array"][0] > 0 < once["error_x"]["arrayminus"][0]
    assert new[1]["galaxy-a52"] == pytest.approx(3.0 * new[0]["galaxy-a52"])
    # What never runs the model has no inference to be told of.
    assert set(new[0]) == {"galaxy-a52"}


def test_a_device_is_set_beside_the_server_that_it_could_ask(tmp_path):
    path = rehearse(parse_rollout(other("a server")), out=tmp_path, settings=Settings("local")).path
    figure, told = figures(path)["per-1000"], read_rollout(path).summary["plan"]
    device, server = figure.views[0].traces
    costs = {name: one["per_1000"] for name, one in told["classes"].items()}
    assert list(server["x"]) == [cost["cloud"]["energy_j"] for cost in costs.values()]
    assert list(device["x"]) == [cost["device"] and cost["device"]["energy_j"] for cost in costs.values()]
    assert f"The {told['server']['devices']} devices that no variant fits ask the server" in figure.caption


def test_the_terminal_keeps_every_word_whole_in_eighty_columns(finished):
    summary = json.loads((finished / "rollout.json").read_text())
    for width in (80, 60):
        console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
        for table in tables(summary, width):
            console.print(table)
        text = console.export_text()
        assert max(map(len, text.splitlines())) <= width
        blast = summary["worlds"][1]["blast_radius"]["devices"]
        assert f"{count(blast['p5'])}–{count(blast['p95'])}" in text
        assert "slow-and-wrong-" in text
        assert "on-phones" in text
        assert ("(continued)" in text) == (width == 60)


def test_the_command_writes_the_page_and_report_writes_it_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.yaml").write_text(PLAN)
    done = CliRunner().invoke(app, ["rollout", "plan.yaml", "--replications", "2", "--backend", "local"])
    assert done.exit_code == 0, done.output
    page = tmp_path / "runs" / "small-001" / "report.html"
    assert "report: runs/small-001/report.html" in done.output
    first = page.read_bytes()
    page.unlink()
    again = CliRunner().invoke(app, ["report", "runs/small-001"])
    assert again.exit_code == 0, again.output
    assert page.read_bytes() == first
    assert "stopped by a gate" in again.output
    as_json = CliRunner().invoke(app, ["report", "runs/small-001", "--json", "--out", "other.html"])
    told = json.loads(as_json.stdout)
    assert told["report"] == "other.html"
    assert (tmp_path / "other.html").exists()
    assert told["name"] == "small"


# -- directories that are none ----------------------------------------------------------------------------------------


def test_a_directory_that_is_none_is_refused(tmp_path, copied):
    with pytest.raises(FedliteError, match="no such directory"):
        read_rollout(tmp_path / "nowhere")
    (copied / "rollout.json").unlink()
    with pytest.raises(FedliteError, match="have not finished; finish them with `fedlite rollout"):
        write_rollout_report(copied)
    (copied / "plan.yaml").unlink()
    with pytest.raises(FedliteError, match="so this is no rollout"):
        write_rollout_report(copied)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("rollout.json", b"{", "line 1, column 2, expected JSON"),
        ("rollout.json", b"[]", "got list, expected a JSON object"),
        ("rollout.json", b"{}", "lacks name"),
        ("rollout.json", b"\xff", "not UTF-8"),
        ("rollout.json", b"[" * 100_000, "nested without end"),
        ("replications.safetensors", b"nothing of that kind", "not a safetensors file"),
        ("replications.safetensors", None, "though the rehearsals had finished"),
        ("plan.yaml", None, "though the rehearsals had finished"),
    ],
)
def test_damaged_files_are_named_with_the_remedy(copied, name, content, told):
    (copied / name).unlink() if content is None else (copied / name).write_bytes(content)
    with pytest.raises(FedliteError, match=told) as error:
        write_rollout_report(copied)
    assert name in str(error.value)
    assert "rehearse the plan again" in str(error.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda x: x | {"replications": 9}, r"0/coverage: got shape \(8, 3, 241\), expected shape \(9, 3, 241\)"),
        (lambda x: x | {"replications": "8"}, "replications: got str, expected int"),
        (lambda x: x | {"worlds": x["worlds"] * 2}, "3/coverage: got nothing"),
        (lambda x: x | {"worlds": []}, "got no worlds"),
        (lambda x: x | {"worlds": [{"name": "good"}]}, r"worlds\.0 lacks bad_classes"),
        (lambda x: x | {"worlds": [5]}, r"worlds\.0 lacks name"),
        (lambda x: x | {"classes": {"other": 300}}, "no rollout has"),
        (lambda x: x | {"curves": [7]}, "no rollout has"),
    ],
)
def test_a_summary_that_says_what_no_rollout_says_is_refused(copied, change, told):
    file = copied / "rollout.json"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(FedliteError, match=told):
        write_rollout_report(copied)


def test_a_missing_array_is_named(copied):
    arrays = load_file(copied / "replications.safetensors")
    del arrays["2/let_in"]
    save_file(arrays, copied / "replications.safetensors")
    with pytest.raises(FedliteError, match="2/let_in: got nothing, expected shape"):
        read_rollout(copied)


def test_names_stay_text(copied):
    evil = "</script><img src=x onerror=alert(1)>"
    file = copied / "rollout.json"
    summary = json.loads(
        file.read_text().replace("galaxy-a52", evil).replace('"slow-and-wrong-on-phones"', f'"{evil}"')
    )
    file.write_text(json.dumps(summary))
    text = write_rollout_report(copied).read_text(encoding="utf-8")
    assert "<img" not in text
    drawn = figures_of(text)
    assert "onerror" in json.dumps(drawn)
    assert all(spec["views"] for spec in drawn.values())


def test_the_answer_tells_of_the_worst_rehearsals_where_they_are_far_from_the_median(copied):
    def told():
        return str(answer(read_rollout(copied)))

    assert "in one rehearsal of twenty" not in told()
    file = copied / "rollout.json"
    summary = json.loads(file.read_text())
    summary["worlds"][1]["blast_radius"]["devices"] = {"p5": 1.0, "p50": 40.0, "p95": 150.0}
    file.write_text(json.dumps(summary))
    assert "</strong> of 180 galaxy-a52 (150 at least in one rehearsal of twenty) before it is stopped" in told()
