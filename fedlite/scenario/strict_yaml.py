"""YAML text -> plain values with the place of every key and value; strict where YAML is a trap.

Scalars follow the YAML 1.2 core schema: `1e-5` is a number, `no`, `on` and `12:30:45` are text, `0777` is 777. Refused,
with line and column: duplicate keys, keys that are not text, tags (`!!python/...`), several documents in one file,
aliases that expand without measure, nesting without measure. Every such mistake of a file is found, not only the first;
only a syntax error ends the reading.

References
----------
YAML 1.2.2 specification, section 10.3 (core schema).
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from yaml import nodes
from yaml.composer import Composer, ComposerError
from yaml.error import Mark, MarkedYAMLError, YAMLError
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from fedlite.errors import InvalidFileError, Problem, quoted

KeyPath = tuple[str | int, ...]

MAX_CHARACTERS: Final = 250_000
MAX_BYTES: Final = 4 * MAX_CHARACTERS
MAX_DEPTH: Final = 40
MAX_NODES: Final = 10_000
"""Keys and values of a file, as written; and its values once every alias is written out."""
MAX_DIGITS: Final = 40

_KINDS: Final = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
_NULL = re.compile(r"|~|null|Null|NULL")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INF = re.compile(r"([-+]?)\.(?:inf|Inf|INF)")
_NAN = re.compile(r"\.(?:nan|NaN|NAN)")


@dataclass(frozen=True)
class Place:
    """Where something is written: a file and line, or, with line 0, something else that has a name."""

    path: str
    line: int = 0
    column: int = 0


@dataclass
class Document:
    """One YAML document: its value, where each part stands, and what is wrong with it as YAML."""

    path: str
    value: Any = None
    keys: dict[KeyPath, Place] = field(default_factory=dict)
    """Place of the key that leads to a value; list items stand under their own place."""
    values: dict[KeyPath, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def copy(self) -> Document:
        """Return a document of its own, to be altered."""
        return Document(self.path, _copied(self.value), dict(self.keys), dict(self.values), list(self.problems))


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def scalar(text: str) -> Any:
    """Return what a plain (unquoted) scalar means in the YAML 1.2 core schema."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        return int(text) if len(text) <= MAX_DIGITS else float(text)
    if (_OCTAL.fullmatch(text) or _HEX.fullmatch(text)) and len(text) <= MAX_DIGITS:
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if match := _INF.fullmatch(text):
        return float(f"{match[1]}inf")
    return float("nan") if _NAN.fullmatch(text) else text


def read(text: str, path: str, *, several: bool = False) -> Document:
    """Return the one document in `text`; `document.problems` holds every mistake, `path` names the file in them.

    With `several` there may be more of them, divided by `---`: the value is the list of those that hold anything.
    """
    if len(text) > MAX_CHARACTERS:
        return _broken(path, 1, 1, f"got {len(text)} characters, expected at most {MAX_CHARACTERS}", "split the file")
    try:
        reader = _Reader(text)
        document = _listed(reader, path) if several else _built(reader.get_single_node(), path)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - (text.rfind("\n", 0, error.position) + 1) + 1
        message = f"got the character #x{error.character:04x}, expected printable text"
        return _broken(path, line, column, message, "remove it")
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        return _broken(path, line, column, _what_is_wrong(error), _remedy(error, mark))
    except YAMLError as error:  # every kind known today is caught above
        return _broken(path, 1, 1, f"got no YAML: {error}", "mend the syntax")
    return document


def _built(root: nodes.Node | None, path: str) -> Document:
    builder = _Builder(path)
    if root is not None:
        builder.document.value = builder.build(root, (), ())
    return builder.document


def _listed(reader: _Reader, path: str) -> Document:
    roots = []
    while reader.check_node():
        root = reader.get_node()
        nothing = isinstance(root, nodes.ScalarNode) and root.style is None and not root.value
        if root is not None and not nothing:
            roots.append(root)
    builder = _Builder(path)
    builder.document.values[()] = Place(path, 1, 1)
    builder.document.value = [builder.build(root, (index,), ()) for index, root in enumerate(roots)]
    return builder.document


def read_file(path: str | Path, *, several: bool = False) -> Document:
    """Return the document in a file, with `several` the list of its documents.

    Raises
    ------
    InvalidFileError
        If there is no such file, or it is none that could be one of these: a device, a pipe, gigabytes.
    """
    try:
        found = Path(path).stat()
        if not stat.S_ISREG(found.st_mode):
            raise _unreadable(path, f"got {_KINDS.get(stat.S_IFMT(found.st_mode), 'no file')}, expected a plain file")
        if found.st_size > MAX_BYTES:
            raise _unreadable(path, f"got {found.st_size} bytes, expected at most {MAX_BYTES}")
        raw = Path(path).read_bytes()
    except OSError as error:
        raise _unreadable(path, f"got no file to read ({(error.strerror or 'unreadable').lower()})") from None
    except ValueError as error:  # a name with a NUL in it
        raise _unreadable(repr(str(path)), f"got no name of a file ({error})") from None
    return read_bytes(raw, str(path), several=several)


def _unreadable(path: str | Path, message: str) -> InvalidFileError:
    return InvalidFileError([Problem(str(path), 0, 0, "(file)", message, "check the path")])


def read_bytes(raw: bytes, path: str, *, several: bool = False) -> Document:
    """Return the document in the bytes of a file, which must be UTF-8."""
    try:
        return read(raw.decode("utf-8-sig"), path, several=several)
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        message = f"got the byte 0x{raw[error.start]:02x}, expected UTF-8 text"
        return _broken(path, line, column, message, "save the file as UTF-8")


def _broken(path: str, line: int, column: int, message: str, remedy: str) -> Document:
    return Document(path, problems=[Problem(path, line, column, "(file)", message, remedy)])


def _what_is_wrong(error: MarkedYAMLError) -> str:
    parts = [part for part in (error.context, error.problem) if part]
    if isinstance(error, _LimitError):
        return f"got {error.problem}"
    return f"got no valid YAML ({', '.join(parts)})"


def _remedy(error: MarkedYAMLError, mark: Mark | None) -> str:
    problem = error.problem or ""
    if "\\t" in problem or "'\t'" in problem or (mark is not None and mark.buffer and _at(mark) == "\t"):
        return "indent with spaces, never with tabs"
    if "another document" in problem:
        return "keep one document in a file, without '---' between"
    if isinstance(error, _LimitError):
        return error.remedy
    if "mapping values are not allowed" in problem:
        return "check the indentation, or quote the text that holds ': '"
    return "check indentation, brackets and quotes at this place"


def _at(mark: Mark) -> str:
    return mark.buffer[mark.pointer] if mark.buffer and mark.pointer < len(mark.buffer) else ""


class _LimitError(ComposerError):
    """The text is YAML that fedlite does not take."""

    def __init__(self, problem: str, mark: Mark, remedy: str) -> None:
        super().__init__(None, None, problem, mark)
        self.remedy = remedy


class _Reader(Reader, Scanner, Parser, Composer, BaseResolver):
    """PyYAML's parser with no tag resolution at all, so that text stays text until `scalar` decides."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self._depth = 0
        self._nodes = 0

    def compose_node(self, parent: nodes.Node | None, index: Any) -> nodes.Node | None:
        """Compose one node; refuse tags and deep nesting, which PyYAML would follow until Python's stack ends."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "tag", None) is not None:
            raise _LimitError(f"the tag {quoted(event.tag)}", event.start_mark, "write the value without a tag")
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _LimitError(f"over {MAX_NODES} keys and values, expected fewer", event.start_mark, "shorten the file")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _LimitError(f"values nested deeper than {MAX_DEPTH} levels", event.start_mark, "flatten the file")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Builder:
    """Composed nodes -> values, keeping places and collecting problems."""

    def __init__(self, path: str) -> None:
        self.document = Document(path)
        self._nodes = 0

    def build(self, node: nodes.Node, path: KeyPath, open_nodes: tuple[int, ...]) -> Any:
        self._nodes += 1
        self.document.values[path] = self._place(node)
        if id(node) in open_nodes:
            self._problem(node, path, "got an alias that holds itself", "write the value out")
            return None
        if self._nodes > MAX_NODES:
            problem = f"aliases that expand to over {MAX_NODES} values"
            raise _LimitError(problem, node.start_mark, "write fewer aliases")
        if isinstance(node, nodes.ScalarNode):
            return self._scalar(node, path)
        inside = (*open_nodes, id(node))
        if isinstance(node, nodes.SequenceNode):
            return [self.build(item, (*path, index), inside) for index, item in enumerate(node.value)]
        return self._mapping(node, path, inside)

    def _scalar(self, node: nodes.ScalarNode, path: KeyPath) -> Any:
        value = node.value if node.style is not None else scalar(node.value)
        if isinstance(value, float) and len(node.value) > MAX_DIGITS:
            self._problem(node, path, f"got a number of {len(node.value)} characters", f"keep {MAX_DIGITS} at most")
        return value

    def _mapping(self, node: nodes.Node, path: KeyPath, inside: tuple[int, ...]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            if key is None:
                continue
            here = (*path, key)
            if key == "<<" and key_node.style is None:
                self._problem(key_node, here, "got a merge key, which YAML 1.2 does not have", "write the keys out")
                continue
            if key in result:
                first = self.document.keys[here].line
                self._problem(key_node, here, f"got the key twice (first on line {first})", "keep one of the two")
                continue
            self.document.keys[here] = self._place(key_node)
            result[key] = self.build(value_node, here, inside)
        return result

    def _key(self, node: nodes.Node, path: KeyPath) -> str | None:
        if not isinstance(node, nodes.ScalarNode):
            self._problem(node, path, "got a list or mapping as a key, expected text", "write a plain word as key")
            return None
        value = self._scalar(node, path)
        if isinstance(value, str):
            return value
        if isinstance(value, bool):
            words, meant = ("on, yes and true", "on") if value else ("off, no and false", "off")
            message = f"got the key {node.value}, expected text; YAML 1.1 reads {words} as one and the same"
            self._problem(node, path, message, f"write the word that is meant in quotes, such as '{meant}'")
            return None
        remedy = f"quote it: '{node.value}'" if node.value else "write a word before the colon"
        self._problem(node, path, f"got the key {quoted(value)}, expected text", remedy)
        return None

    def _place(self, node: nodes.Node) -> Place:
        return Place(self.document.path, node.start_mark.line + 1, node.start_mark.column + 1)

    def _problem(self, node: nodes.Node, path: KeyPath, message: str, remedy: str) -> None:
        place = self._place(node)
        self.document.problems.append(Problem(place.path, place.line, place.column, dotted(path), message, remedy))


def dotted(path: KeyPath) -> str:
    """Return a key path as people write it: `clients.0.plan`; the whole file is `(file)`."""
    return ".".join(str(part) for part in path) or "(file)"
