"""The `schema` key: which version of the keys a file means."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fedlite.scenario.migrations import CURRENT
from fedlite.scenario.quantities import Means

SchemaVersion = Annotated[int, Field(ge=1, le=CURRENT), Means(f"`{CURRENT}`, or that of an earlier version")]
