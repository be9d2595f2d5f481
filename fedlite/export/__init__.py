"""Files in which other runtimes take a shipped model: each format is one file of this package, named in `FORMATS`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fedlite import own_code
from fedlite.errors import UnknownNameError

if TYPE_CHECKING:
    from fedlite.export.base import Format

FORMATS: Final[dict[str, str]] = {
    "onnx": "fedlite.export.onnx_format:Onnx",
    "executorch": "fedlite.export.executorch_format:ExecuTorch",
    "coreml": "fedlite.export.coreml_format:CoreMl",
    "litert": "fedlite.export.litert_format:LiteRt",
}
"""Name -> `module:class`. None of these imports its libraries before it is used."""


def format_of(name: str) -> Format:
    """Return the format of a name.

    Raises
    ------
    UnknownNameError
        If there is none.
    """
    if name not in FORMATS:
        raise UnknownNameError("export", name, list(FORMATS))
    made: Format = own_code.load(FORMATS[name])()
    return made
