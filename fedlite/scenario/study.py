"""A study: one base scenario, what is varied, and which seeds. `expand` lists every run of it."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BeforeValidator, Field, model_validator

from fedlite.errors import MOST_PROBLEMS, InvalidFileError, Problem, quoted
from fedlite.scenario.axes import wrong_axes
from fedlite.scenario.base import Section, at_most, mistake
from fedlite.scenario.loader import check, open_document
from fedlite.scenario.migrations import CURRENT
from fedlite.scenario.quantities import Means
from fedlite.scenario.schema import Scenario
from fedlite.scenario.version import SchemaVersion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedlite.scenario.strict_yaml import Document, Place

MAX_RUNS: Final = 1000
"""More than a month of runs of an hour each."""
MAX_CHANGES: Final = 100
"""About as many keys as a scenario has."""


def _choices(value: Any) -> Any:
    if not isinstance(value, list) or not value:
        raise mistake(f"got {quoted(value)}, expected a list of values to try", "write for example '[0.01, 0.1]'")
    return value


def _changes(value: Any) -> Any:
    if not isinstance(value, dict) or not value:
        raise mistake(f"got {quoted(value)}, expected dotted keys with values", "write for example '{wire.up: int8}'")
    return value


Choices = Annotated[list[Any], BeforeValidator(_choices), Means("list of values to try")]
Changes = Annotated[
    dict[str, Any],
    at_most(MAX_CHANGES, "keys"),
    BeforeValidator(_changes),
    Means("dotted keys with values, and optionally `label`"),
]


class Study(Section):
    """Runs of one scenario that differ in what is told."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """Short name; the study's directory is called after it."""
    description: str = ""
    """The question, for the report."""
    schema_: SchemaVersion = Field(default=CURRENT, alias="schema")
    """Which keys are meant: without it those of today. `fedlite migrate` makes an older file one of today's."""
    base: str
    """Path of the base scenario, taken from the study's folder."""
    grid: Annotated[dict[str, Choices], at_most(MAX_CHANGES, "keys")] = Field(default={})
    """Dotted key -> values; every combination is run."""
    variants: tuple[Changes, ...] = Field(default=(), strict=False, alias="list")
    """Sets of changes, run one after another; with a grid, each meets every combination."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False, min_length=1)] = (1,)
    """Every variant is run once with each."""
    axes: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Two numbers of a run's summary to draw against each other: the first to the right, the second upwards."""

    @model_validator(mode="after")
    def _is_of_sensible_size(self) -> Study:
        if len(set(self.seeds)) != len(self.seeds):
            raise mistake("got a seed twice", "keep each seed once", "seeds")
        if len(self.axes) not in {0, 2}:
            remedy = "write for example 'axes: [energy_j, accuracy]'"
            raise mistake(f"got {len(self.axes)} axes, expected two", remedy, "axes")
        if len(set(self.axes)) != len(self.axes):
            raise mistake(
                f"got the axis {self.axes[0]!r} twice, expected two numbers", "name another beside it", "axes"
            )
        return self


@dataclass(frozen=True)
class Variant:
    """One run of a study."""

    label: str
    """What differs from the base, such as "wire.up=int8, training.rounds=20"; "base" if nothing does."""
    overrides: dict[str, Any]
    """Dotted key -> value, for `load_scenario`; the seed is among them."""
    seed: int


@dataclass(frozen=True)
class LoadedStudy:
    """A study whose every variant is known to be a scenario in order."""

    study: Study
    path: Path
    base: Path
    variants: tuple[Variant, ...]


def load_study(path: str | Path, document: Document | None = None) -> LoadedStudy:
    """Return a study with its variants, after checking the scenario of each; `document` is its file if read already.

    Raises
    ------
    InvalidFileError
        With every mistake in the study, its base and its variants.
    """
    document = document or open_document(path)
    study = check(document, Study, Path(path).parent)
    _refuse_too_many(study, document)
    base = Path(path).parent / study.base
    base_document = open_document(base)
    check(base_document, Scenario, base.parent)
    variants = tuple(expand(study))
    # A seed makes no variant wrong.
    alike = [variant for variant in variants if variant.seed == study.seeds[0]]
    found: list[Problem] = []
    scenarios: list[Scenario] = []
    for count, variant in enumerate(alike, 1):
        try:
            scenarios.append(check(base_document.copy(), Scenario, base.parent, variant.overrides))
        except InvalidFileError as error:
            found += [_placed(problem, variant, document, study) for problem in error.problems]
        if len(found) >= MOST_PROBLEMS and count < len(alike):
            rest = f"got {len(alike) - count} variants that were not looked at, after so many mistakes in the others"
            found[MOST_PROBLEMS:] = [Problem(document.path, 0, 0, "(file)", rest, "mend those and ask again")]
            break
    found += [] if found else wrong_axes(study.axes, scenarios, document)
    if found:
        raise InvalidFileError(list(dict.fromkeys(found)))
    return LoadedStudy(study, Path(path), base, variants)


def _refuse_too_many(study: Study, document: Document) -> None:
    """Count the runs before any of them is made."""
    points = math.prod(len(values) for values in study.grid.values())
    runs = points * max(1, len(study.variants)) * len(study.seeds)
    if runs <= MAX_RUNS:
        return
    key = "seeds" if len(study.seeds) > max(points, len(study.variants)) else "grid" if points > 1 else "list"
    place = document.values.get((key,), document.values[()])
    message = f"got {runs} runs, expected at most {MAX_RUNS}"
    raise InvalidFileError([Problem(document.path, place.line, place.column, key, message, "try fewer values")])


def expand(study: Study) -> list[Variant]:
    """Return every run of a study: list entries, then grid combinations (last key fastest), then seeds."""
    rows = []
    for changes, point in itertools.product(study.variants or ({},), _points(study.grid)):
        given = {key: value for key, value in changes.items() if key != "label"}
        parts = [str(changes["label"])] if "label" in changes else [f"{key}={_short(given[key])}" for key in given]
        label = ", ".join([*parts, *(f"{key}={_short(value)}" for key, value in point.items())]) or "base"
        rows += [Variant(label, {**given, **point, "seed": seed}, seed) for seed in study.seeds]
    return rows


def _points(grid: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def _short(value: Any) -> str:
    """Return a value as a word for labels."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_short(item)}" for key, item in value.items()) + "}"
    return "+".join(_short(item) for item in value) if isinstance(value, list) else str(value)


def _placed(problem: Problem, variant: Variant, document: Document, study: Study) -> Problem:
    """Return what is wrong with one variant's scenario, placed where the study says it."""
    place = _place(problem, variant, document, study)
    return replace(problem, path=place.path, line=place.line, column=place.column)


def _place(problem: Problem, variant: Variant, document: Document, study: Study) -> Place:
    for path, place in document.values.items():
        if len(path) == 2 and path[0] == "grid" and _concerns(problem, str(path[1])):  # noqa: PLR2004
            position = study.grid[str(path[1])].index(variant.overrides[str(path[1])])
            return document.values.get((*path, position), place)
    for path, place in document.keys.items():
        if len(path) == 3 and path[0] == "list" and _concerns(problem, str(path[2])):  # noqa: PLR2004
            changes, key = study.variants[int(path[1])], str(path[2])
            if changes[key] == variant.overrides.get(key):
                return place
    return document.values[()]


def _concerns(problem: Problem, key: str) -> bool:
    return problem.key == key or problem.key.startswith(f"{key}.") or key.startswith(f"{problem.key}.")
