"""The journal: results of finished chunks, kept so that an interrupted run continues to the bit-identical end.

Everything but training is cheap and deterministic. A resumed run therefore starts from the beginning and does it all
again, except that chunks whose result is in the journal are not trained: they are read. This serves any server app,
needs no hook in it, and does not care at which moment the run was killed.

One file holds one record per chunk, appended when the chunk is collected:

    8 bytes length | 32 bytes SHA-256 of the body | body: safetensors(arrays, metadata={key, meta})

Nothing is compressed: trained numbers hardly shrink, and a round would wait for it.

A torn or damaged record ends the journal; it and what follows are dropped and trained again.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from fedlite.engine.pool import Pool, Shared, Ticket
from fedlite.engine.task import Arrays, Result, Task, digest
from fedlite.errors import unwritten

if TYPE_CHECKING:
    from pathlib import Path

_HEAD = struct.Struct("<Q32s")
_MAX_RECORD_BYTES = 2**34


class JournaledPool:
    """A pool that looks each task up in a journal first and notes down what another pool made of the rest.

    Parameters
    ----------
    pool : Pool
        Runs what is not in the journal.
    path : Path
        The journal; created if missing, continued if there.
    worker : str
        Digests of what the pool's workers are built from and of the program: a result of others is never taken.

    Raises
    ------
    FedliteError
        If the journal cannot be read or written.
    """

    def __init__(self, pool: Pool, path: Path, worker: str = "") -> None:
        self._pool = pool
        self._path = path
        self._worker = worker
        try:
            self._offsets, end = _scan(path)
            self._file = path.open("r+b" if path.exists() else "w+b")
            self._file.truncate(end)
        except OSError as error:
            raise unwritten(path, error) from error
        self.found = 0
        """Chunks read from the journal instead of being trained."""

    @property
    def description(self) -> str:
        """What runs the tasks that are not in the journal."""
        return self._pool.description

    def share(self, arrays: Arrays) -> Shared:
        """Share through the pool behind, and name the arrays by their content."""
        return Shared(arrays, (self._pool.share(arrays), digest({}, arrays)))

    def submit(self, task: Task, shared: Shared) -> Ticket:
        """Start a task unless the journal knows its result."""
        inner_shared, shared_digest = shared.handle
        named = (self._worker, task.kind, digest(task.meta, task.arrays), shared_digest)
        key = hashlib.sha256("\x1f".join(named).encode()).hexdigest()
        if key in self._offsets:
            return Ticket(task, shared, (key, None))
        return Ticket(task, shared, (key, self._pool.submit(task, inner_shared)))

    def collect(self, ticket: Ticket) -> Result:
        """Return a result, from the journal where it is there."""
        key, inner = ticket.handle
        if inner is None:
            self.found += 1
            return _read(self._file, self._offsets[key])
        result = self._pool.collect(inner)
        if key not in self._offsets:
            try:
                self._offsets[key] = _append(self._file, key, result)
            except OSError as error:
                raise unwritten(self._path, error) from error
        return result

    def close(self) -> None:
        """Close the journal and the pool."""
        try:
            self._file.close()
        except OSError:
            # A full disk, told of when the record was written: closing writes what is left of it once more.
            pass
        finally:
            self._pool.close()


def _append(file: BinaryIO, key: str, result: Result) -> int:
    tensors = {name: np.asarray(values, order="C") for name, values in result.arrays.items()}
    body = save(tensors, metadata={"key": key, "meta": json.dumps(result.meta)})
    file.seek(0, io.SEEK_END)
    offset = file.tell()
    file.write(_HEAD.pack(len(body), hashlib.sha256(body).digest()))
    file.write(body)
    file.flush()
    return offset


def _read(file: BinaryIO, offset: int) -> Result:
    file.seek(offset)
    length, _ = _HEAD.unpack(file.read(_HEAD.size))
    body = file.read(length)
    return Result(json.loads(_metadata(body)["meta"]), load(body))


def _metadata(body: bytes) -> dict[str, Any]:
    # safetensors: 8 bytes little-endian header length, then a JSON header with the metadata under one key.
    (length,) = struct.unpack_from("<Q", body)
    header: dict[str, Any] = json.loads(body[8 : 8 + length])
    metadata: dict[str, Any] = header["__metadata__"]
    return metadata


def _scan(path: Path) -> tuple[dict[str, int], int]:
    """Return where each sound record starts, by its key, and where the sound part of the file ends."""
    offsets: dict[str, int] = {}
    end = 0
    if not path.exists():
        return offsets, end
    with path.open("rb") as file:
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            length, checksum = _HEAD.unpack(head)
            body = file.read(length) if length <= _MAX_RECORD_BYTES else b""
            if len(body) != length or hashlib.sha256(body).digest() != checksum:
                break
            try:
                key = _metadata(body)["key"]
            except (SafetensorError, ValueError, KeyError, struct.error):
                break
            offsets[key] = end
            end = file.tell()
    return offsets, end
