"""Execution: chunks of client jobs, in this process or on Ray actors."""

import os

# Ray prints warnings about these unless told; set before ray is imported, and inherited by its processes.
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
