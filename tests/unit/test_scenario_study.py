"""Studies: what is varied, in which order, and where a mistake in a variant is placed."""

from __future__ import annotations

import pytest

from fedlite.errors import MOST_PROBLEMS, InvalidFileError
from fedlite.scenario import names, study
from fedlite.scenario.study import Study, expand, load_study

BASE = "name: base\nfleet: {devices: 20, mix: {phone: 1}}\ntask: {data: digits, model: mlp}\n"


@pytest.fixture(autouse=True)
def _one_profile(monkeypatch):
    monkeypatch.setattr(names, "profiles", lambda: ["phone"])


def load(tmp_path, text):
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "study.yaml").write_text(text)
    return load_study(tmp_path / "study.yaml")


def test_a_grid_is_every_combination_with_every_seed():
    study = Study(
        name="s", base="b", grid={"training.rounds": [1, 2], "wire.up": ["fp16", ["int8", "zstd"]]}, seeds=[3, 4]
    )
    variants = expand(study)
    assert [variant.label for variant in variants[::2]] == [
        "training.rounds=1, wire.up=fp16",
        "training.rounds=1, wire.up=int8+zstd",
        "training.rounds=2, wire.up=fp16",
        "training.rounds=2, wire.up=int8+zstd",
    ]
    assert [variant.seed for variant in variants[:2]] == [3, 4]
    assert variants[-1].overrides == {"training.rounds": 2, "wire.up": ["int8", "zstd"], "seed": 4}


def test_a_base_is_read_once_and_mistaken_variants_are_looked_at_until_enough_is_told(tmp_path, monkeypatch):
    read, judged = [], []
    open_document, check = study.open_document, study.check
    monkeypatch.setattr(study, "open_document", lambda path: read.append(path) or open_document(path))
    monkeypatch.setattr(study, "check", lambda *given: judged.append(1) or check(*given))
    head = "name: s\nbase: base.yaml\nlist:\n"
    load(tmp_path, head + "".join(f"  - {{training.rounds: {n}}}\n" for n in range(1, 6)))
    assert len(read) == 2
    with pytest.raises(InvalidFileError) as caught:
        load(tmp_path, head + "".join(f"  - {{training.ronds: {n}}}\n" for n in range(300)))
    assert "got 200 variants that were not looked at" in str(caught.value)
    assert len(caught.value.problems) == MOST_PROBLEMS + 1
    assert len(judged) == 2 * 2 + 5 + MOST_PROBLEMS


def test_a_variant_changes_no_more_keys_than_anybody_varies(tmp_path):
    many = ", ".join(f"k{n}: 1" for n in range(101))
    for text in (f"list: [{{{many}}}]\n", f"grid: {{{many}}}\n"):
        with pytest.raises(InvalidFileError, match="got 101 keys, expected at most 100"):
            load(tmp_path, "name: s\nbase: base.yaml\n" + text)


def test_a_list_entry_may_have_a_label_and_meets_the_grid(tmp_path):
    text = (
        "name: s\nbase: base.yaml\ngrid: {training.rounds: [1, 2]}\n"
        "list: [{label: half, wire.up: fp16}, {wire.up: int8}]\nseeds: [5]\n"
    )
    labels = [variant.label for variant in load(tmp_path, text).variants]
    assert labels == [
        "half, training.rounds=1",
        "half, training.rounds=2",
        "wire.up=int8, training.rounds=1",
        "wire.up=int8, training.rounds=2",
    ]


def test_a_study_that_varies_nothing_is_the_base_with_each_seed(tmp_path):
    variants = load(tmp_path, "name: s\nbase: base.yaml\nseeds: [1, 2]\n").variants
    assert [(variant.label, variant.seed) for variant in variants] == [("base", 1), ("base", 2)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "grid:\n  training.rounds: [1, zero]\n",
            "study.yaml:4:24: training.rounds: got 'zero', expected a whole number",
        ),
        ("list:\n  - {wire.up: int9}\n", "study.yaml:4:6: wire.up: got 'int9', expected a codec stage"),
        ("grid: {training.rouds: [1]}\n", "study.yaml:3:25: training.rouds: got an unknown key"),
        ("grid: {training.rounds: 3}\n", "study.yaml:3:25: grid.training.rounds: got 3, expected a list of values"),
        ("grids: {}\n", "study.yaml:3:1: grids: got an unknown key"),
        ("seeds: [1, 1]\n", "got a seed twice"),
        ("axes: [energy_j, energy_j]\n", "got the axis 'energy_j' twice, expected two numbers"),
        ("axes: [energy_j]\n", "got 1 axes, expected two"),
        ("seeds: []\n", "study.yaml:3:8: seeds: got a list, expected at least 1 of them"),
        ("axes: [energy, accuracy]\n", "study.yaml:3:8: axes.0: got 'energy', expected a number out of "),
        ("axes: [energy_j, name]\n", "study.yaml:3:18: axes.1: got 'name'"),
        ("axes: [seed, format]\n", "study.yaml:3:8: axes.0: got 'seed'"),
        ("axes: [epsilon, rmse]\n", "study.yaml:3:8: axes.0: got 'epsilon'"),  # nothing states one
        ("axes: [energy_j, rmse]\n", "study.yaml:3:18: axes.1: got 'rmse'"),  # of another objective
        ("axes: [calendar.check_ins, loss]\n", "study.yaml:3:8: axes.0: got 'calendar.check_ins'"),
        ("axes: [energy_j, loss, accuracy]\n", "study.yaml:3:7: axes: got 3 axes, expected two"),
        ("list: [{}]\n", "study.yaml:3:8: list.0: got {}, expected dotted keys with values"),
    ],
)
def test_a_mistake_in_a_study_is_placed_in_the_study(tmp_path, text, told):
    with pytest.raises(InvalidFileError) as caught:
        load(tmp_path, "name: s\nbase: base.yaml\n" + text)
    assert told in str(caught.value)


def test_what_may_be_an_axis_is_what_some_variant_tells(tmp_path):
    private = "{mechanism: server-fixed-clipping, noise_multiplier: 1, clipping_norm: 1, delta: 1e-5}"
    grid = f"grid: {{privacy: [{{mechanism: none}}, {private}]}}\n"
    for axes in ("epsilon, metrics.macro_f1", "energy_j, accuracy", "outcomes.arrived, loss"):
        load(tmp_path, f"name: s\nbase: base.yaml\n{grid}axes: [{axes}]\n")


def test_a_combination_that_breaks_a_law_is_found_before_anything_runs(tmp_path):
    text = "name: s\nbase: base.yaml\ngrid: {training.strategy: [fedavg, krum], training.replies: [auto, reduced]}\n"
    with pytest.raises(InvalidFileError) as caught:
        load(tmp_path, text)
    assert [str(problem).split(": ", 1)[1] for problem in caught.value.problems] == [
        "training.replies: got 'reduced' with strategy 'krum', which needs every single reply; write 'replies: auto'"
    ]


def test_a_study_without_its_base_says_so(tmp_path):
    (tmp_path / "study.yaml").write_text("name: s\nbase: gone.yaml\n")
    with pytest.raises(InvalidFileError, match=r"gone\.yaml: \(file\): got no file to read"):
        load_study(tmp_path / "study.yaml")
