"""What a format must offer: a net in, a file out, and what executes that file here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import nn


class ExtraMissingError(FedliteError):
    """The libraries of a format are not installed."""


class Format(ABC):
    """A format of files.

    Attributes
    ----------
    name : str
        As it is asked for.
    suffix : str
        Of its files.
    extra : str
        Of fedlite, which brings its libraries.
    libraries : tuple of str
        Modules that it imports.
    runtime : str
        Distribution that executes its files.
    integer_weights : bool
        Whether it can store integer weights of a layer whose inputs stay float32.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    extra: ClassVar[str]
    libraries: ClassVar[tuple[str, ...]]
    runtime: ClassVar[str]
    integer_weights: ClassVar[bool] = True

    def check_installed(self) -> None:
        """Raise ExtraMissingError, with the command that helps, if a library is not there."""
        if missing := [one for one in self.libraries if find_spec(one) is None]:
            raise ExtraMissingError(
                f"--export {self.name}: got no {', '.join(missing)} on this machine, expected the libraries of the "
                f"extra {self.extra!r}; pip install 'fedlite[{self.extra}]'"
            )

    @property
    def runtime_version(self) -> str:
        """Name and version of what executes its files."""
        return f"{self.runtime} {version(self.runtime)}"

    @property
    def not_here(self) -> str:
        """Why files cannot be executed on this machine; empty if they can."""
        return ""

    @abstractmethod
    def write(self, net: nn.Module, rows: NDArray[np.float32], file: Path) -> dict[str, Any]:
        """Write a net, and return what is to be told of the file, plain JSON values.

        Parameters
        ----------
        net : nn.Module
            In the operators of `standard`, in evaluation. It takes and gives one tensor.
        rows : array, shape (N, *sample)
            Calibration rows of a client; one of them is the example of an input.
        file : Path
        """

    @abstractmethod
    def opened(self, file: Path) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        """Return what executes a file in the format's own runtime on one sample, (1, *sample) -> (1, *outputs)."""
