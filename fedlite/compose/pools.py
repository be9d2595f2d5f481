"""From settings to a pool: Ray or this process, with the journal before it."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol

from fedlite.engine.journal import JournaledPool
from fedlite.engine.pool import LocalPool, Pool
from fedlite.errors import FedliteError, UnknownNameError

if TYPE_CHECKING:
    from pathlib import Path

    from fedlite.engine.task import WorkerSpec

MOST_ACTORS = 8
"""Without `--actors`; each takes a quarter of a gigabyte."""


class Wanted(Protocol):
    """Which pool a user wants."""

    @property
    def backend(self) -> str:
        """`ray` or `local`."""
        ...

    @property
    def actors(self) -> int | None:
        """How many Ray actors, None for one per processor."""
        ...

    @property
    def ray_address(self) -> str | None:
        """Cluster to join, None to start one."""
        ...


def open_engine(wanted: Wanted) -> AbstractContextManager[None]:
    """Keep what pools run on up while several are opened one after another: Ray, where that is wanted.

    Raises
    ------
    FedliteError
        On entry, if Ray does not start.
    """
    if wanted.backend != "ray":
        return nullcontext()
    from fedlite.engine.ray_cluster import cluster

    return cluster(_actors(wanted), wanted.ray_address)


def check_backend(wanted: Wanted) -> None:
    """Refuse a backend that there is not, and a Ray address that nobody would go to or where nobody is.

    Raises
    ------
    FedliteError
        If the backend is neither "ray" nor "local", an address comes with "local", or nobody answers there.
    """
    if wanted.backend not in ("ray", "local"):
        raise UnknownNameError("backend", wanted.backend, ["ray", "local"])
    if wanted.backend == "local" and wanted.ray_address is not None:
        raise FedliteError(
            f"--ray-address: got {wanted.ray_address!r} with backend 'local', expected backend 'ray'; leave one out"
        )
    if wanted.ray_address is not None:
        from fedlite.engine.ray_cluster import check_address

        check_address(wanted.ray_address)


def open_pool(spec: WorkerSpec, wanted: Wanted, journal: Path | None, program: str = "") -> Pool:
    """Start the pool that runs chunks; what another `program` wrote into the journal is not taken.

    Raises
    ------
    UnknownNameError
        If the backend is neither "ray" nor "local".
    """
    pool: Pool
    check_backend(wanted)
    if wanted.backend == "local":
        pool = LocalPool(spec)
    else:
        from fedlite.engine.ray_pool import RayPool

        pool = RayPool(spec, _actors(wanted), wanted.ray_address)
    if journal is None:
        return pool
    try:
        return JournaledPool(pool, journal, f"{spec.digest} {program}")
    except FedliteError:
        pool.close()
        raise


def _actors(wanted: Wanted) -> int:
    return wanted.actors or min(os.cpu_count() or 1, MOST_ACTORS)
