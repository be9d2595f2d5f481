"""What own code returns, if it is not what its kind asks for, ends a run in one line that names it, everywhere."""

import errno
import sys
import zlib
from pathlib import Path

import click
import pytest

from fedlite import own_code
from fedlite.cli import main as command_line
from fedlite.engine.task import Task, WorkerSpec
from fedlite.own_code import OwnCodeError

SCENARIO = """\
name: mistakes
fleet: {{devices: 4, mix: {{pi-4b: 100 %}}, rules: {{charging: false, unmetered: false, idle: false}}}}
task: {{data: digits, clients: 4, model: {{name: mlp, options: {{hidden: [6]}}}}, objective: {objective}}}
training: {{rounds: {rounds}, clients_per_round: 4, mode: {mode}, local: {{epochs: 1, batch_size: 32, lr: 0.1}}}}
clients:
  - for: any
    plan: {{{plan}}}
"""
HEADS = {
    "stage": "from fedlite.client.stages.base import Applied, Stage as Base",
    "constraint": "from fedlite.compression.constraint.base import Constraint as Base",
    "structure": "from fedlite.compression.structure.full import Full as Base",
    "objective": "from fedlite.learning.objectives.cross_entropy import CrossEntropy as Base",
    "codec": "from fp24 import Fp24 as Base",
}
PLANS = {
    "stage": "stages: ['MODULE:Own']",
    "constraint": "constraints: ['MODULE:Own']",
    "structure": "structure: 'MODULE:Own'",
    "objective": "",
    "codec": "up: 'MODULE:Own'",
}


@pytest.fixture(autouse=True)
def _nothing_is_imported_yet(monkeypatch):
    monkeypatch.setattr(own_code, "_packages", set())
    monkeypatch.setattr(own_code, "_loaded", {})


@pytest.fixture
def told(tmp_path, monkeypatch, capsys, request):
    """Return what a run with one class of a kind says, which must be one line, without a word of fedlite's own code."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "docs/examples/parts"))
    monkeypatch.syspath_prepend(str(tmp_path))

    def run(kind, body, *, rounds=1, mode="auto", backend=("local",)):
        module = f"mistaken_{zlib.crc32(request.node.name.encode()):08x}"
        (tmp_path / f"{module}.py").write_text(
            f"from dataclasses import dataclass\nimport numpy as np\n{HEADS[kind]}\n\n"
            f"@dataclass(frozen=True)\nclass Own(Base):\n    name = 'own'\n    {body}\n"
        )
        plan = PLANS[kind].replace("MODULE", module)
        objective = f"{module}:Own" if kind == "objective" else "cross-entropy"
        path = tmp_path / "x.yaml"
        path.write_text(SCENARIO.format(plan=plan, objective=objective, rounds=rounds, mode=mode))
        called = ["fedlite", "run", str(path), "--backend", *backend, "--out", str(tmp_path / backend[0])]
        monkeypatch.setattr(sys, "argv", called)
        with pytest.raises(SystemExit) as left:
            command_line.main()
        assert left.value.code == 2
        (said,) = [row for row in capsys.readouterr().err.splitlines() if row.strip()]
        return said.replace(module, "MODULE")

    return run


UNFORESEEN = {
    "a structure's place": ("structure", "def place(self, spec, full): return None", "'take'"),
    "a hook's arguments": ("constraint", "def after(self, parameters, state): pass", "argument 'stacked'"),
    "a stage's update": ("stage", "def apply(self, update, job): return Applied(None)", "not iterable"),
}


@pytest.mark.parametrize("case", UNFORESEEN)
def test_what_nobody_foresaw_names_the_code_that_is_there_and_the_place(case, told):
    kind, body, error = UNFORESEEN[case]
    said = told(kind, body)
    assert said.startswith("code of your own (MODULE:Own): got ")
    assert error in said
    assert "/fedlite/" in said
    assert said.endswith(", expected what its kind asks for (docs/how-to/extend.md); see what it returns")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (click.UsageError("no such option"), 2, "Error: no such option"),
        (click.Abort(), 130, ""),
        (FileNotFoundError(errno.ENOENT, "No such file", "there"), 2, "there: got 'No such file', expected a place"),
    ],
)
def test_what_the_command_line_tells_itself_is_not_blamed_on_own_code(error, code, said, monkeypatch, capsys):
    def app(**_):
        raise error

    own_code.remember(["box:Box"])
    monkeypatch.setattr(command_line, "app", app)
    with pytest.raises(SystemExit) as left:
        command_line.main()
    assert left.value.code == code
    assert capsys.readouterr().err.startswith(said)


@pytest.mark.ray
@pytest.mark.parametrize("case", ["a hook's arguments", "a stage's update"])
def test_ray_s_actors_tell_it_in_the_same_words(case, told):
    kind, body, _ = UNFORESEEN[case]
    assert told(kind, body, backend=("ray", "--actors", "1")) == told(kind, body)


WITNESS = """\
from fedlite import own_code
from fedlite.engine.task import Result

class Witness:
    def __init__(self, data):
        pass

    @own_code.blamed()
    def run(self, task, shared):
        return {}["what a data set should have had"]
"""


@pytest.mark.ray
def test_an_actor_knows_of_own_code_that_only_the_driver_has_imported(tmp_path, monkeypatch):
    from fedlite.engine.ray_pool import RayPool

    (tmp_path / "witness.py").write_text(WITNESS)
    (tmp_path / "only_here.py").write_text("def data(): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    own_code.load("only_here:data")
    pool = RayPool(WorkerSpec("witness:Witness", {}, {}), 1)
    try:
        with pytest.raises(OwnCodeError, match=r"^code of your own \(only_here:data\): got KeyError: 'what a data set"):
            pool.collect(pool.submit(Task("x", {}, {}), pool.share({})))
    finally:
        pool.close()
