"""A shipped model as files of other runtimes: written, executed there, and compared with what fedlite computes."""

from __future__ import annotations

import copy
import os
import re
import sys
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from fedlite.compose.shipping import filled
from fedlite.errors import FedliteError
from fedlite.export.standard import standard
from fedlite.learning import objectives
from fedlite.learning.training.evaluation import evaluation_of_outputs
from fedlite.learning.training.threads import single_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from fedlite.compose.shipping import Shipped, Ware
    from fedlite.export.base import Format

    Floats = NDArray[np.float32]

ROWS: Final = 1000
"""Test rows, from the first on, that an exported file is executed on: one at a time, as on a device."""
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
LOG: Final = "export.log"
"""File of what converters say, which say much."""


def exported(name: str, shipped: Shipped, ware: Ware, form: Format, out: Path) -> dict[str, Any]:
    """Write an artefact in a format, execute it, and return how it compares, as JSON values.

    Parameters
    ----------
    name : str
        Of the artefact, and of the file.
    shipped : Shipped
    ware : Ware
    form : Format
        Its libraries are there.
    out : Path
        Folder of the file.

    Returns
    -------
    dict
        `file` and `bytes` where it was written, else `why` not. `layers` counts how dense and recurrent layers are
        written, `precision` names these kinds. Where it was executed: `runtime`, `rows`, and over all outputs of all
        rows `max_relative_error` (largest difference over largest magnitude) and `sqnr_db` (None if there is no
        difference) against the artefact's own; `metrics` through the runtime and `own_metrics` of fedlite on the same
        rows. Else `why` not. `charge_from` where what runs follows the battery: the state that is written.
    """
    file = out / f"{name}{form.suffix}"
    told: dict[str, Any] = {"artefact": name, "format": form.name, "written": False, "executed": False}
    if shipped.charge_from is not None:
        # Other runtimes know no battery: the file has one of the states.
        told["charge_from"] = shipped.charge_from
    if not shipped.artefact.on_device:
        return not_exported(name, form, "no model lies on the device")
    # torch's switch, eval: nothing drops out, batch statistics stay.
    net = filled(copy.deepcopy(shipped.artefact.net), shipped.artefact.read(shipped.file)).eval()
    counted: Counter[str] = Counter()
    rows = ware.data.x_train[ware.calibration]
    # Converters and runtimes fail in ways of their own; what is not theirs was done by `standard` before.
    with single_thread(), _into(out / LOG):
        readable = standard(net, counted, integer_weights=form.integer_weights)
        try:
            facts = form.write(readable, rows, file)
        except Exception as error:  # noqa: BLE001 (whatever a converter raises is told, and the others go on)
            return {**told, "why": f"not converted: {_line(error)}"}
        told |= {
            "written": True,
            "file": str(file),
            "bytes": _bytes(file),
            "stored_bytes": len(shipped.file),
            "precision": ", ".join(sorted(counted)),
            "layers": dict(sorted(counted.items())),
            "facts": facts,
        }
        if form.not_here:
            return {**told, "why": form.not_here}
        try:
            run = form.opened(file)
            x = ware.data.x_test[:ROWS]
            there = _outputs(run, x)
        except Exception as error:  # noqa: BLE001 (the same)
            return {**told, "why": f"not executed: {_line(error)}"}
        here = _outputs(_own(net), x)
    return {**told, "executed": True, "runtime": form.runtime_version, **_compared(here, there, ware)}


def not_exported(name: str, form: Format, why: str) -> dict[str, Any]:
    """Return the record of an artefact that is not written in a format."""
    return {"artefact": name, "format": form.name, "written": False, "executed": False, "why": why}


def _compared(here: Floats, there: Floats, ware: Ware) -> dict[str, Any]:
    if here.shape != there.shape:
        raise FedliteError(f"export: got outputs {there.shape} from the runtime, expected {here.shape}")
    goal, rows = objectives.objective(ware.objective), len(here)
    difference = (there - here).astype(np.float64)
    noise, largest = float(np.square(difference).sum()), float(np.abs(here).max())
    metrics = [
        dict(evaluation_of_outputs(goal, one, ware.data.x_test[:rows], ware.data.y_test[:rows]).metrics)
        for one in (there, here)
    ]
    return {
        "rows": rows,
        "max_relative_error": float(np.abs(difference).max()) / largest if largest else 0.0,
        "sqnr_db": 10 * float(np.log10(np.square(here.astype(np.float64)).sum() / noise)) if noise else None,
        "metrics": metrics[0],
        "own_metrics": metrics[1],
    }


def _outputs(run: Callable[[Floats], Floats], x: Floats) -> Floats:
    return np.concatenate([run(np.ascontiguousarray(row[None])) for row in x])


def _own(net: torch.nn.Module) -> Callable[[Floats], Floats]:
    def run(x: Floats) -> Floats:
        with torch.inference_mode():
            return np.asarray(net(torch.from_numpy(x)).numpy())

    return run


def _bytes(file: Path) -> int:
    """Return the length of a file, or of all files of a package."""
    return sum(one.stat().st_size for one in ([file] if file.is_file() else file.rglob("*")) if one.is_file())


def _line(error: Exception) -> str:
    """Return what an error says, in one line."""
    said = " ".join(_COLOUR.sub("", str(error)).split()) or "no reason given"
    return f"{type(error).__name__}: {said}"[:300]


@contextmanager
def _into(log: Path) -> Iterator[None]:
    """Write what this process prints, its libraries in C too, to the end of a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with log.open("ab") as file:
        try:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, before in enumerate(kept, start=1):
                os.dup2(before, number)
                os.close(before)
