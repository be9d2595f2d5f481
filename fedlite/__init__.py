"""fedlite: federated on-device learning, simulated with real training, real bytes and a checked device model.

`import fedlite` is cheap: torch, Ray and Flower are imported when something runs.
"""

from __future__ import annotations

TYPE_CHECKING = False  # of `typing`, which takes as long to import as all of this: a Ctrl-C until then is a traceback

if TYPE_CHECKING:
    from typing import Any

    from fedlite.api import (
        Settings,
        estimate,
        estimate_study,
        load_rollout,
        load_run,
        load_scenario,
        load_study,
        resume,
        run,
        sweep,
    )

__version__ = "0.1.0"

__all__ = [
    "Settings",
    "__version__",
    "estimate",
    "estimate_study",
    "load_rollout",
    "load_run",
    "load_scenario",
    "load_study",
    "resume",
    "run",
    "sweep",
]


def __getattr__(name: str) -> Any:
    """Import the Python API when it is first used (PEP 562)."""
    if name in __all__:
        from importlib import import_module

        return getattr(import_module("fedlite.api"), name)
    raise AttributeError(f"module 'fedlite' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Name what is imported on first use too, for completion."""
    return sorted({*globals(), *__all__})
