"""Accelerators: which of torch's devices a run computes on, asked for by name and refused where there is none."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from typing import Final

import torch

from fedlite.errors import FedliteError, UnknownNameError

NONE: Final = "none"
WANTED: Final = (NONE, "auto", "cuda", "mps")
"""What may be asked for; `auto` takes the first that torch sees, and the processor where it sees none."""
_WORKSPACE: Final = ":4096:8"
"""Without a fixed workspace cuBLAS may sum in another order in every call (NVIDIA's cuBLAS manual, reproducibility)."""


@dataclass(frozen=True)
class Accelerator:
    """What computes a run.

    Attributes
    ----------
    kind : str
        "none" for the processor, or a type of torch device: "cuda" (also of AMD), "mps".
    model : str
        What exactly: bits are promised for runs on the same kind and model.
    """

    kind: str = NONE
    model: str = ""

    @property
    def label(self) -> str:
        """Such as "cuda (NVIDIA H200, CUDA 13.0)"."""
        return f"{self.kind} ({self.model})" if self.model else self.kind

    @property
    def promise(self) -> str:
        """For which runs the bits are the same, in one sentence."""
        if self.kind == NONE:
            return "the same bits on any backend and number of actors, with the kind of processor in 'program'"
        return (
            f"the same bits on any backend and number of actors that compute on {self.label}; on the processor, and on"
            " another kind or model of accelerator, the bits are others"
        )

    def device(self) -> torch.device:
        """Return the device of this process.

        Raises
        ------
        FedliteError
            If this process sees none of the kind, or one of another model.
        """
        if self.kind == NONE:
            return torch.device("cpu")
        here = visible().get(self.kind)
        if here is None:
            raise _absent(self.kind)
        if here != self.model:
            raise FedliteError(
                f"--accelerator: got {here} in a worker, expected {self.model} as in the driver, or bits would depend"
                " on who computes; let CUDA_VISIBLE_DEVICES name devices of one model"
            )
        return torch.device(self.kind, 0)


HOST: Final = Accelerator()
"""The processor."""


def find(wanted: str) -> Accelerator:
    """Return the accelerator that was asked for by one of `WANTED`, as this process sees it.

    Raises
    ------
    FedliteError
        If there is no such name, or torch sees no such device here.
    """
    if wanted not in WANTED:
        raise UnknownNameError("accelerator", wanted, list(WANTED))
    if wanted == NONE:
        return HOST
    found = visible()
    if wanted == "auto":
        kind = next(iter(found), NONE)
        return Accelerator(kind, found.get(kind, ""))
    if wanted not in found:
        raise _absent(wanted)
    return Accelerator(wanted, found[wanted])


def visible() -> dict[str, str]:
    """Return the model of the accelerator of each kind that torch sees in this process, the preferred kind first."""
    found: dict[str, str] = {}
    if torch.cuda.is_available():
        # Before CUDA starts, which asking for a name does.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", _WORKSPACE)
        runtime = f"ROCm {torch.version.hip}" if torch.version.hip else f"CUDA {torch.version.cuda}"
        found["cuda"] = f"{torch.cuda.get_device_name(0)}, {runtime}"
    if torch.backends.mps.is_available():
        found["mps"] = f"{platform.processor() or platform.machine()}, macOS {platform.mac_ver()[0]}"
    return found


def count() -> int:
    """Return how many CUDA devices torch sees in this process."""
    return torch.cuda.device_count()


def _absent(kind: str) -> FedliteError:
    built = "" if kind == "mps" or torch.version.cuda or torch.version.hip else f" (torch {torch.__version__} has none)"
    return FedliteError(
        f"--accelerator: got {kind!r}, expected a machine on which torch sees one{built}; leave it out to compute on"
        " the processor, or see what 'fedlite doctor' finds"
    )
