"""Where a module can be mutated, and the mutants of a seeded sample; the operators are those of cosmic-ray.

A *place* is a piece of source text and a family of operators: "the `<` of line 12, to be another comparison". A family
offers between one and eleven mutants at a place, so a sample of mutants would mostly ask what happens if a `+` becomes
a shift. Places are sampled instead, each at most once, and each place gives one of its mutants.

Left out and counted (`left_out`), because nothing that runs is changed: annotations in modules with
`from __future__ import annotations`; blocks under `if TYPE_CHECKING`; decorators of the members of a `Protocol`, which
only the type checker reads; what an f-string of a `raise` works out; and the `*` that stands alone between parameters,
which cosmic-ray takes for a multiplication. The operators leave strings alone, and with them docstrings, `__all__` and
the rest of every message. A mutant that does not compile is passed over for another of its place. Operators that need
arguments (they put random numbers for variables that one names) are not used.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.ast.ast_query import ASTQuery
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FUTURE = "from __future__ import annotations"


@dataclass(frozen=True)
class Place:
    """A piece of a module and what can become of it: pairs of operator and occurrence, as cosmic-ray counts them."""

    path: str
    start: tuple[int, int]
    family: str
    definition: str
    choices: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Mutant:
    """One changed module."""

    path: str
    line: int
    column: int
    definition: str
    operator: str
    was: str
    now: str
    source: str

    @property
    def key(self) -> str:
        """Names the mutant as long as its line stays the same, wherever in the definition it moves."""
        return f"{self.path} {self.definition} | {self.was} -> {self.now}"


@dataclass(frozen=True)
class Places:
    """Where modules can be mutated, in the order of the text, and how many places were left out for which reason."""

    all: list[Place]
    left_out: dict[str, int]


def places(root: Path, paths: list[str]) -> Places:
    """Return every place of the modules."""
    choices: dict[tuple[Any, ...], list[tuple[str, int]]] = defaultdict(list)
    left_out: dict[str, set[tuple[Any, ...]]] = defaultdict(set)
    for path in paths:
        source = (root / path).read_text()
        nodes = list(ast_nodes(get_ast(source)))
        for name, operator in _operators():
            occurrence = -1
            family = name.split("/")[1].split("_")[0]
            for node in nodes:
                for start, stop in operator.mutation_positions(node):
                    occurrence += 1
                    reason = _changes_nothing(node, lazy=FUTURE in source)
                    if reason:
                        left_out[reason].add((path, start, stop, family))
                        continue
                    key = (path, start, stop, family, ASTQuery(node).get_definition_name() or "")
                    choices[key].append((name, occurrence))
    found = [Place(key[0], key[1], key[3], key[4], tuple(choices[key])) for key in sorted(choices)]
    return Places(found, {reason: len(where) for reason, where in sorted(left_out.items())})


def sample(root: Path, population: list[Place], size: int, seed: int) -> list[Mutant]:
    """Return the mutants of `size` places drawn without replacement."""
    rng = random.Random(seed)
    drawn: list[Mutant] = []
    for place in rng.sample(population, len(population)):
        if len(drawn) == size:
            break
        mutant = _one_of(root, place, rng)
        if mutant is not None:
            drawn.append(mutant)
    return drawn


def _one_of(root: Path, place: Place, rng: random.Random) -> Mutant | None:
    source = (root / place.path).read_text()
    for name, occurrence in rng.sample(place.choices, len(place.choices)):
        mutated = mutate_code(source, get_operator(name)(), occurrence)
        if mutated is None or mutated == source or not _compiles(mutated):
            continue
        was, now = _difference(source, mutated)
        return Mutant(place.path, *place.start, place.definition, name.split("/")[1], was, now, mutated)
    return None


def _operators() -> Iterator[tuple[str, Any]]:
    """Yield the operators that need no arguments."""
    for name in sorted(operator_names()):
        operator = get_operator(name)
        if not operator.arguments():
            yield name, operator()


def _changes_nothing(node: Any, *, lazy: bool) -> str:
    """Return why nothing that runs depends on a node; nothing if something does."""
    in_f_string, child, parent = False, node, node
    while parent is not None:
        in_f_string = in_f_string or parent.type == "fstring"
        if parent.type == "if_stmt" and _is_type_checking(parent):
            return "if TYPE_CHECKING"
        if lazy and child is not parent and child is _annotation(parent):
            return "annotation"
        if node.type == "operator" and node.value == "*" and node.parent.type in ("parameters", "param"):
            return "* between parameters"
        if parent.type == "decorator" and _is_protocol(parent):
            return "decorator in a Protocol"
        if parent.type == "raise_stmt" and in_f_string:
            return "text of an error"
        child, parent = parent, parent.parent
    return ""


def _annotation(node: Any) -> Any:
    if node.type == "annassign":
        return node.children[1]
    if node.type == "tfpdef":
        return node.children[2]
    return node.annotation if node.type == "funcdef" else None


def _is_protocol(decorator: Any) -> bool:
    """Tell whether a decorator belongs to a member of a Protocol; that of the class itself does not."""
    holder = decorator.search_ancestor("classdef")
    bases = holder.get_super_arglist() if holder is not None else None
    return bases is not None and bases.get_code().strip() == "Protocol" and decorator.start_pos > holder.start_pos


def _is_type_checking(node: Any) -> bool:
    return getattr(node.children[1], "value", None) == "TYPE_CHECKING"


def _compiles(source: str) -> bool:
    try:
        compile(source, "mutant", "exec")
    except SyntaxError:
        return False
    return True


def _difference(old: str, new: str) -> tuple[str, str]:
    """Return the changed lines, before and after."""
    before, after = old.splitlines(), new.splitlines()
    first = next(i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b)
    last = next(i for i, (a, b) in enumerate(zip(reversed(before), reversed(after), strict=False)) if a != b)
    return tuple(" ".join(" ".join(lines[first : len(lines) - last]).split()) for lines in (before, after))
