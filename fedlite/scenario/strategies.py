"""The `training.strategy` key: one small section per strategy, its fields named as Flower names them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from fedlite.scenario import names, spelling
from fedlite.scenario.base import Argument, Section
from fedlite.scenario.quantities import Means
from fedlite.scenario.shorthand import expanding

Positive = Annotated[float, Field(gt=0, le=1e38)]
NonNegative = Annotated[float, Field(ge=0, le=1e38)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Whole = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]
OWN = "pkg.mod:name"
"""Tag of a strategy that is the user's own code."""


class Strategy(Section):
    """How replies become the next global model."""

    name: str
    mean: ClassVar[bool] = False
    """The reply enters only through a weighted mean, so that replies may be summed before they are handed over."""
    overlaps: ClassVar[bool] = False
    """It needs every reply, but begins with their weighted mean, so that clients may hold parts of the model."""
    robust: ClassVar[bool] = False
    """The strategy compares or sorts the replies of single clients."""
    asynchronous: ClassVar[bool] = False
    """There are no rounds: each reply is used when it comes."""

    @property
    def public_rows(self) -> int:
        """Training rows that the server holds, and no client."""
        return 0

    def arguments(self) -> dict[str, Any]:
        """Return the strategy's own arguments, without its name."""
        return self.model_dump(exclude={"name"})


class FedAvg(Strategy):
    """Mean of the replies, weighted by their examples (McMahan et al. 2017)."""

    mean = True
    name: Literal["fedavg"] = "fedavg"


class FedAvgM(Strategy):
    """FedAvg with momentum on the server (Hsu et al. 2019)."""

    mean = True
    name: Literal["fedavgm"]
    server_learning_rate: Positive = 1.0
    """Factor on the mean update."""
    server_momentum: Decay = 0.9
    """Share of the last update that is kept."""


class FedProx(Strategy):
    """FedAvg with clients held near the global model (Li et al. 2020)."""

    mean = True
    name: Literal["fedprox"]
    proximal_mu: Positive
    """Weight of the clients' proximal term."""


class FedAdam(Strategy):
    """Adam on the server (Reddi et al. 2021)."""

    mean = True
    name: Literal["fedadam"]
    eta: Positive = 0.1
    """Server learning rate."""
    eta_l: Positive = 0.1
    """Flower's client learning rate of this method; clients train with `training.local.lr`."""
    beta_1: Decay = 0.9
    """Decay of the first moment."""
    beta_2: Decay = 0.99
    """Decay of the second moment."""
    tau: Positive = 0.001
    """Adaptivity: what is added to the root of the second moment."""


class FedAdagrad(Strategy):
    """Adagrad on the server (Reddi et al. 2021)."""

    mean = True
    name: Literal["fedadagrad"]
    eta: Positive = 0.1
    """Server learning rate."""
    eta_l: Positive = 0.1
    """Flower's client learning rate of this method; clients train with `training.local.lr`."""
    tau: Positive = 0.001
    """Adaptivity: what is added to the root of the second moment."""


class FedYogi(Strategy):
    """Yogi on the server (Reddi et al. 2021)."""

    mean = True
    name: Literal["fedyogi"]
    eta: Positive = 0.01
    """Server learning rate."""
    eta_l: Positive = 0.0316
    """Flower's client learning rate of this method; clients train with `training.local.lr`."""
    beta_1: Decay = 0.9
    """Decay of the first moment."""
    beta_2: Decay = 0.99
    """Decay of the second moment."""
    tau: Positive = 0.001
    """Adaptivity: what is added to the root of the second moment."""


class QFedAvg(Strategy):
    """Clients with a higher loss weigh more (Li et al. 2020)."""

    name: Literal["qfedavg"]
    client_learning_rate: Positive | None = None
    """Without it `training.local.lr`."""
    q: NonNegative = 0.1
    """Fairness: 0 weighs all clients alike."""


class FedMedian(Strategy):
    """Median per coordinate (Yin et al. 2018)."""

    robust = True
    name: Literal["fedmedian"]


class FedTrimmedAvg(Strategy):
    """Mean per coordinate without its extremes (Yin et al. 2018)."""

    robust = True
    name: Literal["fedtrimmedavg"]
    beta: Annotated[float, Field(ge=0, lt=0.5)] = 0.2
    """Share cut off at each end."""


class Krum(Strategy):
    """The reply nearest to its neighbours (Blanchard et al. 2017)."""

    robust = True
    name: Literal["krum"]
    num_malicious_nodes: Whole = 0
    """Replies that may be hostile."""


class MultiKrum(Strategy):
    """Mean of the replies nearest to their neighbours (Blanchard et al. 2017)."""

    robust = True
    name: Literal["multikrum"]
    num_malicious_nodes: Whole = 0
    """Replies that may be hostile."""
    num_nodes_to_select: Count = 1
    """Replies whose mean is taken."""


class Bulyan(Strategy):
    """Krum, then a trimmed mean per coordinate (El Mhamdi et al. 2018)."""

    robust = True
    name: Literal["bulyan"]
    num_malicious_nodes: Whole = 0
    """Replies that may be hostile."""


class FedDF(Strategy):
    """The mean of the replies learns on the server what they say together of unlabelled rows (Lin et al. 2020)."""

    overlaps = True
    name: Literal["feddf"]
    rows: Count = 500
    """Training rows that no client holds; the server knows no labels of them."""
    steps: Count = 100
    """Of Adam, on the server, after each round; its hours, joules and money are told, no clock waits for it."""
    batch_size: Count = 64
    """Rows of a step."""
    server_learning_rate: Positive = 0.001
    """Of Adam."""
    temperature: Positive = 1.0
    """Softens what the replies say, and what the model says."""

    @property
    def public_rows(self) -> int:
        """Training rows that the server holds, and no client."""
        return self.rows


class FedBuff(Strategy):
    """Asynchronous: the server steps when `buffer` replies have come (Nguyen et al. 2022)."""

    asynchronous = True
    name: Literal["fedbuff"]
    buffer: Count = 10
    """Replies per server step; `training.rounds` counts server steps."""
    concurrency: Count = 20
    """Devices at work at any time."""
    server_learning_rate: Positive = 1.0
    """Factor on the mean update."""
    staleness_exponent: NonNegative = 0.5
    """A reply that is s steps old weighs (1 + s) to the power of minus this."""


class FedAsync(Strategy):
    """Asynchronous: each reply is mixed in when it comes (Xie et al. 2019)."""

    asynchronous = True
    name: Literal["fedasync"]
    concurrency: Count = 20
    """Devices at work at any time."""
    mixing: Annotated[float, Field(gt=0, le=1)] = 0.6
    """Weight of a fresh reply."""
    staleness_exponent: NonNegative = 0.5
    """A reply that is s steps old weighs (1 + s) to the power of minus this."""


class OwnStrategy(Strategy):
    """A strategy of the user's own: a class or function that returns a Flower `Strategy`."""

    overlaps = True
    name: Annotated[str, Means("`pkg.mod:name`", lambda: spelling.REFERENCE)]
    options: dict[str, Argument] = Field(default={})
    """Arguments of the factory."""

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the user's factory."""
        return dict(self.options)


def _tag(value: Any) -> str | None:
    name = value.get("name") if isinstance(value, dict) else getattr(value, "name", None)
    if not isinstance(name, str):
        return None
    return OWN if names.is_reference(name) else name


AnyStrategy = Annotated[
    Annotated[FedAvg, Tag("fedavg")]
    | Annotated[FedAvgM, Tag("fedavgm")]
    | Annotated[FedProx, Tag("fedprox")]
    | Annotated[FedAdam, Tag("fedadam")]
    | Annotated[FedAdagrad, Tag("fedadagrad")]
    | Annotated[FedYogi, Tag("fedyogi")]
    | Annotated[QFedAvg, Tag("qfedavg")]
    | Annotated[FedMedian, Tag("fedmedian")]
    | Annotated[FedTrimmedAvg, Tag("fedtrimmedavg")]
    | Annotated[Krum, Tag("krum")]
    | Annotated[MultiKrum, Tag("multikrum")]
    | Annotated[Bulyan, Tag("bulyan")]
    | Annotated[FedDF, Tag("feddf")]
    | Annotated[FedBuff, Tag("fedbuff")]
    | Annotated[FedAsync, Tag("fedasync")]
    | Annotated[OwnStrategy, Tag(OWN)],
    Discriminator(_tag),
    expanding("name"),
]
