"""The worker that runs messages through any Flower ClientApp, in an actor or in this process.

A job is one message to one node: content, metadata and the node's state come in, a reply and the new state go out.
Nothing stays behind, so that a job may run again anywhere and give the same.
"""

from __future__ import annotations

import gc
import re
import traceback
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from flwr.app import Array, Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from fedlite.engine.task import Arrays, Result, Task
from fedlite.errors import FedliteError
from fedlite.flower import compat
from fedlite.flower.app_dir import load_component
from fedlite.flower.app_time import AppCode, JobTime, adopt, app_time
from fedlite.flower.records import NUMPY
from fedlite.learning.counting import OpCounter, WorkCount
from fedlite.learning.training.place import Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

_ACCELERATED: Final = torch.cuda.is_available()
_ADDRESS: Final = re.compile(r"\b0x[0-9a-fA-F]{4,}\b")
_OLDER_METRICS: Final = "res.metrics"
"""End of the names of the records in which older clients report metrics."""
_LONGEST_TRACEBACK: Final = 8_000
"""Characters of a traceback that are kept: its end, where the error is."""


@dataclass(frozen=True)
class _Answer:
    """What a ClientApp made of a message: content or error, how long it slept, and where it raised, if it did."""

    content: RecordDict | Error
    context: Context
    slept_s: float
    traceback: str = ""
    place: str = ""


class AppWorker:
    """Runs and counts the jobs of one ClientApp.

    Parameters
    ----------
    data : arrays
        Nothing: an app brings its own data.
    client : str
        The ClientApp, as `package.module:app`.
    folder : str
        The app's directory, "" if the app is importable as it is. It must be there on every machine of a cluster.
    run_config : mapping
        What the app's contexts hold as `run_config`.
    run_id : int
    accelerator : mapping, optional
        Fields of the `Accelerator` that must be here. Whether the app uses it is its own affair.
    """

    def __init__(
        self,
        data: Arrays,
        client: str,
        folder: str,
        run_config: Mapping[str, Any],
        run_id: int,
        accelerator: Mapping[str, str] | None = None,
    ) -> None:
        del data
        self._place = Place.of(accelerator)
        self._client = client
        self._folder = Path(folder) if folder else None
        self._code = AppCode(self._folder, client.partition(":")[0].partition(".")[0])
        self._run_config = dict(run_config)
        self._run_id = run_id
        self._app: ClientApp | None = None
        self._ran: set[str] = set()

    def run(self, task: Task, shared: Arrays) -> Result:
        """Run the jobs of a "run" task, or count the work of those of a "count" task."""
        compat.become_server(self._run_id)
        states = unpacked(task.arrays["states"], task.arrays["state_lengths"])
        pairs = list(zip(task.meta["jobs"], states, strict=True))
        # Not strictly: an app's operation that does not repeat itself is a warning, not the end of all its clients.
        with self._place.computing(strict=False), compat.quiet_logs():
            if task.kind == "count":
                return Result({"counts": [self._count(job, state, shared) for job, state in pairs]}, {})
            ended = [self._run(job, state, shared) for job, state in pairs]
        replies, reply_lengths = packed([reply for _, reply, _ in ended])
        states_after, state_lengths = packed([state for _, _, state in ended])
        arrays: dict[str, NDArray[Any]] = {
            "replies": replies,
            "reply_lengths": reply_lengths,
            "states": states_after,
            "state_lengths": state_lengths,
        }
        return Result({"jobs": [summary for summary, _, _ in ended]}, arrays)

    def _run(self, job: Mapping[str, Any], state: bytes, shared: Arrays) -> tuple[dict[str, Any], bytes, bytes]:
        """Return a summary of a job, the bytes of its reply ("" with an error) and of the node's state after it."""
        self._ran.add(job["fields"]["id"])
        answer = self._answer(job, state, shared)
        content = answer.content
        told: dict[str, Any] = {"slept_s": answer.slept_s}
        if isinstance(content, Error):
            told |= {"traceback": answer.traceback, "place": answer.place}
            return {"error": [content.code, content.reason], "told": told}, b"", state
        received = compat.from_bytes(shared[job["content"]].tobytes())
        unchanged = bool(arrays := _array_bytes(content)) and arrays == _array_bytes(received)
        told |= {"metrics": scalars(content), "unchanged": unchanged, "finite": _is_finite(content)}
        return {"error": None, "told": told}, compat.to_bytes(content), compat.to_bytes(answer.context.state)

    def _count(self, job: Mapping[str, Any], state: bytes, shared: Arrays) -> dict[str, Any]:
        # What an app does once per process (loading data into a cache, say) must not depend on which process counts.
        if job["fields"]["id"] not in self._ran:
            self._run(job, state, shared)
        with _no_collector(), OpCounter() as counter:
            self._answer(job, state, shared)
        return as_json(counter.count)

    def _answer(self, job: Mapping[str, Any], state: bytes, shared: Arrays) -> _Answer:
        fields = job["fields"]
        message = compat.instruction(compat.from_bytes(shared[job["content"]].tobytes()), fields)
        context = compat.new_context(self._run_id, fields["node"], dict(job["node_config"]), dict(self._run_config))
        if state:
            context.state = compat.from_bytes(state)
        app, passed = self._loaded(), JobTime(job["start_s"])
        with seeded(job["seed"]), app_time(self._code, passed):
            try:
                answer = app(message, context)
                _check(answer, context, self._run_config)
            # This is the border to code that is not ours: whatever it raises is this one client's failure, as it would
            # be on a device, and must not end the run of the others. So is the end of its program.
            except (Exception, SystemExit) as error:  # noqa: BLE001
                reason = _steady(f"{type(error).__name__}: {error}")
                raised = Error(compat.ERROR_CLIENT_RAISED, reason)
                return _Answer(raised, context, passed.slept_s, _traceback(error), self._raised_at(error))
        return _Answer(answer.error if answer.has_error() else answer.content, context, passed.slept_s)

    def _raised_at(self, error: BaseException) -> str:
        """Return file and line of the innermost of the app's own code that an error came through, "" if of none."""
        frames = [
            (each.f_globals, each.f_code.co_filename, line) for each, line in traceback.walk_tb(error.__traceback__)
        ]
        own = [f"{Path(file).name}:{line}" for names, file, line in frames if self._code.owns(names)]
        return own[-1] if own else ""

    def _loaded(self) -> ClientApp:
        if self._app is None:
            self._app = load_client(self._client, self._folder)
            adopt(self._code)
        return self._app


def load_client(reference: str, folder: Path | None) -> ClientApp:
    """Import a ClientApp, from an app's folder if one is given.

    Raises
    ------
    FedliteError
        If it cannot be imported, or is none.
    """
    app = load_component(reference, folder)
    if not isinstance(app, ClientApp):
        raise FedliteError(
            f"{reference}: got a {type(app).__name__}, expected a flwr.clientapp.ClientApp; name the ClientApp object"
        )
    return app


def _check(answer: object, context: Context, run_config: Mapping[str, Any]) -> None:
    """Refuse what Flower refuses; the caller turns it into the client's error."""
    if not isinstance(answer, Message):
        raise TypeError(f"the ClientApp returned a {type(answer).__name__}, expected a Message")
    if dict(context.run_config) != run_config:
        raise ValueError("the ClientApp changed its run_config, which is the same for all nodes; use context.state")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the process-wide generators that app code draws from, and put them back afterwards."""
    torch_state = torch.get_rng_state()
    with compat.seeded_globals(seed):
        # `torch.manual_seed` takes a millisecond where there is no accelerator, a third of a small client's job.
        torch.default_generator.manual_seed(seed)
        if _ACCELERATED:
            torch.cuda.manual_seed_all(seed)
        try:
            yield
        finally:
            torch.set_rng_state(torch_state)


@contextmanager
def _no_collector() -> Iterator[None]:
    """Keep the garbage collector from deciding, by its own timing, which tensors count as alive."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _steady(text: str) -> str:
    """Return a text without addresses of objects, which differ from process to process."""
    return _ADDRESS.sub("0x...", text)


def _traceback(error: BaseException) -> str:
    """Return where something was raised, without the frames of those who called the app."""
    called = error.__traceback__.tb_next if error.__traceback__ is not None else None
    return _steady("".join(traceback.format_exception(error.with_traceback(called))))[-_LONGEST_TRACEBACK:]


def _array_bytes(record: RecordDict) -> list[bytes]:
    """Return the arrays of a record as bytes, in order, whatever they are called."""
    return [array.data for arrays in record.array_records.values() for array in arrays.values()]


def _is_finite(record: RecordDict) -> bool:
    """Tell whether all numbers in the arrays of a record are; what fedlite cannot read is none of its business."""
    arrays = [array for arrays in record.array_records.values() for array in arrays.values()]
    return all(_all_finite(array) for array in arrays if array.stype == NUMPY)


def _all_finite(array: Array) -> bool:
    # Older clients tell no type, so that it has to be read.
    if array.dtype and not array.dtype.startswith(("float", "complex")):
        return True
    try:
        values = array.numpy()
    except ValueError:
        return True
    return values.dtype.kind not in "fc" or bool(np.isfinite(values).all())


def scalars(record: RecordDict) -> dict[str, float]:
    """Return the metrics of a reply that are one number each, under their own names; of equal names the first.

    Older clients put theirs into a config.
    """
    found: dict[str, float] = {}
    records: list[Any] = [*record.metric_records.values()]
    records += [config for name, config in record.config_records.items() if name.endswith(_OLDER_METRICS)]
    for metrics in records:
        found = {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)} | found
    return found


def as_json(count: WorkCount) -> dict[str, Any]:
    """Return a count as JSON values."""
    return {
        "forward_macs": {str(op): macs for op, macs in sorted(count.forward_macs.items())},
        "backward_macs": {str(op): macs for op, macs in sorted(count.backward_macs.items())},
        "bytes_moved": count.bytes_moved,
        "elementwise_bytes": count.elementwise_bytes,
        "ops": count.ops,
        "optimizer_steps": count.optimizer_steps,
        "peak_bytes": count.peak_bytes,
    }


def packed(parts: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Join byte strings into one array, and tell their lengths."""
    return np.frombuffer(b"".join(parts), dtype=np.uint8), np.array([len(part) for part in parts], dtype=np.int64)


def unpacked(joined: NDArray[np.uint8], lengths: NDArray[np.int64]) -> list[bytes]:
    """Undo `packed`."""
    ends = np.cumsum(lengths).tolist()
    return [joined[end - length : end].tobytes() for end, length in zip(ends, lengths.tolist(), strict=True)]
