"""The border to code of the user's own: importing what `pkg.mod:name` names, and telling what such code raises.

It is found wherever Python looks, then in the folders that `look_in` was told of: those of the scenario. Whatever comes
in, comes in through `load`, which remembers its name and package. An exception that passed through one
of these packages is a mistake of the user's, told in one line. So is any other once such code is there, for it may have
returned what fedlite then stumbled over. Without such code it is a defect of fedlite and keeps its traceback.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
REMEDY: Final = "mend it, put it beside the scenario, or put its folder on PYTHONPATH"
"""What to do where code cannot be imported."""
_LIBRARIES: Final = frozenset({"fedlite", "flwr", "numpy", "torch"})
"""What fedlite itself runs through: naming a class of these does not make their frames the user's."""
_NOBODYS: Final = (OSError, MemoryError, SystemExit)
"""What comes of the machine, or of a program that ends: own code is at fault only where it was passed through."""
_beside: list[str] = []
"""Where `look_in` was last told to look."""
_folders: list[str] = []
"""Where code was found so, the latest first."""
_added: list[str] = []
"""Those of them that stand at the end of Python's path, for they were not on it."""
_packages: set[str] = set()
_loaded: dict[str, None] = {}
"""What was imported of the user's own, in the order of the first time."""


class OwnCodeError(FedliteError):
    """Code of the user's own cannot be imported, or raised something that is no `FedliteError`."""


def look_in(places: Iterable[Path], references: Iterable[str]) -> tuple[str, ...]:
    """Find code in some folders too, after all that is on Python's path, and return the folders that hold any of it.

    Of two folders with a module of one name the one told last is taken: what an earlier one brought in is forgotten.

    Parameters
    ----------
    places : iterable of Path
        The folder of a scenario, say.
    references : iterable of str
        Names of code, `pkg.mod:name`: a folder without any of these modules is left alone.
    """
    modules = {_package(reference) for reference in references} - _LIBRARIES
    wanted = list(dict.fromkeys(str(place.expanduser().resolve()) for place in places))
    held = [folder for folder in wanted if any(_holds(folder, module) for module in modules)]
    _beside[:] = wanted
    if held and (held != _folders[: len(held)] or not set(held) <= set(sys.path)):
        _forget_namesakes(held[0])
        _folders[:] = [*held, *(folder for folder in _folders if folder not in held)]
        sys.path[:] = [entry for entry in sys.path if entry not in _added]
        _added[:] = [folder for folder in _folders if folder not in sys.path]
        sys.path += _added
        importlib.invalidate_caches()
    return tuple(held)


def _holds(folder: str, module: str) -> bool:
    return Path(folder, f"{module}.py").is_file() or Path(folder, module).is_dir()


def _forget_namesakes(folder: str) -> None:
    """Drop what other folders brought in of the modules that a folder holds."""
    others = tuple(f"{other}{os.sep}" for other in _folders if other != folder)
    for name, module in list(sys.modules.items()):
        file, top = str(getattr(module, "__file__", None)), name.partition(".")[0]
        here = file.startswith((f"{Path(folder, top)}{os.sep}", f"{Path(folder, top)}.py"))
        if others and file.startswith(others) and not here and _holds(folder, top):
            del sys.modules[name]


def load(reference: str) -> Any:
    """Return what `pkg.mod:name` names; the name may have dots.

    Raises
    ------
    OwnCodeError
        With the reason alone, in one line: the caller knows where the reference stands.
    """
    module, _, names = reference.partition(":")
    _packages.update({_package(module)} - _LIBRARIES)
    try:
        found: Any = importlib.import_module(module)
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == _package(module)
        raise OwnCodeError(_line(error) + (_where() if missing else _shadowed(module)) + _at(error)) from error
    # Not our code: whatever it raises is its author's to mend, be it the end of the program.
    except (Exception, SystemExit) as error:
        raise OwnCodeError(raised(error)) from error
    for name in names.split("."):
        if not hasattr(found, name):
            why = _shadowed(module) or _only(found, module)
            raise OwnCodeError(f"there is no {name!r} in {module}{why}")
        found = getattr(found, name)
    remember([reference])
    return found


def call(function: Callable[..., T], /, *arguments: Any, **options: Any) -> T:
    """Return what a function or class of the user's own makes of some arguments.

    Raises
    ------
    OwnCodeError
        If it raises anything but a `FedliteError`: what, and where, in one line; the caller knows what was called.
    """
    try:
        return function(*arguments, **options)
    except FedliteError:
        raise
    # Not our code, like what `load` imports.
    except (Exception, SystemExit) as error:
        raise OwnCodeError(raised(error)) from error


def loaded() -> list[str]:
    """Return the names of the user's own code that was imported, as they were given to `load`."""
    return list(_loaded)


def remember(references: Iterable[str]) -> None:
    """Count code as imported: what one process has imported may have made what another one stumbles over."""
    own = [reference for reference in references if _package(reference) not in _LIBRARIES]
    _loaded.update(dict.fromkeys(own))
    _packages.update(map(_package, own))


def raised(error: BaseException) -> str:
    """Return what code of the user's own raised, and where, in one line."""
    return f"{type(error).__name__}: {_line(error)}{_at(error)}"


@contextmanager
def blamed(*others: type[BaseException]) -> Iterator[None]:
    """Tell what comes of code of the user's own in one line; also a decorator.

    Parameters
    ----------
    others : types
        Exceptions that say themselves what is wrong, beside `FedliteError`.

    Raises
    ------
    OwnCodeError
        If another exception passed through a package that `load` imported from, or through none of them while such
        code is there.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        if isinstance(error, (FedliteError, *others)):
            raise
        if _place(error) is not None:
            raise OwnCodeError(f"code of your own: got {raised(error)}, expected it to run; mend it there") from error
        if not _loaded or isinstance(error, _NOBODYS):
            raise
        what = f"{type(error).__name__}: {_line(error)} at {_frames(error)[-1][1]}"
        raise OwnCodeError(
            f"code of your own ({', '.join(_loaded)}): got {what}, expected what its kind asks for "
            "(docs/how-to/extend.md); see what it returns"
        ) from error


def _place(error: BaseException) -> str | None:
    """Return `file:line` of the innermost frame in the user's own code, if there is one."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    own = [place for module, place in _frames(error) if _package(module) in _packages]
    return own[-1] if own else None


def _frames(error: BaseException) -> list[tuple[str, str]]:
    """Return module and `file:line` of every frame, the innermost last."""
    return [
        (str(frame.f_globals.get("__name__")), f"{frame.f_code.co_filename}:{line}")
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]


def _package(reference: str) -> str:
    """Return the outermost package of a module or of a name in one."""
    return reference.partition(":")[0].partition(".")[0]


def _at(error: BaseException) -> str:
    place = _place(error)
    return f" at {place}" if place else ""


def _where() -> str:
    """Return where a module was looked for that is not there."""
    return f", looked for in {', '.join(_beside)} and on PYTHONPATH" if _beside else ""


def _shadowed(module: str) -> str:
    """Say so if code beside the scenario was not taken, for something installed has its name."""
    top = _package(module)
    taken = str(getattr(sys.modules.get(top), "__file__", None) or "Python itself")
    mine = next((folder for folder in _beside if _holds(folder, top)), None)
    if mine is None or top not in sys.modules or taken.startswith(f"{mine}{os.sep}"):
        return ""
    return f", which is that of {taken} and not the one in {mine}: rename yours"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _only(place: Any, module: str) -> str:
    """Return the names that a module or a class of it defines, for those who mistyped one."""
    own = [name for name, value in getattr(place, "__dict__", {}).items() if getattr(value, "__module__", "") == module]
    return f", only {', '.join(sorted(own))}" if own else ""
