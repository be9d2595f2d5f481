"""How the daily habits of `Diurnal` compare with production (Bonawitz et al. 2019, section 9).

python benchmarks/availability.py [--devices 20000] [--seeds 4]
"""

import argparse
import time

import numpy as np

from fedlite.simulation.availability import GBOARD, Diurnal

DAY_S, HOUR_S = 86_400.0, 3_600.0
JOB_S = (120.0, 180.0)


def measure(people: Diurnal, ids: np.ndarray, dice: np.random.Generator) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the eligible share and the lost jobs of every hour of one day."""
    share, lost = [], []
    for hour in range(24):
        start = 3 * DAY_S + hour * HOUR_S
        able = ids[people.eligible(ids, start, GBOARD)]
        share.append(len(able) / len(ids))
        lost.append(people.ends_s(able, start, GBOARD) < start + dice.uniform(*JOB_S, len(able)))
    return np.array(share), lost


def main() -> None:
    """Print one line per seed, then what a million devices cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=4)
    given = parser.parse_args()
    ids = np.arange(given.devices)
    print("seed  swing  lost, all serve  lost, same per hour  lost 10-18 h  lost 0-6 h")
    for seed in range(given.seeds):
        share, lost = measure(Diurnal(seed), ids, np.random.default_rng(seed))
        by_hour = np.array([hour.mean() for hour in lost])
        print(
            f"{seed:4}  {share.max() / share.min():5.2f}  {np.concatenate(lost).mean():15.1%}  {by_hour.mean():19.1%}"
            f"  {by_hour[10:18].mean():12.1%}  {by_hour[:6].mean():10.1%}"
        )
    million, people = np.arange(1_000_000), Diurnal(0)
    for name in ("plugged", "unmetered", "idle"):
        begin = time.process_time()
        getattr(people, name)(million, 100_000.0)
        print(f"{name} of a million devices: {time.process_time() - begin:.2f} s of one core")
    for name in ("eligible", "ends_s", "next_start_s"):
        begin = time.process_time()
        getattr(people, name)(million, 100_000.0, GBOARD)
        print(f"{name} of a million devices, all three conditions: {time.process_time() - begin:.2f} s of one core")


if __name__ == "__main__":
    main()
