"""What an attack has to hand: what was seen of a finished run, its net, and the truth that a guess is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from fedlite.compose import watching
from fedlite.compose.final_model import final_arrays, scenario_of
from fedlite.compose.finished import load_run
from fedlite.compose.learning import prepare
from fedlite.errors import FedliteError
from fedlite.rng import stream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fedlite.compose.learning import Learning
    from fedlite.compose.watching import Sight
    from fedlite.scenario.schema import Scenario

    Array = NDArray[Any]

_CLASSES = "cross-entropy"


@dataclass(frozen=True)
class Observation:
    """An update that the adversary can tell, and the data owners that it is made of.

    Attributes
    ----------
    round_ : int
    device : int or None
        Whose it is; None of a sum or a difference of released models.
    owners : tuple of int
    examples : int
        Of the owners, together.
    model, update : mapping
        The model that went out, and by what it was changed, tensor by tensor.
    """

    round_: int
    device: int | None
    owners: tuple[int, ...]
    examples: int
    model: Mapping[str, Array]
    update: Mapping[str, Array]

    @property
    def who(self) -> str:
        """In words."""
        return f"{len(self.owners)} clients" if self.device is None else f"device {self.device}"


@dataclass(frozen=True)
class Scene:
    """A finished run under attack.

    Attributes
    ----------
    run : Path
    scenario : Scenario
    learning : Learning
        What was learned, and from what: the truth.
    final : list of arrays
        The model that was released in the end.
    """

    run: Path
    scenario: Scenario
    learning: Learning
    final: list[Array]

    @classmethod
    def of(cls, run: Path) -> Scene:
        """Return the scene of a run's directory.

        Raises
        ------
        FedliteError
            If it holds no finished run of a scenario that learns classes.
        """
        scenario = scenario_of(run, "run")
        load_run(run)
        learning = prepare(scenario)
        if learning.objective != _CLASSES:
            raise FedliteError(
                f"run: got {run}, whose objective is {learning.objective!r}, expected {_CLASSES!r}, which attacks know;"
                " attack a run that learns classes"
            )
        return cls(run, scenario, learning, final_arrays(run, learning, "run"))

    @cached_property
    def sight(self) -> Sight:
        """What the adversary saw; raises FedliteError if nothing was recorded."""
        return watching.read(self.run)

    def single(self, attack: str) -> None:
        """Raise FedliteError if the adversary saw no single updates, which an attack needs."""
        if self.sight.sees != "updates":
            raise FedliteError(
                f"run: got a recording of {self.sight.sees}, in which nobody is seen alone, expected single updates for"
                f" the {attack} attack; write 'adversary: {{sees: updates}}' in the scenario and run it again"
            )

    def observations(self) -> Iterator[Observation]:
        """Yield what the adversary can tell: each update, or each round's mean, or what each round changed."""
        final = dict(zip(self.learning.names, self.final, strict=True))
        for one in self.sight.rounds:
            if self.sight.sees == "updates":
                for reply in one.replies:
                    yield Observation(
                        one.number, reply.device, (reply.client,), reply.examples, one.model, reply.update
                    )
                continue
            owners = tuple(dict.fromkeys(reply.client for reply in one.replies))
            after = one.after or final
            update = one.mean or {name: after[name] - old for name, old in one.model.items()}
            examples = sum(reply.examples for reply in one.replies)
            yield Observation(one.number, None, owners, examples, one.model, update)

    def rows_of(self, owners: Sequence[int]) -> NDArray[np.int64]:
        """Return the training rows of data owners."""
        return np.concatenate([self.learning.rows[owner] for owner in owners])

    def net(self, model: Mapping[str, Array]) -> nn.Module:
        """Return the net with the values of a model, counters as they begin."""
        net = self.learning.build()
        state = {name: torch.as_tensor(np.array(model[name])) for name in model}
        net.load_state_dict({**net.state_dict(), **state})
        return net.eval()  # torch's switch: nothing drops out, batch statistics stay

    @cached_property
    def layers(self) -> list[tuple[str, nn.Module]]:
        """The net's layers that hold weights, in order, by name."""
        net = self.learning.build()
        return [(name, each) for name, each in net.named_modules() if list(each.parameters(recurse=False))]

    @property
    def span(self) -> tuple[float, float]:
        """The least and the greatest value of the data."""
        x = self.learning.data.x_train
        return float(x.min()), float(x.max())

    def stream(self, *names: str | int) -> np.random.Generator:
        """Return a random stream of the attack's own."""
        return stream(self.scenario.seed, "attack", *names)


def bias_of_classes(scene: Scene) -> str:
    """Return the name of the last layer's bias.

    Raises
    ------
    FedliteError
        If the net does not end with a linear layer that has one.
    """
    name, last = scene.layers[-1]
    if not isinstance(last, nn.Linear) or last.bias is None:
        raise FedliteError(
            f"run: got the model {scene.learning.spec.name!r}, which ends with {type(last).__name__}, expected a linear"
            " layer with a bias, from which labels are read; attack a run of another model"
        )
    return f"{name}.bias"
