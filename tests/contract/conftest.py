"""Finds parts of a user's own: those of the tests and the documentation, and those that the command line names."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "docs/examples/parts")]

import own  # noqa: E402 (its folder has just been put there)
import pytest  # noqa: E402

from fedlite.own_code import OwnCodeError  # noqa: E402


def pytest_addoption(parser):
    parser.addoption(
        "--part",
        action="append",
        default=[],
        help="run the batteries on a part of your own too, written as in a scenario: '{name: \"thin:Thin\", rank: 6}'",
    )


def pytest_configure(config):
    own.GIVEN[:] = config.getoption("--part", default=[])
    try:
        strays = own.strays()
    except OwnCodeError as error:
        raise pytest.UsageError(f"--part: {error}; put its folder on PYTHONPATH") from error
    if strays:
        raise pytest.UsageError(
            f"--part: got {', '.join(strays)}, expected a structure, constraint, term, stage, objective or strategy; "
            "a codec stage needs a line in STAGES of test_codecs.py, which says how much it may err"
        )
