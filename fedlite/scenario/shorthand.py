"""Text where a mapping could stand: `strategy: fedadam` means `strategy: {name: fedadam}`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

SHORTHANDS: Final[dict[str, str]] = {
    "availability": "kind",
    "protocol": "kind",
    "partition": "kind",
    "split": "kind",
    "model": "name",
    "strategy": "name",
    "privacy": "mechanism",
    "app": "client",
}
"""Key of a scenario -> the inner key that a plain text stands for."""


@dataclass(frozen=True)
class _Expanding:
    """The annotation of a section that a text may stand for: the value of its key `inner`."""

    inner: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        def expand(value: Any) -> Any:
            return {self.inner: value} if isinstance(value, str) else value

        return core_schema.no_info_before_validator_function(expand, handler(source))

    def __get_pydantic_json_schema__(self, core: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        made = handler(core)
        whole = handler.resolve_ref_schema(made)
        sections = [handler.resolve_ref_schema(each) for each in whole.get("oneOf", [whole])]
        texts = [each["properties"][self.inner] for each in sections]
        return {"anyOf": [*({"const": text["const"]} if "const" in text else text for text in texts), made]}


def expanding(inner: str) -> _Expanding:
    """Return the annotation that turns text into a mapping with this one key."""
    return _Expanding(inner)
