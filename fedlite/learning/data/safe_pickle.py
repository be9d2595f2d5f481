"""Opening a pickled numpy file without running anything it names: only numpy's own array constructors are allowed.

A `.npy` file of dtype object is a pickle, and a pickle can call any function. The file opened here is checked against
its sha256 first; this module is the second lock.
"""

from __future__ import annotations

import pickle
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format

from fedlite.learning.data.dataset import DatasetError


def load_object_array(stream: IO[bytes]) -> Any:
    """Return the object inside a `.npy` file of dtype object, unpickled with array constructors only.

    Raises
    ------
    DatasetError
        If the file is no such file, or names anything but numpy's array constructors.
    """
    try:
        npy_format.read_magic(stream)
        _, _, dtype = npy_format.read_array_header_1_0(stream)
    except ValueError as error:
        raise DatasetError(f"got a file that is no .npy file ({error}), expected a pickled numpy array") from error
    if not dtype.hasobject:
        raise DatasetError(f"got a .npy file of {dtype}, expected dtype object; read it with numpy.load")
    try:
        array = _ArrayUnpickler(stream, encoding="ASCII").load()
    except (EOFError, IndexError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"got a damaged pickle ({error}), expected a numpy array; fetch the file again") from error
    return array.item() if isinstance(array, np.ndarray) and array.ndim == 0 else array


class _ArrayUnpickler(pickle.Unpickler):
    """Knows four names and refuses all others."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        allowed = _ALLOWED.get((module_name, global_name))
        if allowed is None:
            raise DatasetError(
                f"got a pickle that names {module_name}.{global_name}, expected numpy arrays only; "
                "the file is not what it claims to be, delete it"
            )
        return allowed


def _latin1(text: str, encoding: str) -> bytes:
    # Python 2 style pickles hold raw bytes as text plus a call of `_codecs.encode`; that one codec is enough.
    if encoding != "latin1":
        raise DatasetError(f"got a pickle that uses the codec {encoding!r}, expected 'latin1'; delete the file")
    return text.encode(encoding)


# numpy.core became numpy._core in numpy 2; the function is private in name but is part of the array pickle format.
_RECONSTRUCT = np.zeros(1).__reduce__()[0]
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("_codecs", "encode"): _latin1,
}
