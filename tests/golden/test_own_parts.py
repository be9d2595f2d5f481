"""Parts that live outside of the package run, travel, cost and show up like fedlite's own, and fail as clearly."""

import html
import re
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from torch import nn
from typer.testing import CliRunner

from fedlite import runner as running
from fedlite.cli import main as command_line
from fedlite.cli.main import app
from fedlite.compression.part import PartError
from fedlite.compression.plan import Plan
from fedlite.devices import compute
from fedlite.devices.memory import BAND
from fedlite.learning.tracing import trace
from fedlite.pricing import Job, price
from fedlite.results.directory import RunDirectory
from fedlite.scenario.loader import load_scenario
from fedlite.scenario.profiles import load_profile

PARTS = Path(__file__).parents[2] / "docs/examples/parts"
YAML = PARTS / "own_parts.yaml"
FULL = "plan: full"
ALONE = {
    "structure": "plan: {structure: {name: 'thin:Thin', rank: 6}}",
    "constraint": "plan: {constraints: ['ternary:Ternary']}",
    "term": "plan: {terms: ['confidence:ConfidencePenalty']}",
    "stage": "plan: {stages: [{name: 'sign_flip:SignFlip', strength: 0.5}]}",
    "codec": "plan: {up: 'fp24:Fp24'}",
}
PARAMETERS = 64 * 24 + 24 + 24 * 10 + 10


@pytest.fixture(autouse=True)
def _parts_are_found(monkeypatch):
    monkeypatch.syspath_prepend(str(PARTS))


def run(source, out, settings=None):
    return running.run(load_scenario(source), out=out, settings=settings or running.Settings("local"))


def with_plan(plan, folder, objective="smoothed:Smoothed"):
    """Write the scenario with one plan for all devices, and return its path."""
    head = YAML.read_text(encoding="utf-8").partition("clients:\n  - for: {profile: pi-4b}")[0]
    folder.mkdir()
    path = folder / "one.yaml"
    path.write_text(f"{head.replace('smoothed:Smoothed', objective)}clients:\n  - for: any\n    {plan}\n")
    return path


def first_jobs(path):
    frame = pl.read_parquet(path / "clients.parquet").filter((pl.col("round") == 1) & (pl.col("kind") == "train"))
    return frame.sort("device")


def model(path):
    return RunDirectory(path).read_model()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Run the whole example once."""
    path = tmp_path_factory.mktemp("own") / "whole"
    return run(YAML, path), path


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PARTS))
        folder = tmp_path_factory.mktemp("own") / "plain"
        run(with_plan(FULL, folder), folder / "run")
        return folder / "run"


def test_every_job_of_own_parts_arrives(whole):
    jobs = pl.read_parquet(whole[1] / "clients.parquet")
    assert set(jobs["outcome"]) == {"arrived"}
    assert np.isfinite(jobs["loss"].to_numpy()).all()


@pytest.mark.ray
def test_ray_actors_find_own_parts_beside_the_scenario_as_the_driver_does(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(PARTS)])
    there = run(YAML, tmp_path / "ray", running.Settings("ray", 2))
    assert there.summary["digest"] == whole[0].summary["digest"]


@pytest.mark.parametrize("kind", ALONE)
def test_every_part_changes_what_is_learned(kind, plain, tmp_path):
    run(with_plan(ALONE[kind], tmp_path / kind), tmp_path / "run")
    before, after = model(plain), model(tmp_path / "run")
    assert before.keys() == after.keys()
    assert any(not np.array_equal(before[name], after[name]) for name in before)


def test_an_own_objective_is_what_is_learned(plain, tmp_path):
    run(with_plan(FULL, tmp_path / "ce", objective="cross-entropy"), tmp_path / "run")
    before, after = model(plain), model(tmp_path / "run")
    assert any(not np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("kind", "factor", "passes", "copies"),
    [("constraint", 2.0, 0.0, 2.0), ("term", 1.0, 0.0, 0.0), ("stage", 1.0, 2.0, 0.0)],
)
def test_a_part_costs_what_its_effects_say(kind, factor, passes, copies, plain, tmp_path):
    run(with_plan(ALONE[kind], tmp_path / kind), tmp_path / "run")
    before, after = first_jobs(plain), first_jobs(tmp_path / "run")
    for row, other in zip(before.iter_rows(named=True), after.iter_rows(named=True), strict=True):
        moved_s = float(compute.work_s(load_profile(row["profile"]), {}, passes * 4.0 * PARAMETERS).value)
        assert other["train_s"] == pytest.approx(factor * row["train_s"] + (moved_s if passes else 0.0), rel=1e-9)
        held = 4 * copies * PARAMETERS * BAND[1]  # the peak is the upper end of its band
        assert other["peak_bytes"] == pytest.approx(row["peak_bytes"] + held, abs=2)
    assert (after["train_s"] > before["train_s"]).all() == (kind != "term")


def test_a_structure_costs_what_its_net_costs(plain, tmp_path):
    run(with_plan(ALONE["structure"], tmp_path / "structure"), tmp_path / "run")
    first, second = (nn.Linear(64, 6, bias=False), nn.Linear(6, 24)), (nn.Linear(24, 6, bias=False), nn.Linear(6, 10))
    thin = trace(nn.Sequential(nn.Flatten(), *first, nn.ReLU(), *second), (1, 8, 8), name="mlp")
    jobs = first_jobs(tmp_path / "run")
    for job in jobs.iter_rows(named=True):
        local = Job(float(job["examples"]), float(job["steps"]), 16)
        work = price(load_profile(job["profile"]), Plan(), thin, local)
        assert job["train_s"] == pytest.approx(float(work.time_s), rel=1e-9)
        assert job["peak_bytes"] == pytest.approx(work.peak_bytes, abs=1)
    assert (jobs["train_s"] != first_jobs(plain)["train_s"]).all()
    assert (jobs["down_bytes"] < first_jobs(plain)["down_bytes"]).all()


def test_ledger_and_report_name_own_parts_and_what_they_do_not_save(whole):
    names = {
        "pi-4b": "rank 6, confidence penalty 0.1, fp24:Fp24+zstd up",
        "pixel-4": "ternary 0.7, sign flip 0.5",
    }
    jobs = pl.read_parquet(whole[1] / "clients.parquet")
    assert dict(jobs.select("profile", "plan").unique().iter_rows()) == names
    page = html.unescape((whole[1] / "report.html").read_text(encoding="utf-8"))
    table = page.partition("What each device class trains")[2].partition('class="card"')[0]
    for said in (*names.values(), "no engine here multiplies three-valued weights", "less to train and to send"):
        assert said in table


def test_cite_prints_the_sources_of_own_parts():
    told = CliRunner().invoke(app, ["cite", str(YAML)]).output
    for key in ("denil2013", "pereyra2017", "li2016ternary", "li2019rsa", "szegedy2016rethinking", "ieee754"):
        assert re.search(rf"^@misc\{{{key},", told, re.MULTILINE), key


def test_a_part_without_any_source_that_fedlite_knows_is_told_so(tmp_path, monkeypatch):
    (tmp_path / "unsourced.py").write_text(
        "from dataclasses import dataclass\nfrom fedlite.client.stages.base import Stage\n"
        "@dataclass(frozen=True)\nclass Unsourced(Stage):\n    name = 'unsourced'\n    cites = ('nobody2001',)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    told = CliRunner().invoke(app, ["cite", str(with_plan("plan: {stages: ['unsourced:Unsourced']}", tmp_path / "x"))])
    assert told.exit_code != 0
    assert "got 'nobody2001' for unsourced, expected a key" in f"{told.output}{told.exception}"


def test_options_by_layer_come_in_from_a_scenario_and_back_from_its_copy_in_the_run(tmp_path, monkeypatch):
    (tmp_path / "layered.py").write_text(
        "from dataclasses import dataclass\nfrom fedlite.client.stages.base import Applied, Stage\n"
        "@dataclass(frozen=True)\nclass Layered(Stage):\n    name = 'layered'\n"
        "    sizes: tuple[tuple[int, float], ...]\n"
        "    def apply(self, update, job):\n"
        "        sizes = dict(self.sizes)\n"
        "        return Applied([part * sizes.get(i, 1) for i, part in enumerate(update)])\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    plan = "plan: {stages: [{name: 'layered:Layered', sizes: [[0, 0.5], [2, 0]]}]}"
    done = run(with_plan(plan, tmp_path / "x"), tmp_path / "run")
    again = run(tmp_path / "run" / "scenario.yaml", tmp_path / "again")
    assert done.summary["digest"] == again.summary["digest"]
    assert set(done.summary["outcomes"]) == {"arrived"}


WRONG = {
    "structure's option": ("rank: 6", "rank: 0", "clients.0.plan.structure.rank", "got 0, expected 1 or more; write"),
    "structure's type": ("rank: 6", "rank: wide", "clients.0.plan.structure.rank", "got 'wide', expected int; mend"),
    "structure without": ("{name: thin:Thin, rank: 6}", "thin:Thin", "clients.0.plan.structure", "add 'rank: ...'"),
    "structure's class": ("thin:Thin", "thin:Thick", "clients.0.plan.structure", "put its folder on PYTHONPATH"),
    "structure's kind": (
        "thin:Thin",
        "ternary:Ternary",
        "clients.0.plan.structure",
        "structure.base.Structure; derive",
    ),
    "term's option": ("weight: 0.1", "weight: -1", "clients.0.plan.terms.0.weight", "leave the term out"),
    "term's module": ("confidence:Con", "confident:Con", "clients.0.plan.terms.0", "put its folder on PYTHONPATH"),
    "constraint's option": (
        "- ternary:Ternary",
        "- {name: ternary:Ternary, bits: 2}",
        "clients.1.plan.constraints.0.bits",
        "expected threshold; remove it",
    ),
    "constraint's module": ("ternary:Ter", "tern:Ter", "clients.1.plan.constraints.0", "put its folder on PYTHONPATH"),
    "stage's option": (
        "strength: 0.5",
        "strength: 0",
        "clients.1.plan.stages.0.strength",
        "got 0.0, expected a number above 0",
    ),
    "stage's module": ("sign_flip:Sign", "..sign_flip:Sign", "clients.1.plan.stages.0", "put its folder on PYTHONPATH"),
    "codec's argument": ("fp24:Fp24", "fp24:Fp24:9", "clients.0.plan.up", "write one that it takes, or none"),
    "codec's class": ("fp24:Fp24", "fp24:Fp25", "clients.0.plan.up", "put its folder on PYTHONPATH"),
    "objective's class": ("smoothed:Smoothed", "smoothed:Smooth", "task.objective", "put its folder on PYTHONPATH"),
    "objective's kind": ("smoothed:Smoothed", "thin:Thin", "task.objective", "expected a class that takes no argument"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_in_an_own_part_is_one_line_with_place_and_remedy(case, tmp_path):
    before, after, key, remedy = WRONG[case]
    text = YAML.read_text(encoding="utf-8")
    assert text.count(before) == 1
    path = tmp_path / "wrong.yaml"
    path.write_text(text.replace(before, after), encoding="utf-8")
    line = next(n for n, row in enumerate(path.read_text().splitlines(), 1) if after in row)
    told = CliRunner().invoke(app, ["validate", str(path)])
    assert told.exit_code == 2
    (said,) = told.output.splitlines()
    assert re.match(rf"{re.escape(str(path))}:{line}:\d+: {re.escape(key)}: got ", said), said
    assert remedy in said


BROKEN = {
    "a syntax error": "class Broken(Stage:\n",
    "no frozen dataclass": "@dataclass\nclass Broken(Stage):\n    name = 'broken'\n",
    "no name": "@dataclass(frozen=True)\nclass Broken(Stage):\n    pass\n",
    "a refusal of Python's own": (
        "@dataclass(frozen=True)\nclass Broken(Stage):\n    name = 'broken'\n"
        "    def __post_init__(self):\n        raise ValueError('never')\n"
    ),
    "an error at import": "raise RuntimeError('no licence')\n",
    "the end of the program at import": "raise SystemExit(3)\n",
    "a base's decorator only": (
        "from fedlite.client.stages.clip import Clip\nclass Broken(Clip):\n    name = 'broken'\n"
    ),
    "an option that plans need": "@dataclass(frozen=True)\nclass Broken(Stage):\n    name: str = 'broken'\n",
    "any error of its own": (
        "@dataclass(frozen=True)\nclass Broken(Stage):\n    name = 'broken'\n"
        "    def __post_init__(self):\n        raise RuntimeError('never')\n"
    ),
    "a type that only a checker knows": (
        "@dataclass(frozen=True)\nclass Broken(Stage):\n    name = 'broken'\n    x: 'Unknown' = 1\n"
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_class_is_one_line_and_no_traceback(case, tmp_path, monkeypatch):
    module = f"broken_{list(BROKEN).index(case)}"
    head = "from dataclasses import dataclass\nfrom fedlite.client.stages.base import Stage\n"
    (tmp_path / f"{module}.py").write_text(head + BROKEN[case])
    monkeypatch.syspath_prepend(str(tmp_path))
    path = with_plan(f"plan: {{stages: ['{module}:Broken']}}", tmp_path / "x")
    told = CliRunner().invoke(app, ["validate", str(path)])
    assert told.exit_code == 2, told.exception
    (said,) = told.output.splitlines()
    assert "clients.0.plan.stages.0: got " in said


HEAD = "from dataclasses import dataclass\n"
BREAKS = {
    "stage": (
        "plan: {stages: ['MODULE:Breaks']}",
        (
            f"{HEAD}from fedlite.client.stages.base import Stage\n@dataclass(frozen=True)\nclass Breaks(Stage):\n"
            "    name = 'breaks'\n    def apply(self, update, job):\n        return 1 / 0\n"
        ),
    ),
    "constraint": (
        "plan: {constraints: ['MODULE:Breaks']}",
        (
            f"{HEAD}from fedlite.compression.constraint.base import Constraint\n@dataclass(frozen=True)\n"
            "class Breaks(Constraint):\n    name = 'breaks'\n"
            "    def after(self, parameters, state, *, stacked):\n        return 1 / 0\n"
        ),
    ),
    "term": (
        "plan: {terms: ['MODULE:Breaks']}",
        (
            f"{HEAD}from fedlite.learning.objectives.terms.base import Term\n@dataclass(frozen=True)\n"
            "class Breaks(Term):\n    name = 'breaks'\n    def losses(self, batch):\n        return 1 / 0\n"
        ),
    ),
    "structure": (
        "plan: {structure: 'MODULE:Breaks'}",
        (
            f"{HEAD}from fedlite.compression.structure.width import Width\n@dataclass(frozen=True)\n"
            "class Breaks(Width):\n    name = 'breaks'\n    share: float = 0.5\n"
            "    def place(self, spec, full):\n        return 1 / 0\n"
        ),
    ),
    "objective": (
        FULL,
        (
            "from fedlite.learning.objectives.cross_entropy import CrossEntropy\nclass Breaks(CrossEntropy):\n\n\n\n"
            "    def losses(self, outputs, targets):\n        return 1 / 0\n"
        ),
    ),
}


@pytest.mark.parametrize("case", BREAKS)
def test_own_code_that_breaks_in_a_run_is_one_line_with_its_place(case, tmp_path, monkeypatch, capsys):
    plan, body = BREAKS[case]
    module = f"breaks_{case}"
    (tmp_path / f"{module}.py").write_text(body)
    monkeypatch.syspath_prepend(str(tmp_path))
    objective = f"{module}:Breaks" if case == "objective" else "smoothed:Smoothed"
    path = with_plan(plan.replace("MODULE", module), tmp_path / "x", objective)
    monkeypatch.setattr(sys, "argv", ["fedlite", "run", str(path), "--backend", "local", "--out", str(tmp_path / "y")])
    with pytest.raises(SystemExit) as left:
        command_line.main()
    assert left.value.code == 2
    (said,) = [row for row in capsys.readouterr().err.splitlines() if row.strip()]
    line = body.splitlines().index("        return 1 / 0") + 1
    assert said == (
        f"code of your own: got ZeroDivisionError: division by zero at {tmp_path / module}.py:{line}, "
        "expected it to run; mend it there"
    )


def test_a_term_that_is_no_tensor_is_told(tmp_path, monkeypatch):
    (tmp_path / "floats.py").write_text(
        f"{HEAD}from fedlite.learning.objectives.terms.base import Term\n@dataclass(frozen=True)\n"
        "class Floats(Term):\n    name = 'floats'\n    def losses(self, batch):\n        return 0.5\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(PartError, match="term 'floats': got losses of type float, expected a tensor; compute it with"):
        run(with_plan("plan: {terms: ['floats:Floats']}", tmp_path / "x"), tmp_path / "run")


IMPORTS = {
    "objective": ("objective: smoothed:Smoothed", "objective: MODULE:Name"),
    "codec": ("up: fp24:Fp24+zstd", "up: MODULE:Name"),
    "part": ("- ternary:Ternary", "- MODULE:Name"),
    "model": ("model: {name: mlp, options: {hidden: [24]}}", "model: MODULE:Name"),
    "dataset": ("data: digits", "data: MODULE:Name"),
    "strategy": ("rounds: 2", "rounds: 2\n  strategy: MODULE:Name"),
}


@pytest.mark.parametrize("case", IMPORTS)
def test_code_that_breaks_at_import_is_one_line_with_its_place(case, tmp_path, monkeypatch, capsys):
    before, after = IMPORTS[case]
    text = YAML.read_text(encoding="utf-8")
    assert text.count(before) == 1
    module = f"imports_{case}"
    (tmp_path / f"{module}.py").write_text("\nx = 1 / 0\n")
    (tmp_path / "x.yaml").write_text(text.replace(before, after.replace("MODULE", module)))
    monkeypatch.syspath_prepend(str(tmp_path))
    called = ["fedlite", "run", str(tmp_path / "x.yaml"), "--backend", "local", "--out", str(tmp_path / "y")]
    monkeypatch.setattr(sys, "argv", called)
    with pytest.raises(SystemExit) as left:
        command_line.main()
    assert left.value.code == 2
    (said,) = [row for row in capsys.readouterr().err.splitlines() if row.strip()]
    assert f"(ZeroDivisionError: division by zero at {tmp_path / module}.py:2)" in said
    assert f"{module}:Name" in said
    assert not (tmp_path / "y").exists()
