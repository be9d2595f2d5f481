"""What crosses the border between the driver and the actors: plain arrays and plain text, nothing executable.

A task is run by a `Worker` that every actor builds once from a `WorkerSpec`. Because tasks and results hold only numpy
arrays and JSON values, they have one canonical digest and can be journalled without pickle.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Task:
    """One chunk of client jobs. `meta` holds JSON values only."""

    kind: str
    meta: Mapping[str, Any]
    arrays: Arrays


@dataclass(frozen=True)
class Result:
    """What a worker made of one task. `meta` holds JSON values only."""

    meta: Mapping[str, Any]
    arrays: Arrays


class Worker(Protocol):
    """Runs tasks. Must be a pure function of (its spec, task, shared): an actor may die and the task run again."""

    def run(self, task: Task, shared: Arrays) -> Result:
        """Run one task. `shared` holds what many tasks have in common, read-only."""


@dataclass(frozen=True)
class WorkerSpec:
    """How every actor builds its worker: `module:Class` called with `options`, `where` and the shared dataset.

    `where` holds options that say where it computes and not what; they are no part of the digest.
    """

    target: str
    options: Mapping[str, Any] = field(default_factory=dict)
    data: Arrays = field(default_factory=dict)
    where: Mapping[str, Any] = field(default_factory=dict)

    def build(self, data: Arrays) -> Worker:
        """Import the target and build the worker on `data` (this spec's, possibly from shared memory)."""
        module, _, name = self.target.partition(":")
        worker: Worker = getattr(importlib.import_module(module), name)(data=data, **self.options, **self.where)
        return worker

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that a worker's results are built from."""
        return digest({"target": self.target, "options": self.options}, self.data)


def digest(meta: Mapping[str, Any], arrays: Arrays) -> str:
    """Return the SHA-256 of JSON values and arrays, independent of the order of keys."""
    sha = hashlib.sha256(json.dumps(meta, sort_keys=True).encode())
    for name in sorted(arrays):
        values = np.asarray(arrays[name], order="C")
        sha.update(f"\x1e{name}\x1f{values.dtype.str}\x1f{values.shape}\x1f".encode())
        sha.update(values.data)
    return sha.hexdigest()
