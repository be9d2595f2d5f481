"""What a run rests on beside its scenario is written when it begins and held when it goes on."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from fedlite import resume, run, sources, sweep
from fedlite.compose.program import PROGRAM_FILE, Program
from fedlite.errors import FedliteError
from fedlite.runner import Settings
from fedlite.scenario.loader import load_scenario

LOCAL = Settings(backend="local")
SCENARIO = """
name: own
seed: 3
fleet: {devices: 6, mix: {pixel-8: 1.0}}
task: {data: "own_rows:rows", model: "own_net:net", clients: 6}
training: {rounds: 3, clients_per_round: 4, local: {epochs: 1, batch_size: 8, lr: 0.1}}
"""
NET = """
from torch import nn
from own_helper import HIDDEN

def net(input_shape, num_classes, width=1.0, seed=0):
    return nn.Sequential(nn.Flatten(), nn.Linear(input_shape[0], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, num_classes))
"""
ROWS = """
from pathlib import Path
import numpy as np
from fedlite.learning.data.dataset import Dataset

def rows():
    x = np.load(Path(__file__).with_name("rows.npz"))["x"]
    y = (x[:, 0] > 0).astype(np.int64)
    return Dataset("own", x[:80], y[:80], x[80:], y[80:], None, None, 2, (5,), "none", "drawn")
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A folder with own code and data, and a scenario that uses it."""
    for name, text in (("own_net.py", NET), ("own_rows.py", ROWS), ("own_helper.py", "HIDDEN = 8\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    np.savez(tmp_path / "rows.npz", x=np.random.default_rng(1).normal(size=(100, 5)).astype(np.float32))
    (tmp_path / "own.yaml").write_text(SCENARIO, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("own_net", "own_rows", "own_helper"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield tmp_path
    for name in ("own_net", "own_rows", "own_helper"):
        sys.modules.pop(name, None)


def interrupted(out):
    def stop(now):
        if now.round_ == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("own.yaml", out=out, settings=LOCAL, progress=stop)
    assert (out / "journal.bin").stat().st_size > 0
    return out


def test_a_resumed_run_says_that_and_when_in_its_manifest_and_its_digest_does_not_know(study):
    whole = run("own.yaml", out=study / "whole", settings=LOCAL)
    again = resume(interrupted(study / "cut"), settings=LOCAL)
    manifests = [json.loads((path / "manifest.json").read_text(encoding="utf-8")) for path in (whole.path, again.path)]
    assert manifests[0]["resumed"] == []
    assert [sorted(each) for each in manifests[1]["resumed"]] == [["at"]]
    assert manifests[0]["program"] == manifests[1]["program"]
    assert whole.summary["digest"] == again.summary["digest"]
    assert "Resumed" in (again.path / "report.html").read_text(encoding="utf-8")
    assert "Resumed" not in (whole.path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("own_net.py", NET.replace("ReLU", "Tanh"), "own_net.py was edited"),
        ("own_helper.py", "HIDDEN = 8  # the same\n", "own_helper.py was edited"),
        ("cut/scenario.yaml", None, "the scenario was edited"),
    ],
)
def test_a_run_is_not_continued_with_other_code(study, file, text, told):
    out = interrupted(study / "cut")
    path = study / file
    path.write_text(text or path.read_text(encoding="utf-8").replace("lr: 0.1", "lr: 0.2"), encoding="utf-8")
    with pytest.raises(FedliteError, match=told) as caught:
        resume(out, settings=LOCAL)
    assert "start a new run" in str(caught.value)
    assert json.loads((out / PROGRAM_FILE).read_text(encoding="utf-8"))["resumed"] == []


def test_a_run_is_not_continued_with_other_data(study):
    out = interrupted(study / "cut")
    np.savez(study / "rows.npz", x=np.random.default_rng(2).normal(size=(100, 5)).astype(np.float32))
    with pytest.raises(FedliteError, match="the data or model was edited"):
        resume(out, settings=LOCAL)


@pytest.mark.parametrize(("table", "name"), [("versions", "torch"), ("versions", "flwr"), ("sources", "fedlite")])
def test_a_run_that_another_version_began_is_refused(study, table, name):
    out = interrupted(study / "cut")
    written = json.loads((out / PROGRAM_FILE).read_text(encoding="utf-8"))
    written[table][name] = "0.0.1"
    (out / PROGRAM_FILE).write_text(json.dumps(written), encoding="utf-8")
    with pytest.raises(FedliteError, match=r"was 0\.0\.1|the code of fedlite was edited"):
        resume(out, settings=LOCAL)


def test_a_study_is_not_continued_over_runs_of_other_code(study):
    (study / "s.yaml").write_text("name: s\nbase: own.yaml\nseeds: [1, 2]\n", encoding="utf-8")
    first = sweep("s.yaml", out=study / "s", settings=LOCAL)
    assert (len(first.finished), sweep("s.yaml", out=study / "s", settings=LOCAL).reran) == (2, 0)
    (study / "own_helper.py").write_text("HIDDEN = 9\n", encoding="utf-8")
    with pytest.raises(FedliteError, match=r"own_helper\.py was edited"):
        sweep("s.yaml", out=study / "s", settings=LOCAL)


def test_the_files_of_own_code_are_the_module_and_what_it_imports_from_its_side(study):
    (study / "pkg").mkdir()
    (study / "pkg" / "__init__.py").touch()
    (study / "pkg" / "deep.py").write_text("def f():\n    import own_helper, numpy, json\n", encoding="utf-8")
    (study / "unused.py").touch()
    assert set(sources.files_of_module("pkg.deep")) == {"pkg/__init__.py", "pkg/deep.py", "own_helper.py"}
    (study / "pkg" / "rates.json").write_text("{}", encoding="utf-8")
    (study / "pkg" / "__pycache__").mkdir()
    (study / "pkg" / "__pycache__" / "deep.pyc").touch()
    assert "pkg/rates.json" in sources.files_of_module("pkg.deep")
    assert len(sources.files_of_module("pkg.deep")) == 4
    assert set(sources.files_of_module("json")) == set()
    assert set(Program.of_code(load_scenario("own.yaml")).sources) == {
        *("fedlite", "own_net.py", "own_rows.py", "own_helper.py")
    }


def test_another_programs_chunks_are_not_taken_from_the_journal(study):
    from fedlite.engine.journal import JournaledPool
    from fedlite.engine.pool import LocalPool
    from fedlite.engine.task import Task, WorkerSpec

    spec = WorkerSpec("test_program:Doubler")
    sys.modules["test_program"] = sys.modules[__name__]
    found = []
    for program in ("one", "one", "two"):
        pool = JournaledPool(LocalPool(spec), Path("journal.bin"), program)
        pool.collect(pool.submit(Task("x", {}, {}), pool.share({"a": np.ones(2)})))
        found.append(pool.found)
        pool.close()
    assert found == [0, 1, 0]


class Doubler:
    def __init__(self, data):
        del data

    def run(self, task, shared):
        from fedlite.engine.task import Result

        return Result({}, {"a": 2 * shared["a"]})
