"""A two-layer LSTM that predicts the next character.

References
----------
Caldas et al. 2018, "LEAF", Shakespeare task: embedding 8, two layers of 256 units, 80 characters in, the next one out.
Reddi et al. 2021, "Adaptive federated optimization", appendix (the same net on 90 characters has 820,522 parameters).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from fedlite.learning.models import ModelError
from fedlite.learning.models.widths import scaled

if TYPE_CHECKING:
    from fedlite.learning.models.widths import Blocks

_GATES = 4


class OneBiasLstm(nn.Module):
    """Stacked LSTM layers with one bias per gate, as published (torch's own has two, of which only the sum acts)."""

    def __init__(self, inputs: int, units: int, layers: int) -> None:
        super().__init__()
        self.units, self.layers = units, layers
        bound = 1.0 / math.sqrt(units)

        def drawn(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))

        for layer in range(layers):
            self.register_parameter(f"weight_ih_l{layer}", drawn(_GATES * units, units if layer else inputs))
            self.register_parameter(f"weight_hh_l{layer}", drawn(_GATES * units, units))
            self.register_parameter(f"bias_l{layer}", drawn(_GATES * units))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the states of the last layer, (batch, steps, units), from (batch, steps, inputs)."""
        # Not get_parameter: masks and fake quantisation put plain tensors in the parameters' place.
        weights: list[torch.Tensor] = []
        for layer in range(self.layers):
            bias: torch.Tensor = getattr(self, f"bias_l{layer}")
            weights += [getattr(self, f"weight_ih_l{layer}"), getattr(self, f"weight_hh_l{layer}")]
            weights += [bias, torch.zeros_like(bias, requires_grad=False)]
        start = x.new_zeros(self.layers, x.shape[0], self.units)
        options = (True, self.layers, 0.0, torch.is_grad_enabled(), False, True)
        # biases, layers, dropout, for training, bidirectional, batch first
        out, _, _ = torch.lstm(x, (start, start), weights, *options)
        return out


class CharLstm(nn.Module):
    """Embedding, LSTM and a classifier on the last state. Input: character numbers, (batch, steps), of any type."""

    def __init__(self, characters: int, embedding: int, units: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, embedding)
        self.lstm = OneBiasLstm(embedding, units, layers)
        self.classifier = nn.Linear(units, characters)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of the next character, (batch, characters)."""
        states = self.lstm(self.embedding(x.long()))
        logits: torch.Tensor = self.classifier(states[:, -1])
        return logits

    def width_blocks(self) -> Blocks:
        """Return that rows of LSTM tensors are four gates, of each of which a slice keeps a prefix."""
        gates = (self.lstm.units,) * _GATES
        return {f"lstm.{name}": {0: gates} for name, _ in self.lstm.named_parameters()}


def char_lstm(
    input_shape: tuple[int, ...],
    num_classes: int,
    width: float = 1.0,
    embedding: int = 8,
    units: int = 256,
    layers: int = 2,
) -> CharLstm:
    """Return the next-character model.

    Parameters
    ----------
    input_shape : tuple of int
        (steps,).
    num_classes : int
        Size of the alphabet.
    width : float
        As in `fedlite.learning.models.build`.
    embedding, units, layers : int
        Size of the embedding, units per layer, number of layers.

    Raises
    ------
    ModelError
        If the input is not one sequence of characters.
    """
    if len(input_shape) != 1:
        raise ModelError(f"model 'char-lstm': got input shape {input_shape}, expected (steps,); use a text data set")
    return CharLstm(num_classes, scaled(embedding, width), scaled(units, width), layers)
