"""A small decoder-only transformer that predicts the next character.

Token and position embeddings, then pre-norm blocks of causal self-attention and a perceptron, a last normalisation, and
a classifier on the last position. A width slice keeps a prefix of the heads and of the perceptrons' units; the stream
between the blocks keeps its size, for a layer normalisation over fewer features would be another one.

References
----------
Vaswani et al. 2017, "Attention is all you need", section 3.2 (attention, heads).
Radford et al. 2019, "Language models are unsupervised multitask learners", section 2.3 (normalisation before each part
and after the last block, residual weights drawn smaller by the root of their number; GPT-2 small has 124,439,808
parameters, its classifier being its embedding).
"""

from __future__ import annotations

import math

import torch
from torch import nn

from fedlite.learning.models import ModelError
from fedlite.learning.models.widths import scaled

_SPREAD = 0.02
"""Deviation of embeddings."""


class CausalAttention(nn.Module):
    """Self-attention in which a position sees itself and what was before it.

    Scores are kept for the backward pass, as the training engines of phones do; a fused kernel would not.
    """

    def __init__(self, features: int, heads: int, head_size: int) -> None:
        super().__init__()
        self.heads, self.head_size = heads, head_size
        self.query = nn.Linear(features, heads * head_size)
        self.key = nn.Linear(features, heads * head_size)
        self.value = nn.Linear(features, heads * head_size)
        self.out = nn.Linear(heads * head_size, features)

    def forward(self, x: torch.Tensor, later: torch.Tensor) -> torch.Tensor:
        """Return (batch, steps, features) from the same; `later` (steps, steps) is True where a row may not look."""
        query, key, value = (self._by_head(layer(x)) for layer in (self.query, self.key, self.value))
        scores = query @ key.transpose(-2, -1) / math.sqrt(self.head_size)
        mixed = scores.masked_fill(later, -math.inf).softmax(dim=-1) @ value
        out: torch.Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out

    def _by_head(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(*x.shape[:2], self.heads, self.head_size).transpose(1, 2)


class Block(nn.Module):
    """Attention, then a perceptron on each position; both read the normalised stream and add to it."""

    def __init__(self, features: int, heads: int, head_size: int, hidden: int) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(features)
        self.attention = CausalAttention(features, heads, head_size)
        self.norm_mlp = nn.LayerNorm(features)
        self.mlp = nn.Sequential(nn.Linear(features, hidden), nn.GELU(), nn.Linear(hidden, features))

    def soften(self, parts: int) -> None:
        """Draw what is added to the stream smaller, where so many parts add to it."""
        last = self.mlp[-1]
        assert isinstance(last, nn.Linear)  # noqa: S101 (narrows torch's Module)
        for layer in (self.attention.out, last):
            with torch.no_grad():
                layer.weight.div_(math.sqrt(parts))
            nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor, later: torch.Tensor) -> torch.Tensor:
        """Return (batch, steps, features)."""
        x = x + self.attention(self.norm_attention(x), later)
        y: torch.Tensor = x + self.mlp(self.norm_mlp(x))
        return y


class CharTransformer(nn.Module):
    """The net. Input: character numbers, (batch, steps), of any type."""

    def __init__(
        self, characters: int, steps: int, features: int, heads: int, head_size: int, hidden: int, layers: int
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(characters, features)
        self.positions = nn.Embedding(steps, features)
        blocks = [Block(features, heads, head_size, hidden) for _ in range(layers)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(features)
        self.classifier = nn.Linear(features, characters)
        self.later: torch.Tensor
        self.register_buffer("later", torch.ones(steps, steps, dtype=torch.bool).triu(1), persistent=False)
        for table in (self.tokens, self.positions):
            nn.init.normal_(table.weight, std=_SPREAD)
        for block in blocks:
            block.soften(2 * layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of the next character, (batch, characters)."""
        steps = x.shape[1]
        stream = self.tokens(x.long()) + self.positions.weight[:steps]
        later = self.later[:steps, :steps]
        for block in self.blocks:
            stream = block(stream, later)
        logits: torch.Tensor = self.classifier(self.norm(stream[:, -1]))
        return logits


def char_transformer(
    input_shape: tuple[int, ...],
    num_classes: int,
    width: float = 1.0,
    features: int = 64,
    heads: int = 4,
    layers: int = 2,
    hidden: int = 256,
) -> CharTransformer:
    """Return the next-character model; 113,988 parameters for 80 characters out of 68.

    Parameters
    ----------
    input_shape : tuple of int
        (steps,).
    num_classes : int
        Size of the alphabet.
    width : float
        As in `fedlite.learning.models.build`.
    features, heads, layers, hidden : int
        Size of the stream, heads per block (of features / heads numbers each), blocks, units of the perceptrons.

    Raises
    ------
    ModelError
        If the input is not one sequence of characters, or heads do not divide the features.
    """
    if len(input_shape) != 1:
        raise ModelError(
            f"model 'char-transformer': got input shape {input_shape}, expected (steps,); use a text data set"
        )
    if features % heads:
        raise ModelError(
            f"model 'char-transformer': got {features} features and {heads} heads, expected a multiple of the heads; "
            f"write for example features: {heads * max(1, features // heads)}"
        )
    sizes = scaled(heads, width), features // heads, scaled(hidden, width)
    return CharTransformer(num_classes, input_shape[0], features, *sizes, layers)
