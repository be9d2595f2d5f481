"""No model on the device: every inference is asked from a server."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from fedlite import wire
from fedlite.compression.part import PartError
from fedlite.delivery.base import Artefact, Calibration, Delivery
from fedlite.delivery.path import Path
from fedlite.errors import FedliteError
from fedlite.planning.break_even import Request


@dataclass(frozen=True)
class AskServer(Delivery):
    """The device sends a sample and gets scores; the server runs the net.

    Attributes
    ----------
    server_ms : float
        What the server takes for one answer. Assumed, for no server is modelled.
    codec : tuple of str
        How a sample is encoded.
    at_once : int
        Inferences in a row over one connection.
    offline : float
        Share of the times at which there is no network, and no answer. Assumed.
    """

    name: ClassVar[str] = "ask-server"
    cites: ClassVar[tuple[str, ...]] = ("kang2017neurosurgeon",)

    server_ms: float = 5.0
    codec: tuple[str, ...] = ("fp16", "zstd")
    at_once: int = 1
    offline: float = 0.05

    def __post_init__(self) -> None:
        wire.parse_codec(self.codec)
        try:
            self._request(1.0, 1.0)
        except FedliteError as error:
            raise PartError(str(error)) from None

    @property
    def label(self) -> str:
        """Such as "asked from a server"."""
        return "asked from a server"

    @property
    def remark(self) -> str:
        """What it takes instead."""
        return (
            f"nothing lies on the device, which asks a server each time; {self.offline:.0%} of the times it is offline"
            " and gets no answer: how good it is, is told of the answers that come"
        )

    def deliver(self, artefact: Artefact, rows: Calibration) -> Artefact:
        """Return the artefact as it runs on a server, with what one row and its answer take on the wire."""
        import torch

        row = rows.x[:1]
        with torch.inference_mode():
            # torch's switch, eval: nothing drops out, batch statistics stay.
            answer = artefact.net.eval()(torch.from_numpy(row)).numpy()
        parsed = wire.parse_codec(self.codec)
        up = wire.encode([row], parsed, np.random.default_rng(0) if parsed.stochastic else None)
        down = wire.encode([answer], ("fp32",))
        asks = self._request(float(len(up)), float(len(down)))
        sealed = f"{self.name}: got a delivery after it, expected none, for no model lies on the device"
        return replace(artefact, paths=(Path(1.0, None, asks),), on_device=False, sealed=sealed).telling(
            request_bytes=len(up), answer_bytes=len(down), server_ms=self.server_ms, offline=self.offline
        )

    def _request(self, up_bytes: float, down_bytes: float) -> Request:
        return Request(up_bytes, down_bytes, self.server_ms / 1e3, self.at_once, self.offline)
