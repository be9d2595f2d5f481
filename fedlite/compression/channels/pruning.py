"""Structured pruning of a trained net at once: rank its channels, take the least out, and say what that did."""

from __future__ import annotations

import copy
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from fedlite.compression.channels import selection
from fedlite.compression.channels.coupling import coupled
from fedlite.compression.channels.importance import importance_of
from fedlite.compression.channels.importance.base import Channels
from fedlite.compression.channels.removal import counted, maps_of, without
from fedlite.compression.part import PartError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor, nn

    from fedlite.compression.channels.groups import Coupling, Group, Indices
    from fedlite.compression.channels.importance.base import Array, Scores
    from fedlite.compression.overlap import IndexMap

    Loss = Callable[[Tensor, Tensor], Tensor]

Removed = tuple["nn.Module", list["Array"], list["IndexMap"], dict[str, Any]]


def removed(
    net: nn.Module,
    arrays: Sequence[Array],
    share: float,
    importance: str,
    scope: str,
    batch: tuple[Array, Array] | None = None,
    *,
    input_shape: tuple[int, ...] | None = None,
    loss: Loss = F.cross_entropy,
    round_to: int = 1,
    layers: Sequence[str] = (),
    below: float | None = None,
    began: Mapping[str, Indices] = MappingProxyType({}),
) -> Removed:
    """Return a net without its least important channels.

    Parameters
    ----------
    net : nn.Module
        Left as it is.
    arrays : sequence of arrays
        Its state, in the order of its state dict.
    share : float
        Of the channels that stays.
    importance : str
        A name of `IMPORTANCES`, or `pkg.mod:Class`.
    scope : str
        "local": each layer keeps that share of its own; "global": the least of the whole net go.
    batch : (inputs, targets), optional
        For importances that look at gradients, and the shape of a sample.
    input_shape : tuple of int, optional
        Of one sample, if there is no batch.
    loss : callable
        (outputs, targets) -> number, of which those gradients are.
    round_to : int
        Channels that stay are a multiple of this, where that is not all of them.
    layers : sequence of str
        Only channels that these layers make go; of all layers if none is named.
    below : float, optional
        In place of a share: what scores below this share of its layer's largest goes (what group lasso emptied).
    began : mapping
        Name of a layer -> its channels that an earlier version kept: another one has to score more than the best of
        them to take the place of the least.

    Returns
    -------
    net, arrays, maps, facts
        The smaller net holding its values; these values; where they lie in `arrays`, for `OverlapSum`; and
        `{"params": [before, after], "channels": {layer: [stay, of]}, "importance": ..., "scope": ...}`.

    Raises
    ------
    PartError
        If nothing can go, a layer would be emptied, or the importance does not suit; the net is left as it is.
    """
    selection.check_settings(share, below, round_to, scope)
    shape = input_shape if input_shape is not None else (None if batch is None else tuple(batch[0].shape[1:]))
    if shape is None:
        raise PartError("structured pruning: got neither a batch nor an input shape, expected one; pass one of them")
    whole = _loaded(net, arrays)
    coupling = coupled(whole, shape)
    coupling.chosen(layers)
    scores = scores_of(coupling, whole, importance, scope == "global", batch, loss)
    scores = [_eased(group, own, began) for group, own in zip(coupling.groups, scores, strict=True)]
    if below is not None:
        keep = selection.above(coupling, scores, below, layers)
    else:
        choose = selection.overall if scope == "global" else selection.local
        keep = choose(coupling, scores, share, round_to, layers)
    small = without(whole, coupling, keep)
    facts = {**counted(whole, small, coupling, keep), "importance": importance, "scope": scope}
    taken = [value.detach().cpu().numpy().copy() for value in small.state_dict().values()]
    return small, taken, maps_of(whole, coupling, keep), facts


def _eased(group: Group, scores: Scores, began: Mapping[str, Indices]) -> Scores:
    """Return scores in which the units that an earlier version kept have that of the best of them on top."""
    if group.name not in began:
        return scores
    kept = np.isin(group.members[group.name, "out"], began[group.name]).all(axis=1)
    return scores + kept * float(scores[kept].max(initial=0.0))


def scores_of(
    coupling: Coupling,
    net: nn.Module,
    importance: str,
    compared: bool = False,  # noqa: FBT001, FBT002 - said by name where it is not a scope's own comparison
    batch: tuple[Array, Array] | None = None,
    loss: Loss = F.cross_entropy,
) -> list[Scores]:
    """Return the scores of each group's units under the values of a net.

    Raises
    ------
    PartError
        If the importance needs data and there is none, or scores are no finite numbers of at least 0.
    """
    ranking = importance_of(importance)
    gradients = None
    if ranking.needs_gradients:
        if batch is None:
            raise PartError(
                f"importance: got {importance!r}, which needs gradients, without a batch of data; expected one that"
                " looks at weights alone where there are no data; write 'l1'"
            )
        gradients = _gradients(net, batch, loss)
    return ranked(coupling, values_of(net), importance, compared=compared, gradients=gradients)


def ranked(
    coupling: Coupling,
    values: Mapping[str, Array],
    importance: str,
    *,
    compared: bool = False,
    gradients: Mapping[str, Array] | None = None,
) -> list[Scores]:
    """Return the scores of each group's units under values by name; if `compared`, groups can be compared by them."""
    ranking = importance_of(importance)
    found = []
    for group in coupling.groups:
        own = np.asarray(ranking.scores(Channels.of(group, values, gradients)), np.float64)
        if own.shape != (group.units,) or not (np.isfinite(own).all() and (own >= 0).all()):
            raise PartError(
                f"importance: got scores from {importance!r} that are not {group.units} finite numbers of at least 0 "
                f"for layer {group.name!r}; expected such; check the weights, which training may have lost"
            )
        if compared and not ranking.comparable and own.mean() > 0:
            own = own / own.mean()
        found.append(own)
    return found


def values_of(net: nn.Module) -> dict[str, Array]:
    """Return a net's tensors by name."""
    return {name: value.detach().cpu().numpy() for name, value in net.state_dict().items()}


def _loaded(net: nn.Module, arrays: Sequence[Array]) -> nn.Module:
    whole = copy.deepcopy(net)
    state = whole.state_dict()
    if [value.shape for value in state.values()] != [torch.Size(np.shape(array)) for array in arrays]:
        raise PartError(
            f"structured pruning: got {len(arrays)} arrays that are not the state of this net ({len(state)} tensors),"
            " expected its own; pass those of its state dict, in order"
        )
    tensors = (torch.from_numpy(np.array(array)) for array in arrays)
    whole.load_state_dict(dict(zip(state, tensors, strict=True)))
    return whole


def _gradients(net: nn.Module, batch: tuple[Array, Array], loss: Loss) -> dict[str, Array]:
    """Return the gradients of a batch's loss, in evaluation mode: batch statistics are not touched."""
    model = copy.deepcopy(net).eval()  # torch's switch: nothing drops out, batch statistics stay
    parameters = dict(model.named_parameters())
    value = loss(model(torch.from_numpy(np.array(batch[0]))), torch.from_numpy(np.array(batch[1])))
    found = torch.autograd.grad(value, list(parameters.values()), materialize_grads=True)
    return {name: gradient.numpy() for name, gradient in zip(parameters, found, strict=True)}
