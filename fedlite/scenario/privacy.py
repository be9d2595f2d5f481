"""The `privacy` section: which mechanism guards the updates. Field names are those of Flower's wrappers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt, model_validator

from fedlite.scenario.base import Section, mistake
from fedlite.scenario.secure_aggregation import SecureAggregation
from fedlite.scenario.shorthand import expanding
from fedlite.scenario.strategies import NonNegative, Positive

if TYPE_CHECKING:
    from fedlite.compression.part import Part

Delta = Annotated[float, Field(gt=0, lt=1)]
Quantile = Annotated[float, Field(gt=0, lt=1)]


class Privacy(Section):
    """Base of all mechanisms."""

    mechanism: str
    secure_aggregation: SecureAggregation | None = None
    """The server gets the sum of the updates and no single one."""
    central: ClassVar[bool] = False
    """Noise is added once, by the server."""
    clips_on_client: ClassVar[bool] = False
    """Updates are clipped before they are encoded."""

    def stages(self) -> tuple[Part, ...]:
        """Return what every device does to its update of its own accord, before it is encoded."""
        return ()


class NoPrivacy(Privacy):
    """Updates travel as they are."""

    mechanism: Literal["none"] = "none"


class _Noised(Privacy):
    central = True
    noise_multiplier: NonNegative | None = None
    """Standard deviation of the noise over the clipping norm."""
    target_epsilon: Positive | None = None
    """Choose the noise so that the whole run spends this epsilon if every cohort replies in full; fewer replies spend
    more, and the run says what was spent."""
    delta: Delta | None = None
    """Epsilon is stated at this delta; without it no epsilon is stated."""
    max_epsilon: Positive | None = None
    """The run ends before the release that would spend more."""

    @model_validator(mode="after")
    def _noise_is_told_once(self) -> _Noised:
        if (self.noise_multiplier is None) == (self.target_epsilon is None):
            raise mistake(
                "got neither or both of noise_multiplier and target_epsilon, expected one", "keep one of the two"
            )
        for key in ("target_epsilon", "max_epsilon"):
            if getattr(self, key) is not None and self.delta is None:
                raise mistake(f"got {key} without delta, and epsilon means nothing alone", "write 'delta: 1e-5'")
        return self


class _Sampled(_Noised):
    sampling: Literal["none", "poisson", "truncated-poisson", "fixed"] = "none"
    """How the owners of a round are drawn: "none" leaves it to the strategy and claims nothing; "poisson" draws each
    alone with probability clients_per_round over all; "truncated-poisson" keeps at most `cap` of them; "fixed" draws
    clients_per_round of them."""
    relation: Literal["add-remove", "replace-one", "zero-out"] | None = None
    """The neighbouring relation of epsilon; by default the usual one of the sampling."""
    cap: PositiveInt | None = None
    """Most owners of a round of truncated-poisson; by default one and a half times clients_per_round."""

    @model_validator(mode="after")
    def _sampling_fits(self) -> _Sampled:
        if self.cap is not None and self.sampling != "truncated-poisson":
            raise mistake(f"got cap with sampling {self.sampling!r}, which has none", "write 'truncated-poisson'")
        if self.sampling == "fixed" and self.relation == "add-remove":
            raise mistake(
                "got relation 'add-remove' with sampling 'fixed', where who is added displaces another",
                "write 'replace-one' or 'zero-out'",
            )
        return self


class FixedClipping(_Sampled):
    """Updates are clipped to a fixed norm, noise is added to their mean (McMahan et al. 2018)."""

    clipping_norm: Positive
    """Greatest L2 norm of an update."""


class ClientFixedClipping(FixedClipping):
    """Fixed clipping on the device."""

    clips_on_client = True
    mechanism: Literal["client-fixed-clipping"]


class ServerFixedClipping(FixedClipping):
    """Fixed clipping on the server, after decoding."""

    mechanism: Literal["server-fixed-clipping"]


class AdaptiveClipping(_Sampled):
    """The clipping norm follows a quantile of the updates' norms (Andrew et al. 2021); z covers sum and count."""

    initial_clipping_norm: Positive = 0.1
    """L2 norm to begin with."""
    target_clipped_quantile: Quantile = 0.5
    """Quantile of the updates' norms that the clipping norm is led to."""
    clip_norm_lr: Positive = 0.2
    """How fast the clipping norm moves."""
    clipped_count_stddev: Positive | None = None
    """Noise on the count of clipped updates; without it a twentieth of the cohort."""


class ClientAdaptiveClipping(AdaptiveClipping):
    """Adaptive clipping on the device."""

    clips_on_client = True
    mechanism: Literal["client-adaptive-clipping"]


class ServerAdaptiveClipping(AdaptiveClipping):
    """Adaptive clipping on the server, after decoding."""

    mechanism: Literal["server-adaptive-clipping"]


class DpFtrl(_Noised):
    """Noise of a tree over rounds in which nobody takes part twice; then another begins (Kairouz et al. 2021)."""

    mechanism: Literal["dp-ftrl"]
    clipping_norm: Positive
    """Greatest L2 norm of an update."""
    restart_every: PositiveInt | None = None
    """Rounds of a tree; by default half of what the owners suffice for, so that nobody has to be waited for."""


class LocalDp(Privacy):
    """Each device clips and adds noise of its own, so that the server is not trusted; epsilon is per release."""

    clips_on_client = True
    mechanism: Literal["local-dp"]
    clipping_norm: Positive
    """Greatest L2 norm of an update; two updates differ by at most twice this."""
    epsilon: Positive
    """Of one release."""
    delta: Delta
    """Of one release."""

    def stages(self) -> tuple[Part, ...]:
        """Return clipping, then noise."""
        from fedlite.client.stages.clip import Clip
        from fedlite.client.stages.noise import Noise
        from fedlite.privacy.accounting import local_noise_std

        std = local_noise_std(self.epsilon, self.delta, self.clipping_norm)
        return (Clip(self.clipping_norm), Noise(std))


AnyPrivacy = Annotated[
    NoPrivacy
    | ClientFixedClipping
    | ServerFixedClipping
    | ClientAdaptiveClipping
    | ServerAdaptiveClipping
    | DpFtrl
    | LocalDp,
    Field(discriminator="mechanism"),
    expanding("mechanism"),
]
