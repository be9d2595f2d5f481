"""The border to code of the user's own: importing what `pkg.mod:name` names, and telling what such code raises.

Whatever comes in, comes in through `load`, which remembers its package: an exception that passed through one of these
is a mistake of the user's, told in one line; any other is a defect of fedlite and keeps its traceback.
"""

from __future__ import annotations

import importlib
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIBRARIES: Final = frozenset({"fedlite", "flwr", "numpy", "torch"})
"""What fedlite itself runs through: naming a class of these does not make their frames the user's."""
_packages: set[str] = set()


class OwnCodeError(FedliteError):
    """Code of the user's own cannot be imported, or raised something that is no `FedliteError`."""


def load(reference: str) -> Any:
    """Return what `pkg.mod:name` names; the name may have dots.

    Raises
    ------
    OwnCodeError
        With the reason alone, in one line: the caller knows where the reference stands.
    """
    module, _, names = reference.partition(":")
    _packages.update({module.partition(".")[0]} - _LIBRARIES)
    try:
        found: Any = importlib.import_module(module)
    except ImportError as error:
        raise OwnCodeError(_line(error) + _at(error)) from error
    # Not our code: whatever it raises is its author's to mend, be it the end of the program.
    except (Exception, SystemExit) as error:
        raise OwnCodeError(raised(error)) from error
    for name in names.split("."):
        if not hasattr(found, name):
            raise OwnCodeError(f"there is no {name!r} in {module}{_only(found, module)}")
        found = getattr(found, name)
    return found


def raised(error: BaseException) -> str:
    """Return what code of the user's own raised, and where, in one line."""
    return f"{type(error).__name__}: {_line(error)}{_at(error)}"


@contextmanager
def blamed() -> Iterator[None]:
    """Tell what code of the user's own raises in one line; also a decorator.

    Raises
    ------
    OwnCodeError
        If an exception that is no `FedliteError` passed through a package that `load` imported from.
    """
    try:
        yield
    except FedliteError:
        raise
    except (Exception, SystemExit) as error:
        if _place(error) is None:
            raise
        raise OwnCodeError(f"code of your own: got {raised(error)}, expected it to run; mend it there") from error


def _place(error: BaseException) -> str | None:
    """Return `file:line` of the innermost frame in the user's own code, if there is one."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    frames = [
        f"{frame.f_code.co_filename}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] in _packages
    ]
    return frames[-1] if frames else None


def _at(error: BaseException) -> str:
    place = _place(error)
    return f" at {place}" if place else ""


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _only(place: Any, module: str) -> str:
    """Return the names that a module or a class of it defines, for those who mistyped one."""
    own = [name for name, value in getattr(place, "__dict__", {}).items() if getattr(value, "__module__", "") == module]
    return f", only {', '.join(sorted(own))}" if own else ""
