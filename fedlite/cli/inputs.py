"""What `--input` means: the shape of one sample, as people write it, and the usual one of each model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from fedlite.devices.workload import Workload

USUAL = {
    "mobilenet-v1": ("3x224x224", 1000),
    "mobilenet-v2": ("3x224x224", 1000),
    "mobilenet-v3-small": ("3x224x224", 1000),
    "shufflenet-v2-x0.5": ("3x224x224", 1000),
    "shufflenet-v2-x1.0": ("3x224x224", 1000),
    "efficientnet-b0": ("3x224x224", 1000),
    "efficientnet-lite0": ("3x224x224", 1000),
    "squeezenet1.1": ("3x224x224", 1000),
    "resnet18": ("3x224x224", 1000),
    "resnet50": ("3x224x224", 1000),
    "resnet8": ("3x32x32", 10),
    "resnet8-exits": ("3x32x32", 10),
    "detector": ("1x32x32", 240),
    "elastic": ("1x28x28", 10),
    "cnn": ("1x28x28", 10),
    "cnn-exits": ("1x28x28", 10),
    "lenet5": ("1x28x28", 10),
    "mlp": ("1x28x28", 10),
    "ds-cnn": ("1x49x10", 12),
    "autoencoder": ("640", 640),
    "cnn1d": ("3x128", 7),
    "char-lstm": ("80", 80),
    "char-transformer": ("80", 68),
}
"""Model -> the input shape and the number of outputs that it is known for."""


def parse_shape(text: str) -> tuple[int, ...]:
    """Return the shape that a text such as "3x224x224" stands for.

    Raises
    ------
    FedliteError
        If it is no list of positive sizes.
    """
    parts = text.lower().split("x")
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise FedliteError(f"--input: got {text!r}, expected positive sizes joined by x; write for example 3x224x224")
    return tuple(int(part) for part in parts)


def shape_and_classes(model: str, shape: str | None, classes: int | None) -> tuple[tuple[int, ...], int]:
    """Return the input shape and outputs of a model, the usual ones where nothing is told.

    Raises
    ------
    FedliteError
        If the model has no usual ones and one is missing.
    """
    usual_shape, usual_classes = USUAL.get(model, (None, None))
    text, outputs = shape or usual_shape, classes or usual_classes
    if text is None or outputs is None:
        missing = "--input" if text is None else "--classes"
        raise FedliteError(
            f"{missing}: got nothing for {model!r}, which has no usual one, expected it told;"
            " write for example --input 3x224x224 --classes 10"
        )
    return parse_shape(text), outputs


def workload_of(model: str, input_shape: str | None, classes: int, width: float) -> Workload:
    """Return the trace of a model of the zoo or of the user's own, as the device commands take it."""
    from fedlite.learning.models import build
    from fedlite.learning.tracing import trace

    shape, classes = shape_and_classes(model, input_shape, classes)
    return trace(build(model, input_shape=shape, num_classes=classes, width=width, seed=0), shape, name=model)
