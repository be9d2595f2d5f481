"""What an adversary of a scenario's trust model sees, between the run that records it and whoever attacks afterwards.

`seen.safetensors` has the arrays (see `flower.tape`), `seen.json` says what they are. Neither holds anybody's data: the
attack makes that again from the run's own scenario, to compare.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from safetensors import SafetensorError
from safetensors.numpy import load_file

from fedlite.errors import FedliteError
from fedlite.flower.tape import Tape, Watch
from fedlite.units import show

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from fedlite.flower.native_clients import NativeTask
    from fedlite.flower.tape import Seen
    from fedlite.results.directory import RunDirectory
    from fedlite.scenario.schema import FleetScenario, Scenario

    Array = NDArray[np.floating[Any]]

ARRAYS: Final = "seen.safetensors"
TOLD: Final = "seen.json"
MOST_BYTES: Final = 2 * 2**30
"""Held in memory until the run ends."""
_MODELS: Final = 2


def tape(scenario: Scenario, task: NativeTask) -> Tape | None:
    """Return what records a run for the scenario's adversary; None if it has none.

    Raises
    ------
    FedliteError
        If that is more than memory should hold.
    """
    adversary = scenario.adversary
    if adversary is None:
        return None
    rounds = adversary.kept_rounds(scenario.training.rounds)
    clients = min(adversary.kept_clients or scenario.asked, scenario.asked) if adversary.sees == "updates" else 1
    kept_bytes = len(rounds) * (_MODELS + clients) * _model_bytes(task)
    if kept_bytes > MOST_BYTES:
        raise FedliteError(
            f"adversary: got {len(rounds)} rounds of {clients} updates, which take {show(kept_bytes, 'bytes')},"
            f" expected at most {show(MOST_BYTES, 'bytes')}; write fewer rounds or clients"
        )
    return Tape(Watch(adversary.sees, frozenset(rounds), adversary.kept_clients), task.names)


def _model_bytes(task: NativeTask) -> int:
    state = task.spec.build().state_dict().values()
    return sum(part.numel() * part.element_size() for part in state)


def write(directory: RunDirectory, scenario: FleetScenario, seen: Seen) -> None:
    """Write what was seen into the run's directory."""
    adversary = scenario.adversary
    directory.write_arrays(ARRAYS, seen.arrays)
    directory.write_json(TOLD, {"format": 1, "sees": adversary and adversary.sees, "rounds": seen.rounds})


@dataclass(frozen=True)
class Reply:
    """Who replied in a round; the update only where the adversary sees single ones."""

    device: int
    client: int
    examples: int
    update: Mapping[str, Array]


@dataclass(frozen=True)
class SeenRound:
    """A round as the adversary saw it: the model that went out, the replies, and their mean where only that is seen."""

    number: int
    model: Mapping[str, Array]
    after: Mapping[str, Array]
    mean: Mapping[str, Array]
    replies: Sequence[Reply]


@dataclass(frozen=True)
class Sight:
    """What the adversary of a finished run saw: "updates", "sums" or "models", round by round."""

    sees: str
    rounds: Sequence[SeenRound]


def read(run: Path) -> Sight:
    """Return what the adversary of a finished run saw.

    Raises
    ------
    FedliteError
        If nothing was recorded, or it is damaged.
    """
    if not (run / TOLD).is_file():
        raise FedliteError(
            f"{run}: got a run of which nothing was recorded, expected one with an adversary;"
            " add 'adversary: {sees: updates}' to its scenario and run it again"
        )
    try:
        told = json.loads((run / TOLD).read_text(encoding="utf-8"))
        arrays = load_file(run / ARRAYS)
        return Sight(str(told["sees"]), [_round(one, arrays) for one in told["rounds"]])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise FedliteError(
            f"{run / TOLD}: got a damaged recording ({error}), expected a whole one; run it again"
        ) from (error)


def _round(told: Mapping[str, Any], arrays: Mapping[str, Array]) -> SeenRound:
    number = int(told["round"])
    replies = [
        Reply(int(one["device"]), int(one["client"]), int(one["examples"]), _under(arrays, number, one["device"]))
        for one in told["replies"]
    ]
    after = _under(arrays, number + 1, "model")
    return SeenRound(number, _under(arrays, number, "model"), after, _under(arrays, number, "mean"), replies)


def _under(arrays: Mapping[str, Array], round_: int, what: object) -> dict[str, Array]:
    prefix = f"{round_}/{what}/"
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}
