"""Schema 1 -> 2: what is handed on to somebody's factory is called `options` everywhere, as a model's always were."""

from __future__ import annotations

from typing import Final

from fedlite.scenario.migrations.renaming import KeyRename

RENAMED: Final = (
    KeyRename(("task", "partition"), "arguments", "options"),
    KeyRename(("training", "strategy"), "arguments", "options"),
)
