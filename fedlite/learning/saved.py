"""What autograd keeps from a forward pass, and which module made it keep it."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Self

import torch

if TYPE_CHECKING:
    from types import TracebackType

    from torch import nn
    from torch.utils.hooks import RemovableHandle

Place = tuple[str, int]
"""(module path, how many times that module had been called)."""


class ModuleStack:
    """Knows, inside its context, which module's `forward` is running."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._stack: list[Place] = [("", 0)]
        self._calls: Counter[str] = Counter()
        self._handles: list[RemovableHandle] = []

    @property
    def place(self) -> Place:
        """The innermost module now running."""
        return self._stack[-1]

    def __enter__(self) -> Self:
        for path, module in self._model.named_modules():
            if path:
                self._handles += [
                    # First of all hooks, last of all hooks: the others (pruning's, say) count as the module's work.
                    module.register_forward_pre_hook(self._enter_hook(path), prepend=True),
                    module.register_forward_hook(self._leave, always_call=True),
                ]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()

    def _enter_hook(self, path: str) -> Any:
        def enter(_module: nn.Module, _inputs: Any) -> None:
            self._calls[path] += 1
            self._stack.append((path, self._calls[path]))

        return enter

    def _leave(self, _module: nn.Module, _inputs: Any, _output: Any) -> None:
        self._stack.pop()


def storage_key(tensor: torch.Tensor) -> int:
    """Return what is equal for tensors that share memory, as long as one of them lives."""
    return int(tensor.untyped_storage()._cdata)  # noqa: SLF001 - torch has no public identity of a storage


def state_keys(model: nn.Module) -> set[int]:
    """Return the storages of the model's own parameters and buffers."""
    return {storage_key(tensor) for tensor in [*model.parameters(), *model.buffers()]}


def saved_bytes(model: nn.Module, inputs: torch.Tensor) -> dict[Place, int]:
    """Return the bytes that autograd keeps after one forward pass in training mode, by module call.

    Memory that several operators keep counts once, where it is first kept; parameters and buffers never count.
    """
    model.train()
    stack = ModuleStack(model)
    own = state_keys(model)
    # Alive, so that no storage is mistaken for an earlier one; without their history, which holds the hooks that hold
    # this list: a circle that no collector sees.
    kept: list[torch.Tensor] = []
    sizes: dict[Place, int] = defaultdict(int)

    def pack(tensor: torch.Tensor) -> None:
        key = storage_key(tensor)
        if key not in own:
            own.add(key)
            kept.append(tensor.detach())
            sizes[stack.place] += tensor.untyped_storage().nbytes()

    with torch.enable_grad(), stack, torch.autograd.graph.saved_tensors_hooks(pack, _never):
        model(inputs)
    return dict(sizes)


def _never(_packed: None) -> torch.Tensor:
    raise AssertionError("nobody goes back through a graph that is only measured")
