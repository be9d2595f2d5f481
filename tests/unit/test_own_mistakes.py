"""What own code returns, if it is not what its kind asks for, ends a run in one line that names it, everywhere."""

import errno
import re
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
    "stage": (
        "from fedlite.client.stages.base import Applied, Stage as Base\nfrom fedlite.compression.part import Effects"
    ),
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
def written(tmp_path, monkeypatch, request):
    """Return the scenario that names one class of a kind, the module of the class in a name of this test's own."""
    module = f"mistaken_{zlib.crc32(request.node.name.encode()):08x}"
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "docs/examples/parts"))
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(kind, body, *, rounds=1, mode="auto"):
        (tmp_path / f"{module}.py").write_text(
            f"from dataclasses import dataclass\nimport numpy as np\n{HEADS[kind]}\n\n"
            f"@dataclass(frozen=True)\nclass Own(Base):\n    name = 'own'\n    {body}\n"
        )
        objective = f"{module}:Own" if kind == "objective" else "cross-entropy"
        plan = PLANS[kind].replace("MODULE", module)
        (tmp_path / "x.yaml").write_text(SCENARIO.format(plan=plan, objective=objective, rounds=rounds, mode=mode))
        return str(tmp_path / "x.yaml")

    return write


@pytest.fixture
def ended(monkeypatch, capsys):
    """Return what a command says that ends with a mistake: one line."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["fedlite", *arguments])
        with pytest.raises(SystemExit) as left:
            command_line.main()
        assert left.value.code == 2
        read = capsys.readouterr()
        (said,) = [row for row in (read.err or read.out).splitlines() if row.strip()]
        return said

    return call


@pytest.fixture
def told(written, ended, tmp_path):
    """Return what a run with one class of a kind says."""

    def run(kind, body, *, backend=("local",), **settings):
        path = written(kind, body, **settings)
        said = ended("run", path, "--quiet", "--backend", *backend, "--out", str(tmp_path / backend[0]))
        return re.sub(r"mistaken_\w{8}", "MODULE", said)

    return run


SAID = {
    "effects below a plain step": (
        "    @property\n    def effects(self):\n        return Effects(step_time=0)\n",
        "got step_time 0, expected 1 or more",
    ),
    "effects of words": (
        "    @property\n    def effects(self):\n        return Effects(update_passes='two')\n",
        "got update_passes 'two', expected 0 or more",
    ),
    "a label that breaks": ("    @property\n    def label(self):\n        return 1 / 0\n", "ZeroDivisionError"),
    "effects of another type": (
        "    effects = 3\n",
        "got 3 as its effects, expected Effects; mend 'effects' in the class",
    ),
    "a label of another type": (
        "    @property\n    def label(self):\n        return 3\n",
        "got 3 as its label, expected str",
    ),
    "a remark of another type": ("    remark = None\n", "got None as its remark, expected str"),
    "memory by a number": ("    keeps_memory = 1\n", "got 1 as its keeps_memory, expected bool"),
    "a source without its tuple": ("    cites = ('abadi2016')\n", "got 'abadi2016' as its cites, expected tuple"),
    "sources that are no texts": ("    cites = (2016,)\n", "got 2016 among its cites, expected str"),
    "a name that is none": ("    name = 3\n", "got 3 as its name, expected str"),
    "a remark that breaks": ("    @property\n    def remark(self):\n        return self.nothing\n", "AttributeError"),
}


@pytest.mark.parametrize("case", SAID)
def test_what_a_part_says_of_itself_is_checked_when_a_scenario_is_read(case, written, ended):
    body, said = SAID[case]
    line = ended("validate", written("stage", body.strip()))
    assert "clients.0.plan.stages.0: got " in line or "clients.0.plan.stages.0: effects: got " in line
    assert said in line


RETURNS = {
    "a structure's net": (
        ("structure", "def build(self, spec): return None"),
        "structure 'own': got NoneType from build, expected a torch.nn.Module; return one",
    ),
    "nothing seen": (
        ("constraint", "def seen(self, parameters, state, *, stacked): pass"),
        "constraint 'own': seen: got NoneType, expected a tensor for each of 4 parameters; return them all",
    ),
    "a weight less seen": (
        ("constraint", "def seen(self, parameters, state, *, stacked): return parameters[1:]"),
        "constraint 'own': seen: got 3 entries, expected a tensor for each of 4 parameters; return them all",
    ),
    "another shape seen": (
        ("constraint", "def seen(self, parameters, state, *, stacked): return [p.flatten() for p in parameters]"),
        "constraint 'own': seen: got (384,) for parameter 0, expected a tensor of shape (6, 64); keep the shape",
    ),
    "no gradients": (
        ("constraint", "def gradients(self, gradients, state, *, stacked): pass"),
        "constraint 'own': gradients: got NoneType, expected a tensor for each of 4 parameters; return them all",
    ),
    "a gradient that is none": (
        ("constraint", "def gradients(self, gradients, state, *, stacked): return [*gradients[:3], 0.0]"),
        "constraint 'own': gradients: got float for parameter 3, expected a tensor of shape (10,); keep the shape",
    ),
    "gradients of every sample": (
        ("constraint", "per_sample = True"),
        "constraint 'own': gradients: got (32, 6, 64) for parameter 0, expected a tensor of shape (6, 64); keep the",
    ),
    "a mask for one weight": (
        ("constraint", "def held(self, state): return [1]"),
        "constraint 'own': held: got 1 entries, expected None or an array for each of 4 parameters; return them all",
    ),
    "masks that are numbers": (
        ("constraint", "def held(self, state): return [None, 1, None, None]"),
        "constraint 'own': held: got int for parameter 1, expected None or an array of shape (6,); keep the shape",
    ),
    "a mask of another shape": (
        ("constraint", "def held(self, state): return [np.ones(64), None, None, None]"),
        "constraint 'own': held: got (64,) for parameter 0, expected None or an array of shape (6, 64); keep the shape",
    ),
    "memory that is none": (
        ("stage", "def apply(self, update, job): return Applied(update, None)"),
        "stage 'own': got NoneType as memory, expected Mapping; return one",
    ),
    "memory that nobody announced": (
        ("stage", "def apply(self, update, job): return Applied(update, {'a': np.ones(2)})"),
        "stage 'own': got memory, expected none of a stage that does not say so; write remembers = True",
    ),
    "memory in a list": (
        ("stage", "remembers = True\n    def apply(self, update, job): return Applied(update, {'a': [1, 2]})"),
        "own: got list as 'a' in its memory, expected a numpy array of numbers; return one",
    ),
    "memory of objects": (
        ("stage", "remembers = True\n    def apply(self, update, job): return Applied(update, {'a': np.array([{}])})"),
        "own: got ndarray of object as 'a' in its memory, expected a numpy array of numbers; return one",
    ),
    "memory of words": (
        ("stage", "remembers = True\n    def apply(self, update, job): return Applied(update, {'a': np.array(['x'])})"),
        "own: got ndarray of <U1 as 'a' in its memory, expected",
    ),
    "memory by number": (
        ("stage", "remembers = True\n    def apply(self, update, job): return Applied(update, {3: np.ones(2)})"),
        "own: got the name 3 in its memory, expected a text; call it by one",
    ),
    "memory once it is sent": (
        ("stage", "remembers = True\n    def sent(self, update, decoded, memory): pass"),
        "own: got NoneType as its memory, expected a mapping; return a dict",
    ),
    "a metric of words": (
        ("stage", "def apply(self, update, job): return Applied(update, metrics={'a': 'much'})"),
        "stage 'own': got 'much' as the metric 'a', expected a number; return one",
    ),
    "metrics in a list": (
        ("stage", "def apply(self, update, job): return Applied(update, metrics=[1.0])"),
        "stage 'own': got list as metrics, expected Mapping; return one",
    ),
    "bytes that are a text": (
        ("stage", "def apply(self, update, job): return Applied(update, extra='x')"),
        "stage 'own': got str as extra, expected bytes; return one",
    ),
    "bytes that nobody announced": (
        ("stage", "def apply(self, update, job): return Applied(update, extra=b'x')"),
        "stage 'own': got extra, expected none of a stage that does not say so; write adds_bytes = True",
    ),
    "what a constraint remembers": (
        ("constraint", "individual = True\n    def remember(self, state): pass"),
        "own: got NoneType as its memory, expected a mapping; return a dict",
    ),
    "a codec's numbers": (
        ("codec", "def decode(self, payload, segments): pass"),
        "MODULE:Own: got NoneType from decode, expected a numpy array (460,); mend the number format",
    ),
    "a codec's count": (
        ("codec", "def decode(self, payload, segments): return np.ones(3, np.float32)"),
        "MODULE:Own: got values of shape (3,) from decode, expected a numpy array (460,); mend the number format",
    ),
    "an objective's losses": (
        ("objective", "def losses(self, outputs, targets): return 1.0"),
        (
            "task.objective: got 'MODULE:Own' with model 'mlp', data 'digits': got float from losses, "
            "expected a torch.Tensor with one entry per sample; return one"
        ),
    ),
    "an objective's score": (
        ("objective", "def score(self, outputs, targets): pass"),
        (
            "task.objective: got 'MODULE:Own' with model 'mlp', data 'digits': got NoneType from score, "
            "expected a torch.Tensor with one entry per sample; return one"
        ),
    ),
}


@pytest.mark.parametrize("case", RETURNS)
def test_what_own_code_returns_is_checked_where_it_comes_in(case, told):
    mistake, said = RETURNS[case]
    assert re.sub(r"^/\S*x\.yaml:\d+:\d+: ", "", told(*mistake, mode="sequential")).startswith(said)


@pytest.mark.parametrize("hook", ["seen", "gradients"])
def test_side_by_side_the_shapes_have_the_clients_in_front(hook, told):
    said = told(
        "constraint", f"def {hook}(self, given, state, *, stacked): return [g[0] for g in given]", mode="batched"
    )
    assert said.startswith(f"constraint 'own': {hook}: got (6, 64) for parameter 0, expected a tensor of shape (")


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
