"""Initial weights of deep nets with normalisation after each convolution.

References
----------
He et al. 2015, "Delving deep into rectifiers", section 2.2 (fan-out form).
"""

from __future__ import annotations

from torch import nn


def he_initial(model: nn.Module) -> None:
    """Draw convolution weights from He's normal distribution and set their biases to zero, in module order."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
