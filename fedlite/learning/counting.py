"""What arbitrary torch code really executed: multiply-accumulates, bytes, operators, optimiser steps.

Prices the client code that fedlite did not write. Counts come from the shapes of the dispatched operators, so the same
code on the same shapes gives the same count on any host; no clock is read.
"""

from __future__ import annotations

import weakref
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils._python_dispatch import TorchDispatchMode

from fedlite.devices.workload import OpClass
from fedlite.learning.operators import is_factory, is_view, tensors_in, work_of
from fedlite.learning.recurrent import RecurrentCalls
from fedlite.learning.saved import storage_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType


@dataclass(frozen=True)
class WorkCount:
    """Work done by a piece of code; adding two counts means doing one after the other."""

    forward_macs: Mapping[OpClass, int] = field(default_factory=dict)
    """Multiply-accumulates outside of backward passes, by class; classes without any are absent."""
    backward_macs: Mapping[OpClass, int] = field(default_factory=dict)
    """Multiply-accumulates of gradients."""
    bytes_moved: int = 0
    """Bytes of all operands read and results written, by every operator."""
    elementwise_bytes: int = 0
    """The part of `bytes_moved` of operators without multiply-accumulates: activations, norms, optimisers, copies."""
    ops: int = 0
    """Operators executed, views not counted."""
    optimizer_steps: int = 0
    """Calls of `step` of any torch optimiser."""
    peak_bytes: int = 0
    """Estimate of the most memory in use at once: tensors made by the code, and the trained parameters it touched."""

    @property
    def macs(self) -> dict[OpClass, int]:
        """Multiply-accumulates by class, forward and backward together."""
        return dict(Counter(self.forward_macs) + Counter(self.backward_macs))

    @property
    def total_macs(self) -> int:
        """All multiply-accumulates."""
        return sum(self.macs.values())

    def __add__(self, other: WorkCount) -> WorkCount:
        return WorkCount(
            forward_macs=dict(Counter(self.forward_macs) + Counter(other.forward_macs)),
            backward_macs=dict(Counter(self.backward_macs) + Counter(other.backward_macs)),
            bytes_moved=self.bytes_moved + other.bytes_moved,
            elementwise_bytes=self.elementwise_bytes + other.elementwise_bytes,
            ops=self.ops + other.ops,
            optimizer_steps=self.optimizer_steps + other.optimizer_steps,
            peak_bytes=max(self.peak_bytes, other.peak_bytes),
        )


class OpCounter:
    """Counts the torch work of a `with` block in this thread.

    Work of other threads and processes (data loader workers, say) and of numpy is not seen.

    Examples
    --------
    >>> with OpCounter() as counter:
    ...     _ = torch.nn.functional.linear(torch.zeros(5, 4), torch.zeros(3, 4))
    >>> counter.count.macs[OpClass.LINEAR]
    60
    """

    def __init__(self) -> None:
        self._calls = RecurrentCalls()
        self._mode = _CountingMode(self._calls)
        self._stack = ExitStack()
        self._steps = 0

    @property
    def count(self) -> WorkCount:
        """What was counted so far."""
        mode = self._mode
        return WorkCount(
            forward_macs=dict(mode.forward_macs),
            backward_macs=dict(mode.backward_macs),
            bytes_moved=mode.bytes_moved,
            elementwise_bytes=mode.elementwise_bytes,
            ops=mode.ops,
            optimizer_steps=self._steps,
            peak_bytes=mode.memory.peak_bytes,
        )

    def __enter__(self) -> Self:
        handle = register_optimizer_step_post_hook(self._stepped)
        self._stack.callback(handle.remove)
        self._stack.enter_context(self._calls)
        self._stack.enter_context(self._mode)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _stepped(self, *_: Any) -> None:
        self._steps += 1


class _CountingMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, calls: RecurrentCalls) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.forward_macs: Counter[OpClass] = Counter()
        self.backward_macs: Counter[OpClass] = Counter()
        self.bytes_moved = self.elementwise_bytes = self.ops = 0
        self.memory = _LiveMemory()
        self._calls = calls

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # spares the import of the compiler, about a second

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = dict(kwargs or {})
        if torch.is_inference_mode_enabled():  # where composite operators arrive whole
            with self:
                parts = func.decompose(*args, **options)
            if parts is not NotImplemented:
                return parts
        out = func(*args, **options)
        if not is_view(func):
            self._note(func, args, options, out)
        return out

    def _note(self, func: Any, args: Sequence[Any], options: Mapping[str, Any], out: Any) -> None:
        self.ops += 1
        work = work_of(func, args, out)
        op = OpClass.RECURRENT if self._calls.current is not None else work.op
        if work.macs:
            counter = self.backward_macs if _in_backward() else self.forward_macs
            counter[op] += work.macs
        moved = _bytes_moved(func, args, options, out, work.op)
        self.bytes_moved += moved
        if not work.macs:
            self.elementwise_bytes += moved
        self.memory.note(args, out)


class _LiveMemory:
    """The tensors alive now, and the most there ever were."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._now = 0
        self._known: set[int] = set()

    def note(self, args: Any, out: Any) -> None:
        """Count the memory of new results, and of trained parameters when they are first read."""
        foreign = {storage_key(tensor) for tensor in tensors_in(args)} - self._known
        for tensor in tensors_in(args):
            if tensor.requires_grad and tensor.is_leaf:
                self._add(tensor)
        for tensor in tensors_in(out):
            if storage_key(tensor) not in foreign:  # an operator in place, on data made elsewhere
                self._add(tensor)
        self.peak_bytes = max(self.peak_bytes, self._now)

    def _add(self, tensor: torch.Tensor) -> None:
        key, size = storage_key(tensor), tensor.untyped_storage().nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self._now += size
        weakref.finalize(tensor.untyped_storage(), self._freed, key, size).atexit = False

    def _freed(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._now -= size


def _in_backward() -> bool:
    return torch._C._current_autograd_node() is not None  # noqa: SLF001 - no public form


def _bytes_moved(func: Any, args: Sequence[Any], options: Mapping[str, Any], out: Any, op: OpClass) -> int:
    written = sum(map(_nbytes, tensors_in(out)))
    if is_factory(func):
        return written
    if op is OpClass.EMBEDDING:  # reads the rows that it writes, not the whole table
        return 2 * written + _nbytes(args[1])
    if not func._schema.returns:  # noqa: SLF001 - operators over lists of tensors return nothing and write in place
        for argument, value in zip(func._schema.arguments, args, strict=False):  # noqa: SLF001
            if argument.alias_info is not None and argument.alias_info.is_write:
                written += sum(map(_nbytes, tensors_in(value)))
    return written + sum(map(_nbytes, tensors_in([*args, *options.values()])))


def _nbytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()
