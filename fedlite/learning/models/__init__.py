"""The models by name, and `build`, which makes one from a seed; importing this package does not import torch.

A model is one module holding one factory `factory(input_shape, num_classes, width, **options) -> nn.Module`. A user's
own factory is named `pkg.mod:factory` and keeps the same signature (`width` only if it can be sliced).
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

from fedlite import own_code
from fedlite.errors import FedliteError, UnknownNameError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import nn

MODELS: Final[dict[str, str]] = {
    "autoencoder": "fedlite.learning.models.autoencoder:autoencoder",
    "char-lstm": "fedlite.learning.models.char_lstm:char_lstm",
    "char-transformer": "fedlite.learning.models.char_transformer:char_transformer",
    "cnn": "fedlite.learning.models.cnn:cnn",
    "cnn-exits": "fedlite.learning.models.exit_net:cnn_exits",
    "cnn1d": "fedlite.learning.models.cnn1d:cnn1d",
    "detector": "fedlite.learning.models.detector:detector",
    "ds-cnn": "fedlite.learning.models.ds_cnn:ds_cnn",
    "efficientnet-b0": "fedlite.learning.models.efficientnet:efficientnet_b0",
    "efficientnet-lite0": "fedlite.learning.models.efficientnet:efficientnet_lite0",
    "elastic": "fedlite.learning.models.elastic:elastic",
    "lenet5": "fedlite.learning.models.lenet5:lenet5",
    "mlp": "fedlite.learning.models.mlp:mlp",
    "mobilenet-v1": "fedlite.learning.models.mobilenet_v1:mobilenet_v1",
    "mobilenet-v2": "fedlite.learning.models.mobilenet_v2:mobilenet_v2",
    "mobilenet-v3-small": "fedlite.learning.models.mobilenet_v3:mobilenet_v3_small",
    "resnet18": "fedlite.learning.models.resnet:resnet18",
    "resnet50": "fedlite.learning.models.resnet:resnet50",
    "resnet8": "fedlite.learning.models.resnet8:resnet8",
    "resnet8-exits": "fedlite.learning.models.exit_net:resnet8_exits",
    "shufflenet-v2-x0.5": "fedlite.learning.models.shufflenet_v2:shufflenet_v2_x0_5",
    "shufflenet-v2-x1.0": "fedlite.learning.models.shufflenet_v2:shufflenet_v2_x1_0",
    "squeezenet1.1": "fedlite.learning.models.squeezenet:squeezenet",
}
"""Name -> `module:factory`."""

GIVE_INPUT_AGAIN: Final = frozenset({"autoencoder"})
"""Models whose output is their input again; all others give a score for each class."""

HAVE_EXITS: Final = frozenset({"cnn-exits", "resnet8-exits"})
"""Models whose option `outputs: all` gives the scores of every exit, (exits, classes) for a sample."""

TAKES: Final[dict[str, tuple[int, int]]] = {
    "char-lstm": (1, 1),
    "char-transformer": (1, 1),
    "cnn": (3, 4),
    "cnn-exits": (3, 4),
    "cnn1d": (2, 21),
    "detector": (3, 8),
    "ds-cnn": (3, 4),
    "efficientnet-b0": (3, 28),
    "efficientnet-lite0": (3, 28),
    "elastic": (3, 4),
    "lenet5": (3, 12),
    "mobilenet-v1": (3, 32),
    "mobilenet-v2": (3, 28),
    "mobilenet-v3-small": (3, 28),
    "resnet18": (3, 28),
    "resnet50": (3, 28),
    "resnet8": (3, 8),
    "resnet8-exits": (3, 8),
    "shufflenet-v2-x0.5": (3, 28),
    "shufflenet-v2-x1.0": (3, 28),
    "squeezenet1.1": (3, 32),
}
"""How many dimensions a model's samples have, and the least length of those after the channels; others take any."""


class ModelError(FedliteError):
    """A model cannot be built from these parameters or for this input shape."""


def build(
    name: str, *, input_shape: tuple[int, ...], num_classes: int, width: float = 1.0, seed: int, **options: Any
) -> nn.Module:
    """Return a freshly initialised model; the same arguments give the same weights, bit for bit.

    Torch's global random state is left as it was found.

    Parameters
    ----------
    name : str
        A key of `MODELS`, or a user's own `pkg.mod:factory`.
    input_shape : tuple of int
        Shape of one sample without the batch dimension, channels first.
    num_classes : int
        Number of outputs (for char-lstm and char-transformer also the size of the alphabet).
    width : float
        Fraction of every hidden width to keep, in (0, 1]. The narrower model is a prefix of the full one.
    seed : int
        Seed of the initial weights.
    **options
        Further parameters of the factory, such as `hidden=(128,)` or `norm="batch"`.

    Raises
    ------
    UnknownNameError
        If the name is in no table, or the module has no such factory.
    ModelError
        If a parameter is unknown or out of range, or the input does not suit the model.
    """
    from fedlite.learning.models.seeding import seeded

    factory = factory_of(name)
    if not 0.0 < width <= 1.0:
        raise ModelError(f"model {name!r}: got width {width}, expected 0 < width <= 1; write for example width: 0.5")
    accepted = _parameters(name, factory)
    if width < 1.0 or "width" in accepted:
        options["width"] = width
    _check_options(name, accepted, options)
    with seeded(seed, "model", name):
        try:
            return _as_module(name, factory(tuple(input_shape), num_classes, **options))
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise ModelError(
                f"model {name!r}: got {options} for input shape {tuple(input_shape)}, which it refuses "
                f"({own_code.raised(error)}); expected values of the kinds its factory names; mend them"
            ) from error


def _as_module(name: str, made: Any) -> nn.Module:
    from torch import nn

    if not isinstance(made, nn.Module):
        raise ModelError(
            f"model {name!r}: got {type(made).__name__} from the factory, expected a torch.nn.Module; return one"
        )
    return made


def factory_of(name: str) -> Callable[..., nn.Module]:
    """Return the factory that a name stands for.

    Raises
    ------
    UnknownNameError
        If the name is neither in `MODELS` nor an importable `pkg.mod:factory`.
    """
    if ":" not in name and name not in MODELS:
        raise UnknownNameError("model", name, [*MODELS, "pkg.mod:factory"])
    try:
        factory = own_code.load(MODELS.get(name, name))
    except own_code.OwnCodeError as error:
        raise ModelError(
            f"model {name!r}: got a name that cannot be imported ({error}), expected pkg.mod:factory; {own_code.REMEDY}"
        ) from error
    if not callable(factory):
        raise ModelError(
            f"model {name!r}: got a {type(factory).__name__}, expected a function of (input_shape, num_classes); "
            "name one"
        )
    return factory  # type: ignore[no-any-return]


def _parameters(name: str, factory: Callable[..., nn.Module]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(factory).parameters
    except ValueError as error:
        raise ModelError(
            f"model {name!r}: got {error}, expected a function of (input_shape, num_classes); name one"
        ) from error


def _check_options(name: str, accepted: Mapping[str, inspect.Parameter], options: dict[str, Any]) -> None:
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in accepted.values()):
        return
    own = sorted(set(accepted) - {"input_shape", "num_classes"})
    if unknown := sorted(set(options) - set(own)):
        near, others = nearest(unknown[0], own), having(unknown[0])
        elsewhere = f"remove it, or name a net that has it: {', '.join(others)}" if others else "remove it"
        raise ModelError(
            f"model {name!r}: got unknown parameter {', '.join(unknown)}; expected {', '.join(own) or 'none'}; "
            + (f"write {near!r}" if near else elsewhere)
        )


def having(parameter: str) -> list[str]:
    """Return the nets that ship whose factories have a parameter."""
    return [name for name in MODELS if parameter in inspect.signature(factory_of(name)).parameters]
