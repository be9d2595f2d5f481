"""A commented scenario to begin with, for each combination of a few fleets, datasets and goals."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Final

from fedlite.errors import UnknownNameError
from fedlite.scenario.migrations import CURRENT

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Choice:
    """One answer: what people call it, and the lines of YAML that it stands for."""

    words: str
    lines: str
    local: str = ""
    """Of a dataset: how a device trains on it."""


FLEETS: Final[Mapping[str, Choice]] = {
    "phones": Choice(
        "phones",
        "  devices: 50\n  mix: consumer-phones               # or {pixel-6: 60 %, galaxy-a52: 40 %}, ...",
    ),
    "watches": Choice("watches", "  devices: 20\n  mix: {watch-wear-4100: 60 %, watch-exynos-9110: 40 %}"),
    "iot-mix": Choice(
        "boards and microcontrollers",
        "  devices: 20\n  mix: {pi-4b: 25 %, pi-zero-2w: 35 %, jetson-nano: 10 %, esp32-s3: 30 %}",
    ),
}
DATA: Final[Mapping[str, Choice]] = {
    "digits": Choice(
        "handwritten digits",
        "  data: digits                       # `fedlite data list` shows more\n"
        "  partition: {kind: dirichlet, alpha: 0.5}\n  model: mlp",
        "{epochs: 2, batch_size: 16, lr: 0.1}",
    ),
    "watch": Choice(
        "exercises from wrist motion",
        "  data: watch                        # ten people, both wrists; fetched once\n"
        "  partition: natural                 # each device has one wrist's recordings\n  model: cnn1d",
        "{epochs: 2, batch_size: 16, lr: 0.05}",
    ),
    "fashion-mnist": Choice(
        "pictures of clothing",
        "  data: fashion-mnist                # fetched once\n"
        "  partition: {kind: dirichlet, alpha: 0.5}\n  model: {name: cnn, width: 0.5}",
        "{epochs: 1, batch_size: 32, lr: 0.05}",
    ),
}
_ALL: Final = """\
# clients:                           # the first rule that fits a device holds; without one it trains the full model
#   - for: {tier: mcu}
#     plan: {width: 0.25, up: int8+zstd}
#   - for: {tier: wearable}
#     plan: {bits: 8}"""
_SMALL: Final = """\
clients:                             # the first rule that fits a device holds; without one it trains the full model
  - for: {tier: mcu}
    plan: {width: 0.25, up: int8+zstd}"""
_NO_PRIVACY: Final = (
    "\n\n# privacy: {mechanism: server-fixed-clipping, noise_multiplier: 0.5, clipping_norm: 1.0, delta: 1e-4}"
)
GOALS: Final[Mapping[str, Choice]] = {
    "accuracy": Choice(
        "as accurate as it gets", f"wire: {{up: int8+zstd, down: fp16}}    # fp32 if left out{_NO_PRIVACY}"
    ),
    "bytes": Choice(
        "with few bytes",
        "wire:                                # a twentieth of an update goes up, the rest is owed\n"
        f"  up: topk:0.05+fp16+zstd\n  down: int8+zstd\n  error_feedback: true{_NO_PRIVACY}",
    ),
    "energy": Choice(
        "with little energy", f"wire: {{up: int8+zstd, down: fp16}}    # bytes are energy, too{_NO_PRIVACY}"
    ),
    "privacy": Choice(
        "with privacy for each client",
        "wire: {up: fp32+zstd, down: fp16}    # rounding could lengthen what was clipped\n"
        "privacy:                             # clipped on the device, noise by the server; the report tells epsilon\n"
        "  mechanism: client-fixed-clipping\n  noise_multiplier: 1.0\n  clipping_norm: 0.3\n  delta: 1e-3",
    ),
}
_ROUNDS: Final = {"accuracy": (10, 10), "bytes": (10, 10), "energy": (30, 3), "privacy": (10, 20)}
"""Goal -> rounds, and replies wanted in each: noise is shared by all of them.

Early rounds gain little by seven replies more, and every reply costs a radio its tail: what three save is in
benchmarks/starters.
"""


def starter(fleet: str = "phones", data: str = "digits", goal: str = "accuracy") -> str:
    """Return the text of a scenario.

    Raises
    ------
    UnknownNameError
        If there is no such choice.
    """
    chosen = [_of(*each) for each in (("--fleet", FLEETS, fleet), ("--data", DATA, data), ("--goal", GOALS, goal))]
    who, what, why = chosen
    rounds, replies = _ROUNDS[goal]
    failures = "\n  failures: missing                  # an error must not cost the others their round" * (
        goal == "privacy"
    )
    template = Template(files("fedlite.scenario").joinpath("starter.yaml").read_text(encoding="utf-8"))
    return template.substitute(
        schema=CURRENT,
        name=f"{fleet}-{data}-{goal}" if (fleet, data, goal) != ("phones", "digits", "accuracy") else "my-first-fleet",
        description=f"{what.words[0].upper()}{what.words[1:]}, learned on {who.words}, {why.words}.",
        fleet=who.lines,
        data=what.lines,
        training=f"  rounds: {rounds}\n  clients_per_round: {replies}{failures}",
        local=what.local,
        clients=_clients(fleet, goal),
        goal=why.lines,
    )


def _clients(fleet: str, goal: str) -> str:
    """Return the rules: microcontrollers need a part of the model, but under privacy, whose noise is for one model."""
    return _SMALL if fleet == "iot-mix" and goal != "privacy" else _ALL


def _of(option: str, choices: Mapping[str, Choice], name: str) -> Choice:
    if name not in choices:
        raise UnknownNameError(option, name, list(choices))
    return choices[name]
