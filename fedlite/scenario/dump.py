"""A scenario -> YAML that reads back as the same scenario: every default written out, every quantity with its unit."""

from __future__ import annotations

from typing import Any, Final

import yaml

from fedlite.scenario.schema import FleetScenario, as_written
from fedlite.scenario.strict_yaml import scalar


class _Dumper(yaml.SafeDumper):
    """PyYAML's writer with text quoted by the rules of YAML 1.2, by which `strict_yaml` reads."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write every value out."""
        return True


_LINE_BREAKS: Final = "\x85\u2028\u2029"
"""Characters that PyYAML folds like a line break wherever they stand unescaped."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = None if isinstance(scalar(text), str) else "'"
    if any(character in text for character in _LINE_BREAKS):
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def dump_scenario(scenario: FleetScenario) -> str:
    """Return the resolved scenario as YAML; `parse_scenario` gives an equal scenario back."""
    return dump(as_written(scenario))


def dump(value: Any) -> str:
    """Return plain values as YAML text."""
    return yaml.dump(
        _plain(value), Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
