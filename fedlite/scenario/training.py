"""The `training` section: the strategy, the rounds, and what a client does in one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from fedlite.scenario.base import Section
from fedlite.scenario.quantities import Level, PositiveFraction, Seconds
from fedlite.scenario.strategies import AnyStrategy, Count, Decay, FedAvg, FedProx, NonNegative

if TYPE_CHECKING:
    from fedlite.learning.training.records import LocalConfig


class Local(Section):
    """What every client does with the model it was sent."""

    epochs: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Passes over the client's own rows."""
    batch_size: Count = 16
    """Rows per step."""
    lr: Annotated[float, Field(gt=0, le=1e6)] = 0.02
    """Learning rate."""
    momentum: Decay = 0.0
    """Momentum of SGD."""
    weight_decay: NonNegative = 0.0
    """Weight decay, added to the gradient."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """Its state starts at zero in every job."""
    proximal_mu: NonNegative = 0.0
    """Weight of FedProx's proximal term; `strategy: fedprox` sets it."""
    max_steps: Count | None = None
    """Steps after which a job stops, whatever `epochs` says."""


class Training(Section):
    """How the model is trained."""

    strategy: AnyStrategy = FedAvg()
    """How replies become the next model."""
    rounds: Annotated[int, Field(ge=1, le=1_000_000)] = 10
    """Rounds, or server steps of an asynchronous strategy."""
    clients_per_round: Count | None = None
    """Replies wanted in a round; without it the goal of `fleet.protocol`, or 10, or every device of a smaller fleet."""
    over_select: Annotated[float, Field(ge=1, le=10)] | None = None
    """Ask this many times as many devices as are wanted, since some will fail; without it as `fleet.protocol` says, or
    as many as are wanted."""
    deadline_s: Seconds | None = Field(default=None, alias="deadline")
    """Virtual time after which a round closes; without it as `fleet.protocol` says, or with the last device asked."""
    first: Count | None = None
    """Close the round once this many replies have come; with `over_select`, the cohort if nothing is told."""
    failures: Literal["missing", "error"] = "missing"
    """What the strategy sees of a device that failed: nothing, or an error reply."""
    local: Local = Local()
    """What a client does."""
    evaluate_every: Annotated[int, Field(ge=0)] = 1
    """Test the global model after every so many rounds, and after the last; 0 means after the last only."""
    evaluate_on: Count | None = None
    """Test it on so many of the test rows, the same in every round, run and seed; without it on all of them."""
    mode: Literal["auto", "sequential", "batched"] = "auto"
    """How clients are executed: one by one, or many at once in stacked tensors."""
    replies: Literal["auto", "reduced", "separate"] = "auto"
    """Whether replies are summed where they are made; `auto` does so where the strategy is a weighted mean."""
    target: Level | None = None
    """Report what it took to get the main metric this far, up or down as is better; the run goes on."""
    target_accuracy: PositiveFraction | None = None
    """The same for the accuracy, of objectives that have one."""

    def local_config(self) -> LocalConfig:
        """Return what every client does as the trainer takes it, FedProx's term included."""
        from fedlite.learning.training.records import LocalConfig

        fields = self.local.model_dump()
        if isinstance(self.strategy, FedProx):
            fields["proximal_mu"] = self.strategy.proximal_mu
        return LocalConfig(**fields)
