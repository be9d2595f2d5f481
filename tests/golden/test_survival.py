"""A run on Ray that is stopped or loses its cluster ends cleanly, leaves nobody behind and says how to go on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.ray
SCENARIO = """
name: long
seed: 7
fleet: {devices: 10, mix: {pixel-8: 1.0}}
task: {data: digits, model: cnn}
training: {rounds: 500, clients_per_round: 10, local: {epochs: 2, batch_size: 8, lr: 0.1}}
"""
PATIENCE_S = 60
AFTER_S = 10
"""What helpers have to end after their driver."""
TOKENLESS = """
import sys, ray
try:
    ray.init(address=sys.argv[1], logging_level="ERROR")
except Exception as error:
    print(type(error).__name__, error)
else:
    print("joined")
"""


def until(condition, patience_s=PATIENCE_S):
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.1)
    pytest.fail("it did not come to that")


def parents():
    """Every process that is not over, with its parent and its name."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        state, parent = text.rpartition(")")[2].split()[:2]
        if state != "Z":
            found[int(stat.parent.name)] = (int(parent), text[text.index("(") + 1 : text.rindex(")")])
    return found


def below(root):
    known, found = parents(), {root}
    while more := {pid for pid, (parent, _) in known.items() if parent in found} - found:
        found |= more
    return {pid: known[pid][1] for pid in found - {root}}


@pytest.fixture
def driver(tmp_path):
    """A run that is under way, in a process of its own."""
    (tmp_path / "long.yaml").write_text(SCENARIO, encoding="utf-8")
    command = [sys.executable, "-m", "fedlite.cli.main", "run", "long.yaml", "--out", "out", "--actors", "1", "--json"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    yield process
    process.kill()
    process.communicate()


def under_way(tmp_path):
    journal = tmp_path / "out" / "journal.bin"
    until(lambda: journal.exists() and journal.stat().st_size > 0)


def test_a_run_that_is_terminated_says_how_to_go_on_and_leaves_nobody_behind(driver, tmp_path):
    under_way(tmp_path)
    helpers = below(driver.pid)
    driver.send_signal(signal.SIGTERM)
    _, told = driver.communicate(timeout=PATIENCE_S)
    assert (driver.returncode, told) == (143, "Stopped. Continue with --resume out\n")
    until(lambda: not helpers.keys() & parents().keys(), AFTER_S)


def test_a_run_that_is_terminated_while_ray_starts_leaves_nobody_behind(driver, tmp_path):
    helpers = until(lambda: {pid for pid, name in below(driver.pid).items() if name == "gcs_server"})
    driver.send_signal(signal.SIGTERM)
    _, told = driver.communicate(timeout=PATIENCE_S)
    assert (driver.returncode, told) == (143, "Stopped. Continue with --resume out\n")
    until(lambda: not helpers & parents().keys(), AFTER_S)


@pytest.mark.parametrize("victim", ["raylet", "gcs_server"])
def test_a_run_whose_cluster_dies_says_so_in_one_line(driver, tmp_path, victim):
    under_way(tmp_path)
    helpers = below(driver.pid)
    os.kill(next(pid for pid, name in helpers.items() if name == victim), signal.SIGKILL)
    _, told = driver.communicate(timeout=PATIENCE_S)
    assert driver.returncode == 6
    assert f"engine: got a dead {victim}, expected the Ray cluster to last as long as the run" in told
    assert told.endswith("Stopped. Continue with --resume out\n")
    assert "Traceback" not in told
    until(lambda: not helpers.keys() & parents().keys(), AFTER_S)


def test_no_helper_outlives_a_killed_driver_and_nobody_joins_without_the_token(driver, tmp_path):
    under_way(tmp_path)
    helpers = below(driver.pid)
    assert {"gcs_server", "raylet"} <= set(helpers.values())
    listening = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout.splitlines()
    places = {
        line.split()[3]: line for line in listening if any(f"pid={pid}," in line for pid in [driver.pid, *helpers])
    }
    assert len(places) >= 4
    assert all("127.0.0.1" in place for place in places), places
    (gcs,) = [place.rpartition(":")[2] for place, line in places.items() if "gcs_server" in line]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    stranger = subprocess.run(
        [sys.executable, "-c", TOKENLESS, f"127.0.0.1:{gcs}"],
        env=environment | {"HOME": str(tmp_path), "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert "joined" not in stranger.stdout
    assert "uthenticat" in stranger.stdout + stranger.stderr
    driver.kill()
    until(lambda: not helpers.keys() & parents().keys(), AFTER_S)
