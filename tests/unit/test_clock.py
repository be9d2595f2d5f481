import pytest

from fedlite.errors import FedliteError
from fedlite.simulation.clock import Clock


def test_events_come_by_time_then_priority_then_order_of_insertion():
    clock = Clock()
    for time_s, priority, name in [(2, 0, "late"), (1, 1, "second"), (1, 0, "first"), (1, 1, "third")]:
        clock.schedule(time_s, name, priority)
    log = [clock.pop() for _ in range(4)]
    assert log == [(1, "first"), (1, "second"), (1, "third"), (2, "late")]
    assert clock.now_s == 2


def test_events_that_cannot_be_compared_do_no_harm():
    clock = Clock()
    clock.schedule(1.0, {"a": 1})
    clock.schedule(1.0, {"b": 2})
    assert clock.pop()[1] == {"a": 1}


@pytest.mark.parametrize("time_s", [0.5, float("nan")])
def test_the_past_is_refused(time_s):
    clock = Clock(start_s=1.0)
    with pytest.raises(FedliteError, match="expected at least the current virtual time 1"):
        clock.schedule(time_s, "x")


def test_the_clock_never_runs_backwards():
    clock = Clock(start_s=5.0)
    clock.advance(3.0)
    assert clock.now_s == 5.0
    assert clock.next_time_s() == float("inf")
    with pytest.raises(FedliteError, match="expected one to be scheduled"):
        clock.pop()
