"""The JSON Schema of a scenario, a rollout plan or a study: the keys, what may be written, and what it means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fedlite.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedlite.scenario.base import Section

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
KINDS: Final = ("scenario", "rollout", "study")


def json_schema(kind: str = "scenario") -> dict[str, Any]:
    """Return the JSON Schema of one kind of file.

    It is as strict as keys and single values go; what several of them mean together, `fedlite validate` judges.

    Raises
    ------
    UnknownNameError
        If there is no such kind.
    """
    made = _section(kind).model_json_schema(by_alias=True, mode="validation")
    for union in list(_unions(made)):
        _tell_apart(union, made["$defs"])
    return {"$schema": DIALECT, **made, "title": f"fedlite {kind}"}


def _section(kind: str) -> type[Section]:
    if kind == "scenario":
        from fedlite.scenario.schema import Scenario

        return Scenario
    if kind == "rollout":
        from fedlite.scenario.rollout.plan import RolloutPlan

        return RolloutPlan
    if kind == "study":
        from fedlite.scenario.study import Study

        return Study
    raise UnknownNameError("schema", kind, list(KINDS))


def _unions(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every choice of sections that a key tells apart."""
    if isinstance(schema, dict):
        if "discriminator" in schema and "oneOf" in schema:
            yield schema
        for inner in schema.values():
            yield from _unions(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _unions(inner)


def _tell_apart(union: dict[str, Any], sections: dict[str, Any]) -> None:
    """Ask for the key that tells sections apart; the dialect knows no `discriminator`."""
    key = union.pop("discriminator")["propertyName"]
    for reference in union["oneOf"]:
        section = sections[reference["$ref"].rpartition("/")[2]]
        section["required"] = sorted({*section.get("required", ()), key})
