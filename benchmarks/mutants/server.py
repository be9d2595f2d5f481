"""Runs tests on mutants, each in a fork of one process that has the large libraries imported already.

    python server.py TREE

TREE is a copy of the repository that belongs to this process alone. Each line of the standard input is a JSON record
{"path", "source", "tests", "timeout_s"}; the module is written, the tests run in a fork, the module is put back, and
one record {"outcome", "by", "seconds"} is answered. Nothing of fedlite is imported before the fork, so every fork
imports the mutant, and so does a process that a test starts.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

# What most tests import, and what starts no threads when it is imported: those would not survive the fork.
AHEAD = ("numpy", "torch", "torch.func", "hypothesis", "pydantic", "yaml", "dp_accounting.pld", "dp_accounting.rdp")
MOST_MEMORY = 12 * 2**30
ARGUMENTS = ("-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--tb=line")
MARKS = "not ray and not network and not browser"
POLL_S = 0.01
PATIENCE = 5


class Witness:
    """Pytest plugin that writes down which test failed first, or which file could not be imported."""

    def __init__(self, report: Path) -> None:
        self._report = report

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self._say(f"import of {report.nodeid or 'the tests'}")

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self._say(report.nodeid)

    def _say(self, what: str) -> None:
        if not self._report.exists():
            self._report.write_text(what)


def main() -> None:
    tree = Path(sys.argv[1]).resolve()
    for name in AHEAD:
        importlib.import_module(name)
    for line in sys.stdin:
        wanted = json.loads(line)
        with replaced(tree / wanted["path"], wanted["source"]):
            found = run(tree, wanted["tests"], wanted["timeout_s"], mutated=wanted["source"] is not None)
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


@contextlib.contextmanager
def replaced(path: Path, source: str | None):
    """Put another text in a file for a while; its old time stamp comes back too, so that its byte code stays valid."""
    if source is None:
        yield
        return
    old, stamp = path.read_bytes(), path.stat()
    path.write_text(source)
    try:
        yield
    finally:
        path.write_bytes(old)
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def run(tree: Path, tests: list[str], timeout_s: float, *, mutated: bool) -> dict[str, Any]:
    """Return how the tests ended: survived (all passed), killed, or timeout.

    The limit is one of processor time, so that a busy machine does not look like an endless loop; tests that wait for
    something are given `PATIENCE` times as much.
    """
    report, log = tree / ".killer", tree / ".log"
    report.unlink(missing_ok=True)
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        os._exit(_tested(tree, tests, report, log, timeout_s, mutated=mutated))
    status = _waited(child, began + PATIENCE * timeout_s)
    seconds = round(time.monotonic() - began, 2)
    by = report.read_text() if report.exists() else ""
    if status is None or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        return {"outcome": "timeout", "by": "", "seconds": seconds}
    code = os.waitstatus_to_exitcode(status)
    if code == pytest.ExitCode.OK:
        return {"outcome": "survived", "by": "", "seconds": seconds}
    if code in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED) and not by:
        # A conftest that cannot be imported is a usage error too, and so is a table that names no test.
        by = "import of a conftest"
    return {"outcome": "killed", "by": by or f"exit status {code}", "seconds": seconds}


def _waited(child: int, until: float) -> int | None:
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(POLL_S)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _tested(tree: Path, tests: list[str], report: Path, log: Path, cpu_s: float, *, mutated: bool) -> int:
    try:
        os.setsid()
        os.chdir(tree)
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_s), int(cpu_s) + 1))
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.path.insert(0, str(tree))
        os.environ["PYTHONPATH"] = str(tree)
        if mutated:  # the byte code of a mutant must not outlive it
            sys.dont_write_bytecode = True
            os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        _same_examples()
        return int(pytest.main([*ARGUMENTS, "-m", MARKS, *tests], plugins=[Witness(report)]))
    except BaseException as stopped:  # noqa: BLE001 - whatever happens, the fork must not go on as its parent
        report.write_text(f"{type(stopped).__name__} outside the tests")
        return 1


def _same_examples() -> None:
    """Let Hypothesis try the same examples for every mutant, and remember none."""
    from hypothesis import settings

    settings.register_profile("mutants", derandomize=True, database=None)
    settings.load_profile("mutants")


if __name__ == "__main__":
    main()
