"""Whether a model, a data set and an objective fit: tried on two samples of zeros before anything is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from fedlite.learning.objectives.base import MisfitError

if TYPE_CHECKING:
    from torch import nn

    from fedlite.learning.data.dataset import Dataset
    from fedlite.learning.objectives.base import Objective

_SAMPLES = 2


class PromiseError(MisfitError):
    """An objective's own code does not keep its promises."""


def check_fit(model: nn.Module, objective: Objective, data: Dataset) -> None:
    """Raise MisfitError unless the objective can be learned by this model from this data. The model is scratch.

    Raises
    ------
    MisfitError
        If the forward pass fails or its output does not fit.
    PromiseError
        If the objective's own code does not keep its promises.
    """
    check_objective(objective, outputs_of(model, data.input_shape), data)


def outputs_of(model: nn.Module, input_shape: tuple[int, ...]) -> torch.Tensor:
    """Return what a model makes of a batch of zeros.

    Raises
    ------
    MisfitError
        If the forward pass fails, or gives no tensor with one entry per sample.
    """
    x = torch.zeros(_SAMPLES, *input_shape)
    model.eval()  # torch's switch: dropout rests, and batch statistics are neither asked for nor changed
    try:
        with torch.inference_mode():
            outputs = model(x)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise MisfitError(
            f"task.model: got an error from its forward pass over {tuple(x.shape)} zeros ({error}), expected outputs; "
            "mend the model, or name one that suits the data"
        ) from error
    if not isinstance(outputs, torch.Tensor) or not outputs.dim() or len(outputs) != _SAMPLES:
        got = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
        raise MisfitError(
            f"task.model: got {got} for a batch of {_SAMPLES} samples, expected one tensor whose first axis is the "
            "batch; mend the model"
        )
    return outputs


def check_objective(objective: Objective, outputs: torch.Tensor, data: Dataset) -> None:
    """Raise MisfitError unless an objective can be learned from these outputs of a batch of zeros; as `check_fit`."""
    x = torch.zeros(_SAMPLES, *data.input_shape)
    y = torch.from_numpy(data.y_train[:1].repeat(_SAMPLES, axis=0))
    targets = objective.targets(x, y)
    dtype = str(targets.dtype).removeprefix("torch.")
    objective.check(tuple(outputs.shape[1:]), tuple(targets.shape[1:]), dtype, data.num_classes)
    _check_promises(objective, outputs, targets)


def _check_promises(objective: Objective, outputs: torch.Tensor, targets: torch.Tensor) -> None:
    losses, scores = objective.losses(outputs, targets), objective.score(outputs, targets)
    for name, found in (("losses", losses), ("score", scores)):
        if not isinstance(found, torch.Tensor):
            raise PromiseError(
                f"objective {objective.name!r}: got {type(found).__name__} from {name}, expected a torch.Tensor with "
                "one entry per sample; return one"
            )
    if losses.shape != (_SAMPLES,) or len(scores) != _SAMPLES:
        raise PromiseError(
            f"objective {objective.name!r}: got losses {tuple(losses.shape)} and scores {tuple(scores.shape)} for "
            f"{_SAMPLES} samples, expected ({_SAMPLES},) and ({_SAMPLES}, ...); mend the objective"
        )
    given = set(objective.summary(scores.numpy(), targets.numpy(), losses.double().numpy()))
    if missing := sorted({metric.name for metric in objective.metrics} - given - {"loss"}):
        raise PromiseError(
            f"objective {objective.name!r}: got a summary without {', '.join(missing)}, expected every metric of "
            "'metrics'; add it"
        )
