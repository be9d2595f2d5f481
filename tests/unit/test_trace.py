import numpy as np
import pytest

from fedlite.compose.fleet import of_section
from fedlite.errors import FedliteError, InvalidFileError
from fedlite.scenario.loader import load_scenario
from fedlite.scenario.profiles import load_profile
from fedlite.simulation.trace import TraceReplay, build_trace, read_trace

PLUGGED = frozenset({"plugged"})
GOOD = """device,start_s,end_s,state
b,50,70,plugged
a,10,20,plugged
a,20,30,plugged
a,25,40,plugged
a,0,100,unmetered
"""


@pytest.fixture
def replay(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text(GOOD)
    return TraceReplay(read_trace(path), 1, shuffle=False)


def test_touching_and_overlapping_intervals_are_one(replay):
    assert list(replay.ends_s(np.array([0]), 12.0, PLUGGED)) == [40.0]


def test_states_hold_from_their_start_and_not_at_their_end(replay):
    a = np.array([0, 0, 0, 0])
    assert list(replay.plugged(a, np.array([9.0, 10.0, 39.0, 40.0]))) == [False, True, True, False]


def test_the_next_start_is_found_in_the_next_round_too(replay):
    assert list(replay.next_start_s(np.array([0, 0, 1]), np.array([0.0, 40.0, 70.0]), PLUGGED)) == [10.0, 110.0, 150.0]


def test_a_state_that_was_never_recorded_never_comes(replay):
    assert np.isinf(replay.next_start_s(np.array([0, 1]), 0.0, frozenset({"idle"}))).all()
    assert np.isinf(replay.next_start_s(np.array([1]), 0.0, frozenset({"unmetered"}))).all()


def test_a_state_that_fills_the_recording_never_ends(replay):
    assert np.isinf(replay.ends_s(np.array([0]), 30.0, frozenset({"unmetered"})))


def test_devices_follow_recorded_devices_in_turn_or_by_lot(replay):
    assert list(replay.followed(np.array([0, 1, 2, 3]))) == [0, 1, 0, 1]
    lots = TraceReplay(replay.trace, 1).followed(np.arange(1000))
    assert 0.4 < lots.mean() < 0.6


def test_intervals_run_on_over_the_seam_of_two_rounds():
    trace = build_trace({"plugged": [("a", 0.0, 5.0), ("a", 90.0, 100.0)], "unmetered": [], "idle": []})
    assert list(TraceReplay(trace, 1).ends_s(np.array([0]), 95.0, PLUGGED)) == [105.0]


def test_a_longer_period_leaves_a_gap_at_the_seam():
    trace = build_trace({"plugged": [("a", 0.0, 100.0)], "unmetered": [], "idle": []})
    replay = TraceReplay(trace, 1, period_s=150.0)
    assert list(replay.ends_s(np.array([0]), 95.0, PLUGGED)) == [100.0]
    assert list(replay.next_start_s(np.array([0]), 100.0, PLUGGED)) == [150.0]


def test_a_period_shorter_than_the_recording_is_refused(replay):
    with pytest.raises(FedliteError, match="at least the recording's 100 s"):
        TraceReplay(replay.trace, 1, period_s=50.0)


def test_every_mistake_of_a_file_is_reported_with_its_line_and_column(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("device,start_s,end_s,state\na,1,2\n,1,2,idle\na,x,2,idle\na,5,2,idle\na,1,2,asleep\na,1,2,idle\n")
    with pytest.raises(InvalidFileError) as caught:
        read_trace(path)
    found = [(p.line, p.column, p.key) for p in caught.value.problems]
    assert found == [(2, 1, "line"), (3, 1, "device"), (4, 3, "start_s"), (5, 5, "end_s"), (6, 7, "state")]
    assert f"{path}:6:7: state: got 'asleep', expected one of plugged, unmetered, idle" in str(caught.value)


@pytest.mark.parametrize("text", ["", "a,b\n", "device,start_s,end_s,state\n"])
def test_a_file_without_header_or_lines_is_refused(tmp_path, text):
    path = tmp_path / "empty.csv"
    path.write_text(text)
    with pytest.raises(InvalidFileError, match=r"empty\.csv:1:1"):
        read_trace(path)


def test_a_missing_file_is_refused_with_its_path(tmp_path):
    with pytest.raises(FedliteError, match=r"none\.csv: cannot be read"):
        read_trace(tmp_path / "none.csv")


HOUR_S = 3600.0
EVENING = """
name: evening
fleet:
  devices: 3
  mix: {pixel-8: 1}
  start: START
  availability: {kind: trace, file: trace.csv}
  rules: {charging: true, unmetered: false, idle: false}
task: {data: digits, model: mlp}
training: {rounds: 1, clients_per_round: 1}
"""


@pytest.mark.parametrize(
    ("start", "waits_h"), [("Mon 00:00", 20), ("Mon 19:00", 1), ("Mon 20:30", 0), ("Tue 00:00", 44), ("Wed 00:00", 20)]
)
def test_second_0_is_monday_midnight_and_a_run_begins_where_its_start_says(tmp_path, start, waits_h):
    lines = ["device,start_s,end_s,state", f"a,{20 * HOUR_S},{21 * HOUR_S},plugged", f"a,0,{48 * HOUR_S},unmetered"]
    (tmp_path / "trace.csv").write_text("\n".join(lines))
    (tmp_path / "evening.yaml").write_text(EVENING.replace("START", start))
    section = load_scenario(tmp_path / "evening.yaml").fleet
    fleet = of_section(section, 1, [load_profile("pixel-8")])
    assert len(fleet.eligible(section.start_s)) == (0 if waits_h else 3)
    if waits_h:
        begins_s = section.start_s + waits_h * HOUR_S
        assert len(fleet.eligible(begins_s - 1)) == 0
        assert len(fleet.eligible(begins_s)) == 3


def test_a_scenario_says_the_period(tmp_path):
    from fedlite.compose.fleet import _availability
    from fedlite.scenario.loader import load_fleet

    (tmp_path / "trace.csv").write_text("device,start_s,end_s,state\na,0,100,plugged\n")
    path = tmp_path / "x.yaml"
    text = "name: x\nfleet: {devices: 2, mix: mixed, availability: {kind: trace, file: trace.csv, period: 7 d}}\n"
    path.write_text(text)
    assert _availability(load_fleet(path).fleet, 1).period_s == 604_800
    path.write_text(text.replace("7 d", "50 s"))
    with pytest.raises(FedliteError, match="period: got 50 s, expected at least the recording's 100 s"):
        _availability(load_fleet(path).fleet, 1)
