"""The files that code consists of, and their hashes: what a resumed run has to find as it was.

Nothing here runs the code that it hashes. What belongs to a module of the user's own is therefore told by its place and
by its import statements, also those inside of functions, and not by what a process happens to have imported so far.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sysconfig
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
"""Folders of installed packages: what one of these imports of another is not the user's own."""
CODE: Final = (".py",)
_STANDARD: Final = frozenset(Path(sysconfig.get_path(kind)) for kind in ("stdlib", "platstdlib"))
_MARKS: Final = ("pyvenv.cfg", "program.json")
"""Files that environments and directories of runs have: what is in these is no source of anything."""


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file, "unreadable" if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return "unreadable"


def hash_of_all(paths: Collection[Path], folder: Path) -> str:
    """Return one SHA-256 over files and their names in a folder."""
    sha = hashlib.sha256()
    for path in sorted(paths):
        sha.update(f"{path.relative_to(folder).as_posix()}\x1f{hash_of(path)}\x1e".encode())
    return sha.hexdigest()


def files_in(
    folder: Path, suffixes: Collection[str] | None = None, above: frozenset[Path] = frozenset()
) -> Iterator[Path]:
    """Yield the files below a folder, with these suffixes if some are given.

    Hidden files and folders, caches, environments and the directories of runs are left out, as are links to a folder
    that is `above`.
    """
    above = above | {folder.resolve()}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            left_out = path.name == "__pycache__" or any((path / mark).exists() for mark in _MARKS)
            if not left_out and path.resolve() not in above:
                yield from files_in(path, suffixes, above)
        elif path.is_file() and (suffixes is None or path.suffix in suffixes):
            yield path


def files_of_module(module: str) -> dict[str, Path]:
    """Return the files behind a module of the user's own, by their path from the folder it is imported from.

    These are the module's outermost package with everything in it, and whatever these files import that is not
    installed. Of installed packages it is the code of the package alone.
    """
    outermost = module.partition(".")[0]
    return _reached({outermost}, [(outermost, root) for root in _roots(outermost)])


def files_imported_by(paths: Collection[Path], folder: Path) -> dict[str, Path]:
    """Return likewise the files behind what some files in a folder import."""
    names = {name for path in paths for name in _imported(path)}
    return _reached(names, [(name, root) for name in sorted(names) for root in _own_roots(name, folder)])


def _reached(known: set[str], left: list[tuple[str, Path]]) -> dict[str, Path]:
    """Return the files of modules and packages, given with the folder each is in, and of what they import."""
    found: dict[str, Path] = {}
    while left:
        name, root = left.pop(0)
        for path in _files(root, name):
            found.setdefault(path.relative_to(root).as_posix(), path)
            imported = set() if _is_installed(root) else set(_imported(path)) - known
            known |= imported
            left += [(each, place) for each in sorted(imported) for place in _own_roots(each, root)]
    return found


def _own_roots(name: str, beside: Path) -> list[Path]:
    """Return the folders from which a file in a folder imports a module of the user's own; none if it is not."""
    if _files(beside, name):
        return [beside]
    return [root for root in _roots(name) if not _is_installed(root)]


def _roots(name: str) -> list[Path]:
    """Return the folders that a top-level module or package is in; none if it is not found, or comes with Python."""
    if name == "fedlite":
        return []
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    places = spec.submodule_search_locations or ([spec.origin] if spec.origin and spec.has_location else [])
    return [root for root in (Path(place).parent for place in places) if root not in _STANDARD]


def _is_installed(root: Path) -> bool:
    return bool(INSTALLED & set(root.parts))


def _files(root: Path, name: str) -> list[Path]:
    """Return the files of a top-level module or package of a folder; none if it has no such thing."""
    module, package = root / f"{name}.py", root / name
    if package.is_dir():
        return list(files_in(package, CODE if _is_installed(root) else None))
    return [module] if module.is_file() else []


def _imported(path: Path) -> frozenset[str]:
    """Return the outermost names that a file imports, wherever in it."""
    try:
        return _imports_of(path.read_bytes()) if path.suffix in CODE else frozenset()
    except OSError:
        return frozenset()


@lru_cache(maxsize=4096)  # the runs of a study have the same files
def _imports_of(source: bytes) -> frozenset[str]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return frozenset()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return frozenset(found)
