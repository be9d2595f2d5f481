"""What a plan that was imported takes to be so, since no document of another system says anything of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fedlite.scenario.quantities import write
from fedlite.scenario.rollout.audience import Audience
from fedlite.scenario.rollout.download import Download
from fedlite.scenario.rollout.model import Model, Use
from fedlite.scenario.rollout.strategy import Strategy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fedlite.scenario.base import Section

_NUMBERS: Final[tuple[tuple[type[Section], str, str, str, str], ...]] = (
    (Model, "install_failure", "model.install_failure", "fraction", "of a good build's installations fail"),
    (Model, "crash_per_day", "model.crash_per_day", "fraction", "of the devices with a good build crash on a day"),
    (Use, "per_day", "model.use.per_day", "", "inferences a day on each device"),
    (Audience, "opt_out", "audience.opt_out", "fraction", "of the devices take no update"),
    (Download, "failure", "download.failure", "fraction", "of the attempts to download break off"),
    (Download, "retries", "download.retries", "", "more attempts after one that broke off"),
    (Strategy, "approval_s", "strategy.approval", "time", "until a person lets it go on"),
)
"""Section, its field, the key in a plan, what it measures, and what it is."""


def assumed(plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the key and value of each default that an imported plan rests on, but for keys that it tells."""
    for section, name, key, dimension, words in _NUMBERS:
        outer, _, inner = key.partition(".")
        told = plan.get(outer)
        if isinstance(told, dict) and inner in told:
            continue
        if key == "strategy.approval" and not _waits(plan):
            continue
        default = section.model_fields[name].default
        yield key, f"{write(default, dimension) if dimension else f'{default:g}'} {words}"


def _waits(plan: Mapping[str, Any]) -> bool:
    """Tell whether a person is asked: by a step, a wave, or a gate that pauses."""
    strategy = plan.get("strategy", {})
    steps, waves = strategy.get("steps", ()), strategy.get("waves", ())
    return (
        any(step.get("pause") == {} for step in steps)
        or any(wave.get("approval") for wave in waves)
        or any(gate["on_fail"] == "pause" for gate in plan.get("gates", ()))
    )
