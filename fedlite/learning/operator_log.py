"""A record of every operator of one forward pass: its work, its module, and the memory it reads and writes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch.utils._python_dispatch import TorchDispatchMode

from fedlite.devices.workload import OpClass
from fedlite.learning.frozen import frozen_weights
from fedlite.learning.operators import OpWork, is_factory, is_view, tensors_in, work_of
from fedlite.learning.recurrent import RecurrentCall, RecurrentCalls
from fedlite.learning.saved import ModuleStack, Place, state_keys, storage_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import torch
    from torch import nn


@dataclass(frozen=True)
class Record:
    """One executed operator (or one whole recurrent call)."""

    place: Place
    name: str
    work: OpWork
    params: int
    frozen: int
    out_elements: int
    call: RecurrentCall | None = None
    per_step: bool = False


class OperatorLog(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records what runs while it is active; run `calls` around it so that recurrent layers are recognised."""

    def __init__(self, model: nn.Module, inputs: torch.Tensor, stack: ModuleStack) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls = RecurrentCalls()
        self._stack = stack
        self._leaves = {path for path, module in model.named_modules() if not any(module.children())}
        self._parameters = {storage_key(p): p.numel() for p in model.parameters() if p.requires_grad}
        self._frozen = frozen_weights(model)
        self._own = state_keys(model)
        self._fixed = set(self._own)
        """Storages of the state, and of what was computed from them alone: the same for every sample."""
        self._records: list[Record] = []
        self._alive: list[torch.Tensor] = []  # holds every storage, so that no identity is used twice
        self._life: dict[int, tuple[int, int, int]] = {}  # storage -> bytes, first and last operator
        self._clock = 0
        self.keep(inputs)

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
        """Run one operator and note it."""
        out = func(*args, **(kwargs or {}))
        self._clock += 1
        self.keep([args, list((kwargs or {}).values()), out])
        reads = [tensor for tensor in tensors_in(args) if storage_key(tensor) not in self._own]
        keys = [storage_key(tensor) for tensor in tensors_in(args)]
        fixed = bool(keys) and self._fixed.issuperset(keys)
        made = [storage_key(tensor) for tensor in tensors_in(out)]
        if fixed:
            self._fixed.update(made)
        if keys and not is_view(func) and not is_factory(func):
            params, frozen = (
                self._claimed(kind, keys, made if fixed else []) for kind in (self._parameters, self._frozen)
            )
            self._note(func, args, out, reads, params=params, frozen=frozen, per_step=fixed)
        return out

    @staticmethod
    def _claimed(weights: dict[int, int], keys: Sequence[int], made: Sequence[int]) -> int:
        """Return the weights that an operator reads first; if it made something of weights alone, they go with that.

        Weights belong to the operator that meets the samples with what was made of them.
        """
        found = sum(weights.pop(key, 0) for key in keys)
        if made and found:
            weights[made[0]] = weights.get(made[0], 0) + found
            return 0
        return found

    def keep(self, value: Any) -> None:
        """Count the memory of these tensors as in use now."""
        for tensor in tensors_in(value):
            key = storage_key(tensor)
            if key in self._own:
                continue
            self._alive.append(tensor)
            size, born, _ = self._life.get(key, (tensor.untyped_storage().nbytes(), self._clock, 0))
            self._life[key] = (size, born, self._clock)

    def peak_bytes(self) -> int:
        """Return the largest memory of activations in use at one operator, each freed after its last use."""
        change = [0] * (self._clock + 2)
        for size, born, last in self._life.values():
            change[born] += size
            change[last + 1] -= size
        peak = now = 0
        for step in change:
            now += step
            peak = max(peak, now)
        return peak

    def merged(self) -> Iterator[Record]:
        """Yield the records in order, each recurrent call as one."""
        group: list[Record] = []
        for record in self._records:
            if group and record.call != group[0].call:
                yield _merge(group)
                group = []
            if record.call is None:
                yield record
            else:
                group.append(record)
        if group:
            yield _merge(group)

    def _note(
        self,
        func: Any,
        args: Sequence[Any],
        out: Any,
        reads: list[torch.Tensor],
        *,
        params: int,
        frozen: int,
        per_step: bool,
    ) -> None:
        work = work_of(func, args, out)
        if work.in_elements == 0:
            work = replace(work, in_elements=sum(tensor.numel() for tensor in reads))
        path, _ = self._stack.place
        own_name = func.overloadpacket.__name__.strip("_")
        leaf = path in self._leaves and path
        outputs = list(tensors_in(out))
        self._records.append(
            Record(
                place=self._stack.place,
                name=path if leaf else ".".join(part for part in (path, own_name) if part),
                work=work,
                params=params,
                frozen=frozen,
                out_elements=outputs[0].numel() if outputs else 0,
                call=self.calls.current,
                per_step=per_step,
            )
        )


def _merge(group: list[Record]) -> Record:
    call = group[0].call
    assert call is not None  # noqa: S101 - for the type checker: only records of a call are grouped
    products = [record.work for record in group if record.work.macs]
    work = OpWork(
        OpClass.RECURRENT,
        macs=sum(item.macs for item in products),
        weights=sum(item.weights for item in products),
        in_elements=call.in_elements,
        in_channels=call.in_channels,
        out_channels=max(item.out_channels for item in products),
        steps=call.steps,
    )
    return replace(
        group[0],
        work=work,
        params=sum(record.params for record in group),
        frozen=sum(record.frozen for record in group),
        out_elements=max(record.out_elements for record in group),
        per_step=False,
    )
