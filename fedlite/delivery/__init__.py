"""Deliveries: what is made of a trained model before it is shipped to devices. One file each."""

from __future__ import annotations

from typing import Final

DELIVERIES: Final[dict[str, str]] = {
    "static-quantization": "fedlite.delivery.static_quantization:StaticQuantization",
    "dynamic-quantization": "fedlite.delivery.dynamic_quantization:DynamicQuantization",
    "weight-quantization": "fedlite.delivery.weight_quantization:WeightQuantization",
    "mixed-precision": "fedlite.delivery.mixed_precision:MixedPrecision",
    "binarization": "fedlite.delivery.binarization:Binarization",
    "layer-pruning": "fedlite.delivery.layer_pruning:LayerPruning",
    "connection-pruning": "fedlite.delivery.connection_pruning:ConnectionPruning",
    "diverse-neurons": "fedlite.delivery.diverse_neurons:DiverseNeurons",
    "batch-statistics": "fedlite.delivery.batch_statistics:BatchStatistics",
    "slimmable-width": "fedlite.delivery.slimmable_width:SlimmableWidth",
    "channel-gating": "fedlite.delivery.channel_gating:ChannelGating",
    "coarse-to-fine": "fedlite.delivery.coarse_to_fine:CoarseToFine",
    "early-exit": "fedlite.delivery.early_exit:EarlyExit",
    "ask-server": "fedlite.delivery.ask_server:AskServer",
    "clustering": "fedlite.delivery.clustering:Clustering",
    "entropy-coding": "fedlite.delivery.entropy_coding:EntropyCoding",
    "structured-pruning": "fedlite.delivery.structured_pruning:StructuredPruning",
}
"""Name -> `module:Class`."""
