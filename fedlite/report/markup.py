"""HTML that is escaped unless it says otherwise.

`tag` escapes every child that is a plain string; only `Safe` strings, which `tag` and `safe_join` return, pass through.
A name in a scenario or a data set can therefore never become markup.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

VOID: Final = frozenset({"br", "hr", "img", "input", "link", "meta"})


class Safe(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | int | None
Attribute = str | bool | None


def escape(text: Child) -> Safe:
    """Return `text` as HTML: `Safe` text unchanged, anything else escaped, None as nothing."""
    if isinstance(text, Safe):
        return text
    return Safe("" if text is None else html.escape(str(text)))


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Safe:
    """Return one element. Attribute names lose a trailing underscore and turn other underscores into hyphens.

    True writes the bare attribute; False and None leave it out.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Safe(f"<{name}{written}>")
    return Safe(f"<{name}{written}>{safe_join(children)}</{name}>")


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{html.escape(value)}"'


def safe_join(children: Iterable[Child], separator: str = "") -> Safe:
    """Return the children one after the other, each escaped unless it is `Safe`."""
    return Safe(separator.join(escape(child) for child in children))


def data_script(element_id: str, value: Any) -> Safe:
    r"""Return a JSON data block that no string inside can close.

    `<`, `>`, `&` and the two line separators of JavaScript are written as `\\uXXXX`; not-a-number and infinities become
    null, because JSON has neither.
    """
    text = json.dumps(finite(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Safe(f'<script type="application/json" id="{html.escape(element_id)}">{text}</script>')


def finite(value: Any) -> Any:
    """Return a nested value with every not-a-number or infinity replaced by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [finite(item) for item in value]
    return value


def script(source: str) -> Safe:
    """Return an inline script of our own or of plotly; it must not contain its own end tag."""
    if "</script" in source.lower():
        raise AssertionError("an inlined script contains its own end tag")
    return Safe(f"<script>{source}</script>")


def source_hash(source: str) -> str:
    """Return the hash by which a content security policy admits exactly this inline script."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode() + "'"


def plain(text: Child) -> str:
    """Return the words of `text` without its tags."""
    return html.unescape(_TAG.sub("", text)) if isinstance(text, Safe) else str("" if text is None else text)


_TAG: Final = re.compile(r"<[^>]*>")
