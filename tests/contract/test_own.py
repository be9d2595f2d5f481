"""The batteries take parts that the command line names, whatever their kind, and notice what is wrong with them."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
GOOD = """
from dataclasses import dataclass
from fedlite.client.stages.base import Applied, Stage, is_float


@dataclass(frozen=True)
class Louder(Stage):
    name = "louder"
    factor: float = 2.0

    def apply(self, update, job):
        return Applied([part * part.dtype.type(self.factor) if is_float(part) else part for part in update])


@dataclass(frozen=True)
class Changing(Louder):
    name = "changing"

    def apply(self, update, job):
        update[0][...] = 0
        return Applied(update)
"""


def battery(folder, *parts, only="louder or changing"):
    (folder / "own_stages.py").write_text(GOOD, encoding="utf-8")
    named = [argument for part in parts for argument in ("--part", part)]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            str(HERE / "test_stages.py"),
            "-p",
            "no:cacheprovider",
            "-rA",
            "-k",
            only,
            *named,
        ],
        cwd=HERE.parents[1],
        env={"PATH": "", "PYTHONPATH": f"{folder}:{HERE.parents[1]}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_part_of_ones_own_is_run_through_the_battery_of_its_kind_with_its_options(tmp_path):
    code, told = battery(tmp_path, "{name: 'own_stages:Louder', factor: 3}", "own_stages:Changing")
    assert code == 1
    failed = [line for line in told.splitlines() if line.startswith("FAILED")]
    assert failed
    assert all("[changing ]" in line for line in failed)
    assert any("test_its_arguments_are_not_changed" in line for line in failed)
    assert sum("PASSED" in line and "[louder ]" in line for line in told.splitlines()) >= 7


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("own_stages:Quieter", "--part: there is no 'Quieter' in own_stages, only Changing, Louder"),
        ("own_stages:GOOD", "--part: there is no 'GOOD' in own_stages"),
        ("own_stages:Applied", "--part: got own_stages:Applied, expected a structure, constraint"),
        ("{nme: x}", "--part: got '{nme: x}', expected a name"),
        ("{name: 3}", "--part: got '{name: 3}', expected a name"),
        ("{name: '", "--part: while scanning a quoted scalar"),
        ("fp24:Fp24", "--part: got fp24:Fp24, expected a structure, constraint, term, stage, objective or strategy"),
    ],
)
def test_what_is_no_part_is_told(tmp_path, part, said):
    code, told = battery(tmp_path, part)
    assert code == 4
    assert said in told
