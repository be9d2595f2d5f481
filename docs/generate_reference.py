"""Write docs/reference/scenario.md and rollout-plan.md from the schemas, or say that they are stale.

python docs/generate_reference.py            writes the pages
python docs/generate_reference.py --check    exits with 1 if a page is not what its schema says
"""

from __future__ import annotations

import argparse
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from fedlite.scenario.base import Section
from fedlite.scenario.clients import PlanSection
from fedlite.scenario.fleet import Fleet
from fedlite.scenario.problems import sections_of
from fedlite.scenario.quantities import Means
from fedlite.scenario.rollout.gates import METHODS, METRICS
from fedlite.scenario.rollout.plan import RolloutPlan
from fedlite.scenario.rollout.presets import PRESETS
from fedlite.scenario.schema import Scenario
from fedlite.scenario.study import Study

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

FOLDER = Path(__file__).parent / "reference"

HEAD = """\
# Scenario reference

<!-- Written by docs/generate_reference.py from the schema; change the schema, then run it again. -->

A scenario is one YAML file, read strictly: unknown keys, duplicate keys, quantities without units and impossible
combinations are refused, all of them at once (up to 100), each with line and column. `fedlite validate FILE` only
checks, `fedlite run FILE --set training.rounds=3` changes a key for one run.

- **Scalars** follow the YAML 1.2 core schema: `1e-5` is a number, `no` and `on` are text, `0777` is 777.
- **Quantities** carry a unit: `10 min`, `512 MiB`, `3.1 Wh`, `20 Mbit/s`; shares may be `30 %` or `0.3`.
- **Shorthand**: where a section begins with `kind`, `name`, `mechanism` or `client`, a plain text stands for that key:
  `strategy: fedadam` is `strategy: {name: fedadam}`.
- **Versions**: `schema: 2` says which keys are meant; without it, today's. A file that says an earlier one is
  understood, and `fedlite migrate FILE` rewrites it, comments kept. Schema 2 calls `options` what was `arguments` in
  `training.strategy` and `task.partition`.
- **Editors** complete and check by `fedlite schema > scenario.schema.json` (or `schema rollout`, `schema study`) and a
  first line `# yaml-language-server: $schema=scenario.schema.json`, which VS Code with its YAML extension, Neovim and
  JetBrains read.
- **Code of your own** is named `pkg.mod:name` and is imported only when the scenario runs.

Keys in bold must be given.
"""

STUDY_HEAD = """\
# Study

A study is a file of its own for `fedlite sweep`: a base scenario and what is varied. `fedlite validate` checks the
scenario of every variant.
"""


ROLLOUT_HEAD = """\
# Rollout plan reference

<!-- Written by docs/generate_reference.py from the schema; change the schema, then run it again. -->

A rollout plan is one YAML file: which devices get which variant of a model when, under what conditions, and what stops
it. It is read as strictly as a [scenario](scenario.md), with the same units. `fedlite validate FILE` checks it,
`fedlite rollout import` and `export` read and write [plans of other systems](../how-to/import-a-rollout.md).

The keys of `fleet` are those of a [scenario's](scenario.md#fleet); `rules` and the round's part of `protocol` belong to
training. A `plan` under `model.variants` is one of [`clients`](scenario.md#clients). Steps use the words of Argo
Rollouts, rates those of AWS IoT Jobs. Keys in bold must be given.
"""


def scenario_page() -> str:
    """Return the page of scenarios and studies."""
    parts = [HEAD, *_section("", Scenario, 2, set()), STUDY_HEAD.replace("# Study", "## Study"), _table(Study)]
    return "\n".join(parts).rstrip() + "\n"


def rollout_page() -> str:
    """Return the page of rollout plans."""
    # What the other page describes is not told twice.
    parts = [ROLLOUT_HEAD, *_section("", RolloutPlan, 2, {Fleet, PlanSection}), *_rollout_tables()]
    return "\n".join(parts).rstrip() + "\n"


def _rollout_tables() -> Iterator[str]:
    yield "## Presets\n"
    rows = [f"| `{name}` | {preset.words} |" for name, preset in PRESETS.items()]
    yield "\n".join(["| preset | what it stands for |", "|---|---|", *rows]) + "\n"
    yield "## Metrics and methods\n"
    rows = [f"| `{name}` | {metric.kind} | {metric.direction} | {metric.words} |" for name, metric in METRICS.items()]
    yield "\n".join(["| metric | kind | worse is | what it is of |", "|---|---|---|---|", *rows]) + "\n"
    rows = [
        f"| `{name}` | {', '.join(sorted(method.reads))} |"
        f" {', '.join(' or '.join(f'`{key}`' for key in either) for either in method.needs)} |"
        for name, method in METHODS.items()
    ]
    yield "\n".join(["| method | reads | needs |", "|---|---|---|", *rows]) + "\n"


PAGES = {"scenario.md": scenario_page, "rollout-plan.md": rollout_page}


def _section(path: str, section: type[Section], level: int, done: set[type[Section]]) -> Iterator[str]:
    """Yield a section's heading, words and table, then those of the sections inside it."""
    done.add(section)
    if path:
        yield f"{'#' * level} `{path}`\n"
        yield f"{_first_words(section)}\n"
    if section.model_fields:
        yield _table(section)
    yield from _inside(path, section, min(level + 1, 4) if path else level, done)


def _inside(path: str, section: type[Section], level: int, done: set[type[Section]]) -> Iterator[str]:
    """Yield the sections inside a section."""
    for name, field in section.model_fields.items():
        key = field.alias or name
        inner_path = f"{path}.{key}" if path else key
        inner = [found for found in sections_of(field.annotation) if found not in done]
        if len(inner) > 1:
            yield from _choice(inner_path, field, inner, level, done)
        elif inner:
            yield from _section(inner_path, inner[0], level, done)


def _choice(
    path: str, field: FieldInfo, options: list[type[Section]], level: int, done: set[type[Section]]
) -> Iterator[str]:
    """Yield one heading for a choice of sections, each with its own keys, then the sections inside them."""
    yield f"{'#' * level} `{path}`\n"
    yield f"{field.description} One of:\n"
    for option in options:
        tag_key, tag = _tag(option)
        yield f"**`{tag_key}: {tag}`**: {_first_words(option)}\n"
        told = frozenset() if tag == _ANYTHING else frozenset({tag_key})
        if set(option.model_fields) - told:
            yield _table(option, leave_out=told)
    for option in options:
        yield from _inside(path, option, min(level + 1, 4), done)


def _table(section: type[Section], leave_out: frozenset[str] = frozenset()) -> str:
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for name, field in section.model_fields.items():
        key = field.alias or name
        if key in leave_out:
            continue
        shown = f"**`{key}`**" if field.is_required() else f"`{key}`"
        meaning = " ".join((field.description or "").split())
        rows.append(f"| {shown} | {_words(field)} | {_default(field)} | {meaning} |")
    return "\n".join(rows) + "\n"


def _first_words(section: type[Section]) -> str:
    return " ".join((section.__doc__ or "").split("\n\n")[0].split())


def _tag(section: type[Section]) -> tuple[str, str]:
    for name, field in section.model_fields.items():
        if name in {"kind", "name", "mechanism"}:
            if get_origin(field.annotation) is Literal:
                return name, get_args(field.annotation)[0]
            return name, "pkg.mod:name"
    return next(iter(section.model_fields)), _ANYTHING


_ANYTHING = "..."
"""Stands for the value of a first key that makes a section what it is by being there."""


def _words(field: FieldInfo) -> str:
    """Return what a person may write, with its bounds."""
    meant = next((item.text for item in field.metadata if isinstance(item, Means)), None)
    bounds = [text for item in field.metadata for text in _bound(item)]
    if meant is not None:
        return ", ".join([meant, *bounds])
    return ", ".join([_type_words(field.annotation), *bounds])


def _type_words(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *rest = get_args(annotation)
        meant = next((item.text for item in rest if isinstance(item, Means)), None)
        bounds = [text for item in rest for text in _bound(item)]
        return meant or ", ".join([_type_words(inner), *bounds])
    if origin in {Union, types.UnionType}:
        parts = [_type_words(part) for part in get_args(annotation) if part is not type(None)]
        return "a section" if parts and set(parts) == {"a section"} else " or ".join(dict.fromkeys(parts))
    if origin is Literal:
        return " \\| ".join(f"`{choice}`" for choice in get_args(annotation))
    if origin in {tuple, list}:
        item = _type_words(get_args(annotation)[0])
        return "list of sections" if item == "a section" else f"list of: {item}"
    if origin is dict:
        key, value = get_args(annotation)
        return f"`{{key: value}}`: {_type_words(key)} to {_type_words(value)}"
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "a section"
    return {int: "whole number", float: "number", bool: "`true` \\| `false`", str: "text"}.get(annotation, "any value")


def _bound(item: Any) -> Iterator[str]:
    """Yield the bounds of an annotation, a `Field(...)` inside `Annotated` included."""
    for inner in [item, *getattr(item, "metadata", [])]:
        for name, words in (("gt", "above"), ("ge", "at least"), ("lt", "below"), ("le", "at most")):
            bound = getattr(inner, name, None)
            if bound is not None and not isinstance(inner, FieldInfo):
                yield f"{words} {_number(bound)}"


def _number(bound: float) -> str:
    if isinstance(bound, int) and bound >= _LARGE:
        return f"2^{bound.bit_length() - 1}" if bound & (bound - 1) == 0 else f"{bound:,}"
    return f"{bound:g}"


_LARGE = 100_000


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    value = field.default
    if isinstance(value, Section):
        tag = next((getattr(value, key) for key in ("kind", "name", "mechanism") if hasattr(value, key)), None)
        return f"`{tag}`" if tag else ""
    if value is None or value in ({}, (), ""):
        return ""
    if isinstance(value, tuple) and isinstance(value[0], Section):
        return f"`{'+'.join(str(getattr(one, 'name', '')) for one in value)}`"
    written = _written(field, value)
    return f"`{'true' if written is True else 'false' if written is False else written}`"


def _written(field: FieldInfo, value: Any) -> Any:
    """Return a default as it would stand in a file: with its unit, lists joined."""
    serialise = _serialiser(field.metadata)
    if serialise is not None:
        return serialise(value)
    if not isinstance(value, tuple):
        return value
    of_items = [_serialiser(getattr(item, "__metadata__", ())) for item in get_args(field.annotation)]
    if all(of_items) and len(of_items) == len(value):
        return f"[{', '.join(str(write(item)) for write, item in zip(of_items, value, strict=True))}]"
    return "+".join(map(str, value))


def _serialiser(metadata: Iterable[Any]) -> Callable[[Any], Any] | None:
    return next((item.func for item in metadata if hasattr(item, "func") and hasattr(item, "when_used")), None)


def main() -> int:
    """Write the pages, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 if a page is stale")
    check = parser.parse_args().check
    stale = False
    for name, made in PAGES.items():
        page = FOLDER / name
        if not check:
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(made(), encoding="utf-8")
        elif not page.exists() or page.read_text(encoding="utf-8") != made():
            sys.stderr.write(f"{page}: the schema says something else; run 'python docs/generate_reference.py'\n")
            stale = True
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())
