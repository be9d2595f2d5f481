"""What is known of a configuration before it is measured, as named numbers: the covariates of the latency model.

A covariate is a number ("log2_threads") or membership of a kind ("core:a76", "engine:ncnn"); an absent one is zero.
Every fitted slope belongs to a name, so that a kind the fit never saw simply has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fedlite.devices.cores import Cores
    from fedlite.devices.mcu_cores import Mcu

_YEAR_ZERO, _YEARS = 2021.0, 3.0


def of_cpu(cores: Cores, engine: str, year: int, arithmetic: str, threads: int) -> dict[str, float]:
    """Return the covariates of a configuration on application cores.

    Parameters
    ----------
    cores : Cores
    engine, year
        See `runtimes.Runtime`.
    arithmetic : str
        "fp32", "fp16", "int8" or "int16".
    threads : int
    """
    speed, slow = cores.spread(threads)
    log2_threads = float(np.log2(max(speed, 1.0)))
    half = float(arithmetic == "fp16")
    known = {
        "log2_threads": log2_threads,
        "little_share": slow,
        "in_order": float(cores.in_order),
        "half": half,
        "half_threads": half * log2_threads,
        "dot": float(cores.dot_math and arithmetic == "int8"),
        "int8": float(arithmetic == "int8"),
        "int16": float(arithmetic == "int16"),
        "year": (year - _YEAR_ZERO) / _YEARS,
        "log2_lanes": float(np.log2(cores.lanes)),
        f"core:{cores.kind or 'unknown'}": 1.0,
        f"engine:{engine}": 1.0,
        f"mode:{engine}-{arithmetic}": 1.0,
        f"math:{cores.kind or 'unknown'}-{arithmetic}": 1.0,
    }
    return {name: value for name, value in known.items() if value}


def of_mcu(mcu: Mcu, engine: str, *, float_math: bool) -> dict[str, float]:
    """Return the covariates of a configuration on a microcontroller."""
    known = {
        "float": float(float_math),
        "log2_lanes": float(np.log2(mcu.lanes(float_math=float_math))),
        f"core:{mcu.kind or 'unknown'}": 1.0,
        f"engine:{engine}": 1.0,
    }
    return {name: value for name, value in known.items() if value}


def of_accelerator(family: str, arithmetic: str, engine: str) -> dict[str, float]:
    """Return the covariates of a configuration on a GPU, an NPU or another accelerator."""
    return {f"kind:{family}": 1.0, f"engine:{engine}": 1.0} | ({"int8": 1.0} if arithmetic == "int8" else {})
