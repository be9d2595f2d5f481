"""How good a run's devices have it in the end: by what they get, which is not always the model that was trained."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from fedlite.report.words import number

if TYPE_CHECKING:
    from fedlite.report.run_data import RunData


def shipped_metric(run: RunData) -> float:
    """Return the main metric of what the devices of a run get, the mean over those that take part; NaN if untested.

    A class whose plan ships the model as it was trained has the metric of the run itself.
    """
    name = run.main.name
    trained = number((run.summary.get("metrics") or {}).get(name))
    told = {
        profile: number(one["metrics"].get(name)) if "metrics" in one else math.nan
        for one in run.summary.get("delivered") or []
        for profile in one["profiles"]
    }
    taking_part = run.fleet.filter(pl.col("excluded_reason").fill_null("") == "")
    devices = taking_part["devices"].to_numpy()
    if not told or not devices.sum():
        return trained
    return float(np.average([told.get(profile, trained) for profile in taking_part["profile"]], weights=devices))
