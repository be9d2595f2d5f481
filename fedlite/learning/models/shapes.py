"""Checks of a model's input shape, with errors that say which shapes it takes."""

from __future__ import annotations

from fedlite.learning.models import TAKES, ModelError


def image_shape(model: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return (channels, height, width) of an image input.

    Raises
    ------
    ModelError
        If the shape has not three dimensions or a side is shorter than the model takes.
    """
    _, smallest = TAKES[model]
    if len(shape) != 3 or min(shape[1:]) < smallest:  # noqa: PLR2004 - channels, height, width
        raise ModelError(
            f"model {model!r}: got input shape {shape}, expected (channels, height, width) with sides of at least "
            f"{smallest}; choose another model or data set"
        )
    return shape[0], shape[1], shape[2]


def series_shape(model: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return (channels, steps) of a series of measurements.

    Raises
    ------
    ModelError
        If the shape has not two dimensions or fewer steps than the model takes.
    """
    _, shortest = TAKES[model]
    if len(shape) != 2 or shape[1] < shortest:  # noqa: PLR2004 - channels, steps
        raise ModelError(
            f"model {model!r}: got input shape {shape}, expected (channels, steps) with at least {shortest} steps; "
            "choose another model or data set"
        )
    return shape[0], shape[1]
