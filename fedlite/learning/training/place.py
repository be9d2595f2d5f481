"""Where a trainer computes: one torch device, the way of arrays there and back, and data that stays there.

On the processor tensors are views of what came, as cheap as before there was a choice. On an accelerator what a worker
reads again and again is moved once (`Table`), and only results come back.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedlite.errors import FedliteError
from fedlite.learning.training.accelerator import Accelerator
from fedlite.learning.training.threads import single_thread

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Array = NDArray[Any]


class Place:
    """A device, and how arrays get there.

    Parameters
    ----------
    device : torch.device, optional
        The processor if not given.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cpu")

    @classmethod
    def of(cls, accelerator: Mapping[str, str] | None) -> Place:
        """Return the place of an `Accelerator`, given by its fields.

        Raises
        ------
        FedliteError
            If this process does not see it.
        """
        return cls(Accelerator(**(accelerator or {})).device())

    @property
    def is_host(self) -> bool:
        """Whether it is the processor, whose memory arrays are in already."""
        return self.device.type == "cpu"

    def given(self, array: Array) -> Tensor:
        """Return an array as a tensor here; on the processor the same memory, which must be writable."""
        return torch.from_numpy(array).to(self.device)

    def copied(self, array: Array) -> Tensor:
        """Return a tensor that owns its memory: arrays out of shared memory are read-only, which torch cannot say."""
        return self.given(np.array(array))

    @contextmanager
    def computing(self, *, strict: bool = True) -> Iterator[None]:
        """Run a block so that it gives the same bits again: on one thread, and here by kernels that repeat themselves.

        Parameters
        ----------
        strict : bool
            Whether an operation without such a kernel is refused; torch warns of it otherwise.

        Raises
        ------
        FedliteError
            If the device has too little memory, or an operation no such kernel.
        """
        with single_thread():
            if self.is_host:
                yield
                return
            with _repeatable(strict=strict):
                try:
                    yield
                except torch.OutOfMemoryError as error:
                    raise FedliteError(
                        f"--accelerator: got no memory left on {self.device.type} ({_line(error)}), expected room for"
                        " the data and a chunk of clients in every actor; ask for fewer --actors, or smaller batches"
                    ) from error
                except RuntimeError as error:
                    if "deterministic implementation" not in str(error):
                        raise
                    raise FedliteError(
                        f"--accelerator: got an operation that {self.device.type} does not repeat to the bit"
                        f" ({_line(error)}), expected others; leave the accelerator out, or change the model"
                    ) from error

    @contextmanager
    def draws(self, seed: int) -> Iterator[None]:
        """Run a block on torch's own generators, seeded, and put them back: layers such as dropout take no other."""
        own = None if self.is_host else torch.get_device_module(self.device)
        before = None if own is None else own.get_rng_state()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                yield
            finally:
                if own is not None:
                    own.set_rng_state(before)


class Table:
    """Rows that many jobs read: on an accelerator they are moved when this is made, and never again.

    Parameters
    ----------
    array : NDArray
        (N, ...), only read.
    place : Place
    """

    def __init__(self, array: Array, place: Place) -> None:
        self._array = array
        self._place = place
        self._resident = None if place.is_host else place.copied(array)

    @classmethod
    def of(cls, rows: Array | Table, place: Place) -> Table:
        """Return rows as a table at a place; one that is a table already is there."""
        return rows if isinstance(rows, cls) else cls(np.asarray(rows), place)

    def __len__(self) -> int:
        return len(self._array)

    @property
    def shape(self) -> tuple[int, ...]:
        """As of the array."""
        return tuple(self._array.shape)

    def index(self, rows: NDArray[np.int64]) -> Any:
        """Return row numbers in the form in which `take` wants them; slices of it are of that form, too."""
        return rows if self._resident is None else self._place.given(rows)

    def take(self, index: Any) -> Tensor:
        """Return the rows of an index of any shape, (*index, ...), in memory of their own."""
        if self._resident is None:
            return torch.from_numpy(np.take(self._array, index, axis=0))
        return self._resident.index_select(0, index.reshape(-1)).view(*index.shape, *self._array.shape[1:])


def to_host(tensor: Tensor) -> Array:
    """Return a tensor's numbers as an array; on the processor the same memory."""
    array: Array = tensor.detach().cpu().numpy()
    return array


@contextmanager
def _repeatable(*, strict: bool) -> Iterator[None]:
    """Have torch choose kernels that give the same bits every time and compute in float32, and put its choices back."""
    was_on, warned = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    precision = torch.get_float32_matmul_precision()
    torch.use_deterministic_algorithms(True, warn_only=not strict)
    torch.set_float32_matmul_precision("highest")
    try:
        # cuDNN would time its kernels and take the fastest of the moment, and round factors to 10 bits.
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.use_deterministic_algorithms(was_on, warn_only=warned)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
