import numpy as np
import pytest

from fedlite.errors import FedliteError, UnknownNameError
from fedlite.simulation.availability import GBOARD, Always, Diurnal, DiurnalHabits

DAY = 86_400.0
FLEET = np.arange(8_000)


@pytest.fixture(scope="module")
def people():
    return Diurnal(7)


def eligible_by_hour(availability, fleet=FLEET):
    return np.array([availability.eligible(fleet, 2 * DAY + hour * 3600.0, GBOARD).mean() for hour in range(24)])


def test_four_times_as_many_devices_are_eligible_at_night_as_by_day(people):
    share = eligible_by_hour(people)
    assert 3.0 < share.max() / share.min() < 5.0
    assert 0 <= np.argmax(share) <= 6
    assert 9 <= np.argmin(share) <= 18


def drop_out(availability, hours):
    """Share of jobs of two to three minutes whose device stops being eligible before they end, for each hour."""
    dice = np.random.default_rng(1)
    lost = []
    for hour in hours:
        start = 2 * DAY + hour * 3600.0
        ids = FLEET[availability.eligible(FLEET, start, GBOARD)]
        lost.append(availability.ends_s(ids, start, GBOARD) < start + dice.uniform(120, 180, len(ids)))
    return lost


def test_six_to_ten_percent_of_gboard_like_jobs_drop_out(people):
    lost = drop_out(people, range(0, 24, 2))
    every_device_serves = float(np.concatenate(lost).mean())
    every_hour_takes_as_many = float(np.mean([hour.mean() for hour in lost]))
    assert 0.06 < every_device_serves < every_hour_takes_as_many < 0.10


def test_more_jobs_drop_out_by_day_than_at_night(people):
    by_day, at_night = (np.concatenate(drop_out(people, hours)).mean() for hours in (range(10, 18, 2), range(0, 6, 2)))
    assert by_day > 1.5 * at_night


def test_time_zones_shift_the_night_and_flatten_the_swing():
    america = eligible_by_hour(Diurnal(7, DiurnalHabits(time_zones_h=(-6.0,))))
    assert 6 <= np.argmax(america) <= 12
    world = eligible_by_hour(Diurnal(7, DiurnalHabits(time_zones_h=(-8.0, 0.0, 8.0))))
    assert world.max() / world.min() < 2.0


def test_habits_stay_and_days_differ(people):
    nights = np.stack([people.plugged(FLEET[:2000], (day + 0.1) * DAY) for day in range(12)])
    agree = (nights[:-1] == nights[1:]).mean()
    assert 0.4 < agree < 0.95
    bed = np.stack(
        [people.next_start_s(FLEET[:300], day * DAY + 0.55 * DAY, frozenset({"plugged"})) for day in range(6)]
    )
    assert np.ptp(bed % DAY, axis=0).min() > 0


def test_a_docked_device_is_plugged_for_ever_but_for_moments():
    docked = Diurnal(3, DiurnalHabits(docked_share=1.0, unplug=0.0))
    assert docked.plugged(FLEET, 12345.0).all()
    assert np.isinf(docked.ends_s(FLEET[:10], 12345.0, frozenset({"plugged"}))).all()


def test_a_condition_that_never_comes_starts_at_infinity():
    never = Diurnal(3, DiurnalHabits(docked_share=0.0, overnight_share=0.0, topup_share=0.0))
    assert np.isinf(never.next_start_s(FLEET[:5], 0.0, GBOARD)).all()
    assert not never.plugged(FLEET, 0.0).any()


def test_no_condition_always_holds(people):
    nothing = frozenset()
    assert people.eligible(FLEET[:5], 7.0, nothing).all()
    assert np.isinf(people.ends_s(FLEET[:5], 7.0, nothing)).all()
    assert list(people.next_start_s(FLEET[:2], 7.0, nothing)) == [7.0, 7.0]


def test_an_unknown_condition_is_refused_with_the_known_ones(people):
    with pytest.raises(UnknownNameError, match="unmetered"):
        people.ends_s(FLEET[:5], 0.0, frozenset({"charging"}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"overnight_share": 1.5}, "overnight_share: got 1.5, expected a share"),
        ({"wifi_drop_s": 45.5}, "wifi_drop_s: got 45.5, expected whole seconds"),
        ({"use_by_day_s": 900.0}, "use_by_day_s: got 900.0"),
        ({"time_zones_h": ()}, "time_zones_h: got no offset"),
    ],
)
def test_impossible_habits_are_refused(change, message):
    with pytest.raises(FedliteError, match=message):
        DiurnalHabits(**change)


def test_a_million_devices_are_asked_block_by_block_with_the_same_answers(people):
    many = np.arange(40_000)
    whole = people.eligible(many, 99_999.0, GBOARD)
    assert np.array_equal(whole[33_000:33_050], people.eligible(many[33_000:33_050], 99_999.0, GBOARD))


def test_always_is_always():
    mains = Always()
    assert mains.plugged(FLEET, 5.0).all()
    assert np.isinf(mains.ends_s(FLEET[:3], 5.0, GBOARD)).all()
    assert list(mains.next_start_s(FLEET[:3], 5.0, GBOARD)) == [5.0, 5.0, 5.0]
