"""Layers in place of a model's own, trained by the whole run: their parameters are the model. One file each."""

from __future__ import annotations

from typing import Final

LAYERS: Final[dict[str, str]] = {
    "binary-residual": "fedlite.learning.models.layers.binary_residual:BinaryResidual",
    "circulant": "fedlite.learning.models.layers.circulant:CirculantLayers",
    "fedpara": "fedlite.learning.models.layers.fedpara:FedPara",
    "lora": "fedlite.learning.models.layers.lora:Lora",
}
"""Name -> `module:Class`."""
