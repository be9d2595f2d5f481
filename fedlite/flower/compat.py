"""Every touch of what Flower keeps private, in one place, for flwr 1.31 to the newest; older servers are in `legacy`.

Public names come from `flwr.app`, `flwr.serverapp` and `flwr.clientapp`. Private and version-dependent are: the task
identity that instruction messages read (1.38 and later), the message ids that only a SuperLink writes, the protobuf
forms, and the name through which the sampling function sleeps.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import importlib
import inspect
import logging
import os
import random
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import numpy as np

# Flower phones home unless told otherwise; set before flwr is imported.
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")

import flwr
from flwr.app import ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict

from fedlite.flower.records import from_record, in_types, to_record, types_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

VERSION: Final = str(getattr(flwr, "__version__", "unknown"))

SUPERLINK_NODE_ID: Final = 1
ERROR_CLIENT_RAISED: Final = 2
ERROR_MESSAGE_UNAVAILABLE: Final = 3
ERROR_NODE_UNAVAILABLE: Final = 5

CLIPPING_NORM_KEY: Final = "clipping_norm"
NORM_BIT_KEY: Final = "norm_bit"
"""What Flower's differential-privacy wrappers send and expect (`flwr.supercore.differential_privacy`)."""


def become_server(run_id: int) -> None:
    """Let this process create instruction messages: releases from 1.38 on read the sender's identity from a class."""
    try:
        module = importlib.import_module("flwr.supercore.task_identity")
    except ModuleNotFoundError:
        return
    identity = module.TaskIdentity
    identity.run_id, identity.node_id, identity.task_id = run_id, SUPERLINK_NODE_ID, 1


def set_ids(message: Message, message_id: str, run_id: int) -> None:
    """Give a message the ids that a SuperLink would; metadata has no setter for them."""
    fields = message.metadata.__dict__
    fields["_message_id"], fields["_run_id"] = message_id, run_id
    if not fields.get("_src_node_id"):
        fields["_src_node_id"] = SUPERLINK_NODE_ID


def reply(message: Message, content: RecordDict | Error, message_id: str) -> Message:
    """Return the reply to a message with a deterministic id."""
    answer = Message(content, reply_to=message)
    answer.metadata.__dict__["_message_id"] = message_id
    return answer


def instruction(content: RecordDict, fields: Mapping[str, Any]) -> Message:
    """Rebuild, in another process, an instruction message from its content and the fields that `fields_of` gave."""
    message = Message(content, fields["node"], fields["type"], ttl=fields["ttl"], group_id=fields["group"])
    set_ids(message, fields["id"], fields["run"])
    return message


def fields_of(message: Message) -> dict[str, Any]:
    """Return what a client may read of a message beside its content, as JSON values."""
    metadata = message.metadata
    return {
        "id": metadata.message_id,
        "run": metadata.run_id,
        "node": metadata.dst_node_id,
        "type": metadata.message_type,
        "ttl": metadata.ttl,
        "group": metadata.group_id,
    }


def error_bytes(error: Error) -> int:
    """Return the length of an error in the protobuf form in which Flower sends it."""
    for name in ("flwr.common.serde_utils", "flwr.common.serde", "flwr.supercore.serde"):
        with contextlib.suppress(ModuleNotFoundError, AttributeError):
            return len(importlib.import_module(name).error_to_proto(error).SerializeToString(deterministic=True))
    raise ImportError(f"flwr {VERSION} has its protobuf forms in none of the places that fedlite knows")


def exits() -> tuple[type[Exception], ...]:
    """Return the exceptions by which Flower's server side ends a run on purpose; older releases have fewer."""
    found: list[type[Exception]] = []
    for place, name in (
        ("flwr.app.exception", "AppExitException"),
        ("flwr.serverapp.exception", "AppExitException"),
        ("flwr.serverapp.exception", "InconsistentMessageReplies"),
    ):
        with contextlib.suppress(ModuleNotFoundError, AttributeError):
            found.append(getattr(importlib.import_module(place), name))
    return tuple(found)


class StartObserver(Protocol):
    """Learns what strategies do while a ServerApp runs; a ServerApp itself returns nothing."""

    def begin(self, rounds: int, strategy: Any) -> None:
        """Note that a strategy starts, for so many rounds (0 if it does not say)."""

    def evaluated(self, round_: int, metrics: Mapping[str, Any]) -> None:
        """Note what a strategy's `evaluate_fn` said of the global model."""

    def end(self, result: Any) -> None:
        """Note a strategy's `Result`, its arrays in the types of those that it started with."""


@contextlib.contextmanager
def observed_starts(observer: StartObserver) -> Iterator[None]:
    """Tell an observer of every `Strategy.start`, that of subclasses with a `start` of their own included."""
    base = importlib.import_module("flwr.serverapp.strategy").Strategy
    classes = [each for each in [base, *_subclasses(base)] if "start" in vars(each)]
    originals = {each: vars(each)["start"] for each in classes}
    running: list[None] = []
    for each, original in originals.items():
        each.start = _observed(original, observer, running)
    try:
        yield
    finally:
        for each, original in originals.items():
            each.start = original


def _observed(start: Callable[..., Any], observer: StartObserver, running: list[None]) -> Callable[..., Any]:
    @functools.wraps(start)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if running:  # a subclass called its parent's
            return start(*args, **kwargs)
        bound = inspect.signature(start).bind(*args, **kwargs)
        bound.apply_defaults()
        evaluate = bound.arguments.get("evaluate_fn")
        if evaluate is not None:

            def watched(round_: int, record: ArrayRecord) -> MetricRecord | None:
                metrics = evaluate(round_, record)
                if metrics is not None:
                    observer.evaluated(round_, metrics)
                return cast("MetricRecord | None", metrics)

            bound.arguments["evaluate_fn"] = watched
        observer.begin(int(bound.arguments.get("num_rounds") or 0), args[0] if args else None)
        running.append(None)
        try:
            result = start(*bound.args, **bound.kwargs)
        finally:
            running.pop()
        observer.end(_in_types_of(bound.arguments.get("initial_arrays"), result))
        return result

    return wrapper


def _in_types_of(initial: Any, result: Any) -> Any:
    """Return a strategy's `Result` whose final arrays have the types of the initial ones, where both are there."""
    final = getattr(result, "arrays", None)
    if not isinstance(initial, ArrayRecord) or not isinstance(final, ArrayRecord) or list(initial) != list(final):
        return result
    typed = in_types(from_record(final), types_of(from_record(initial)))
    return dataclasses.replace(result, arrays=to_record(list(final), typed))


def _subclasses(base: type) -> list[type]:
    direct: list[type] = base.__subclasses__()
    return [*direct, *(deeper for each in direct for deeper in _subclasses(each))]


def new_context(run_id: int, node_id: int, node_config: dict[str, Any], run_config: dict[str, Any]) -> Context:
    """Return a node's context with empty state; `series_id` exists only in some releases."""
    arguments: dict[str, Any] = {
        "run_id": run_id,
        "node_id": node_id,
        "node_config": node_config,
        "state": RecordDict(),
        "run_config": run_config,
    }
    if "series_id" in inspect.signature(Context.__init__).parameters:
        arguments["series_id"] = 0
    return Context(**arguments)


def _serde() -> Any:
    for name in ("flwr.common.serde", "flwr.supercore.serde", "flwr.compat.common.serde"):
        with contextlib.suppress(ModuleNotFoundError):
            return importlib.import_module(name)
    raise ImportError(f"flwr {VERSION} has its protobuf forms in none of the places that fedlite knows")


def to_bytes(record: RecordDict) -> bytes:
    """Return a RecordDict in the protobuf form in which Flower sends it."""
    return cast("bytes", _serde().recorddict_to_proto(record).SerializeToString(deterministic=True))


def from_bytes(buffer: bytes) -> RecordDict:
    """Return the RecordDict of a protobuf form."""
    proto_class = importlib.import_module("flwr.proto.recorddict_pb2").RecordDict
    return cast("RecordDict", _serde().recorddict_from_proto(proto_class.FromString(buffer)))


@contextlib.contextmanager
def virtual_sleep(wait: Callable[[], None]) -> Iterator[None]:
    """Make Flower's node sampling wait in virtual time: it sleeps a real second per poll while nodes are too few."""
    module: Any = importlib.import_module("flwr.serverapp.strategy.strategy_utils")
    real = module.sleep
    module.sleep = lambda _seconds: wait()
    try:
        yield
    finally:
        module.sleep = real


@contextlib.contextmanager
def seeded_globals(seed: int) -> Iterator[None]:
    """Seed the process-wide generators that Flower's sampling and noise draw from, and put them back afterwards."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    # Flower and the apps draw from these and take no generator; fedlite's own draws come from named streams.
    random.seed(seed)
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


@contextlib.contextmanager
def cheap_collections() -> Iterator[None]:
    """Spare the garbage collector what lives already: QFedAvg and Bulyan collect once per reply, 0.15 s each time."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextlib.contextmanager
def quiet_logs(level: int = logging.ERROR) -> Iterator[None]:
    """Hold back Flower's log lines below a level; fedlite tells the same in its own words."""
    logger = logging.getLogger("flwr")
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)


__all__ = [
    "CLIPPING_NORM_KEY",
    "ERROR_CLIENT_RAISED",
    "ERROR_MESSAGE_UNAVAILABLE",
    "ERROR_NODE_UNAVAILABLE",
    "NORM_BIT_KEY",
    "SUPERLINK_NODE_ID",
    "VERSION",
    "ArrayRecord",
    "ConfigRecord",
    "Context",
    "Error",
    "Message",
    "MetricRecord",
    "RecordDict",
    "StartObserver",
    "become_server",
    "cheap_collections",
    "error_bytes",
    "exits",
    "fields_of",
    "from_bytes",
    "instruction",
    "new_context",
    "observed_starts",
    "quiet_logs",
    "reply",
    "seeded_globals",
    "set_ids",
    "to_bytes",
    "virtual_sleep",
]
