"""The files that code consists of, and their hashes: what a resumed run has to find as it was.

Nothing here runs the code that it hashes. What belongs to a module of the user's own is therefore told by its place and
by its import statements, also those inside of functions, and not by what a process happens to have imported so far.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
"""Folders of installed packages: what one of these imports of another is not the user's own."""


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


def files_in(folder: Path, suffixes: Collection[str]) -> Iterator[Path]:
    """Yield the files with these suffixes below a folder, those of hidden folders and of environments left out."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith((".", "__")) and not (path / "pyvenv.cfg").exists():
            yield from files_in(path, suffixes)
        elif path.suffix in suffixes and path.is_file():
            yield path


def files_of_module(module: str) -> dict[str, Path]:
    """Return the files behind a module of the user's own, by their path from the folder it is imported from.

    These are the module's outermost package with everything in it, and whatever these files import from beside that
    package. Of installed packages it is the package alone.
    """
    outermost = module.partition(".")[0]
    if outermost in sys.stdlib_module_names:
        return {}
    try:
        spec = importlib.util.find_spec(outermost)
    except (ImportError, ValueError):
        return {}
    if spec is None:
        return {}
    places = [Path(place) for place in spec.submodule_search_locations or ()] or [Path(spec.origin or "")]
    found: dict[str, Path] = {}
    for place in places:
        root = place.parent
        for path in _reached(outermost, root):
            found.setdefault(path.relative_to(root).as_posix(), path)
    return found


def _reached(outermost: str, root: Path) -> set[Path]:
    """Return the files of a module or package in a folder, and of those in the same folder that they import."""
    reached: set[Path] = set()
    names, known = [outermost], {outermost}
    while names:
        for path in _files(root, names.pop()):
            reached.add(path)
            imported = set() if INSTALLED & set(root.parts) else _imported(path)
            names += sorted(imported - known)
            known |= imported
    return reached


def _files(root: Path, name: str) -> list[Path]:
    """Return the files of a top-level module or package of a folder; none if it has no such thing."""
    module, package = root / f"{name}.py", root / name
    if package.is_dir():
        return list(files_in(package, (".py",)))
    return [module] if module.is_file() else []


def _imported(path: Path) -> set[str]:
    """Return the outermost names that a file imports, wherever in it."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return set()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found
