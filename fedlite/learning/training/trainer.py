"""The native trainer: a chunk of client jobs in, every client's new model out."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from fedlite.errors import FedliteError, UnknownNameError
from fedlite.learning import objectives
from fedlite.learning.objectives.cross_entropy import is_torchs_own
from fedlite.learning.training.batched import train_batched
from fedlite.learning.training.constrained import Constrained, constrained
from fedlite.learning.training.dense import dense_chain, dense_gradients
from fedlite.learning.training.evaluation import client_evaluation_of, evaluation_of, judged
from fedlite.learning.training.forwards import program_forward, vmap_forward
from fedlite.learning.training.gradients import Gradients, by_autograd
from fedlite.learning.training.modes import Capability, automatic_mode, capability_of, tile_clients
from fedlite.learning.training.place import Place, Table
from fedlite.learning.training.sequential import train_sequentially
from fedlite.learning.training.template import Template

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import nn

    from fedlite.compression.constraint.base import Constraint
    from fedlite.learning.objectives import Objective
    from fedlite.learning.objectives.terms.base import Term
    from fedlite.learning.training.evaluation import Judged
    from fedlite.learning.training.records import (
        Array,
        ClientEvaluation,
        ClientJob,
        CohortResult,
        Evaluation,
        LocalConfig,
    )

MODES = ("auto", "sequential", "batched")


class Trainer:
    """Trains chunks of clients of one model, and evaluates it.

    Parameters
    ----------
    model : nn.Module
        Gives structure only: the values come with every call. Copied.
    objective : str or Objective
        What is learned, by its name or made already.
    mode : str
        "sequential", "batched", or "auto" (the fixed rule of `mode_for`).
    place : Place, optional
        Where it computes; the processor if not given.

    Notes
    -----
    All lists of arrays are in the order of `model.state_dict().values()`. Nothing here reads or changes torch's global
    random state, and everything runs on one torch thread. Data may come as arrays or as a `Table`, which an accelerator
    keeps; results are arrays.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        objective: str | Objective = "cross-entropy",
        mode: str = "auto",
        place: Place | None = None,
    ) -> None:
        if mode not in MODES:
            raise UnknownNameError("trainer mode", mode, list(MODES))
        self._mode = mode
        self._objective = objectives.objective(objective) if isinstance(objective, str) else objective
        self._template = Template(model, place)
        self._capabilities: dict[tuple[int, ...], Capability] = {}

    def train(
        self,
        arrays: Sequence[Array],
        jobs: Sequence[ClientJob],
        x: Array | Table,
        y: Array | Table,
        config: LocalConfig,
        *,
        constraints: Sequence[Constraint] = (),
        terms: Sequence[Term] = (),
        round_: int = 0,
        teacher: nn.Module | None = None,
    ) -> CohortResult:
        """Train every job from the same global arrays.

        Parameters
        ----------
        arrays : list of NDArray
            The global model.
        jobs : sequence of ClientJob
            K clients.
        x, y : NDArray or Table
            The shared data, float32 (N, *input_shape) and labels (N, ...), one per row; only read.
        config : LocalConfig
            Epochs, batch size, optimiser.
        constraints : sequence of Constraint
            What holds of the weights; with an `individual` one there may be one job only.
        terms : sequence of Term
            Added to the objective's loss.
        round_ : int
            The server's round, which constraints may look at.
        teacher : nn.Module, optional
            A trained net that terms learn from, instead of the model that was received. Copied.

        Returns
        -------
        CohortResult
            In the order of `jobs`.
        """
        self._template.check(arrays)
        self._check_jobs(jobs, x, y)
        place = self._template.place
        with place.computing():
            x, y = Table.of(x, place), Table.of(y, place)
            bound = constrained(constraints, self._template, arrays, jobs, round_)
            if self._one_by_one(constraints, terms) or self.mode_for(jobs, x.shape[1:]) == "sequential":
                taught_by = _constant(teacher, place)
                return train_sequentially(
                    self._template, arrays, jobs, x, y, config, self._objective, bound, terms, taught_by
                )
            capability = self._capability(x.shape[1:])
            tile = tile_clients(capability, config.batch_size)
            gradients = self._gradients(arrays, capability, bound)
            return train_batched(self._template, gradients, tile, arrays, jobs, x, y, config, bound)

    def seen(
        self, arrays: Sequence[Array], constraints: Sequence[Constraint], job: ClientJob, round_: int = 0
    ) -> list[Array]:
        """Return a model as a client under constraints sees it in a round, before its first step."""
        self._template.check(arrays)
        with self._template.place.computing():
            return constrained(constraints, self._template, arrays, [job], round_).seen_state(
                arrays, self._template.trainable
            )

    def _one_by_one(self, constraints: Sequence[Constraint], terms: Sequence[Term]) -> bool:
        """Tell whether a plan's clients cannot run side by side.

        Raises
        ------
        FedliteError
            If they were asked to.
        """
        own = [constraint.name for constraint in constraints if constraint.one_by_one]
        found = [*own, *(term.name for term in terms)]
        if found and self._mode == "batched":
            raise FedliteError(
                f"trainer mode: got batched for a plan with {', '.join(found)}, whose clients are trained one by one,"
                " expected auto or sequential; write one of those"
            )
        return bool(found)

    def table(self, rows: Array) -> Table:
        """Return rows of data as they are kept where this computes."""
        return Table.of(rows, self._template.place)

    def evaluate(
        self, arrays: Sequence[Array], x: Array | Table, y: Array | Table, batch_size: int = 512
    ) -> Evaluation:
        """Return the objective's metrics and the loss of a model over one test set."""
        return evaluation_of(self._objective, self._judged(arrays, x, y, None, batch_size))

    def predict(self, arrays: Sequence[Array], x: Array | Table, y: Array | Table, batch_size: int = 512) -> Array:
        """Return what the objective keeps of each sample, shape (N, ...), such as its predicted class."""
        return self._judged(arrays, x, y, None, batch_size).scores

    def evaluate_many(
        self,
        arrays: Sequence[Array],
        x: Array | Table,
        y: Array | Table,
        client_index: Array,
        rows: NDArray[np.int64] | None = None,
        batch_size: int = 512,
    ) -> ClientEvaluation:
        """Return metrics and loss of one model for each client, in one pass over all their samples.

        Parameters
        ----------
        arrays : list of NDArray
            The model.
        x, y : NDArray or Table
            Samples of all clients together.
        client_index : NDArray
            The owner of each sample, shape (N,); negative: nobody's.
        rows : NDArray, optional
            Which rows of `x` and `y` the N samples are; all of them if not given.
        batch_size : int
            Samples per forward pass.
        """
        found = self._judged(arrays, x, y, rows, batch_size)
        return client_evaluation_of(self._objective, found, np.asarray(client_index))

    def mode_for(self, jobs: Sequence[ClientJob], input_shape: tuple[int, ...]) -> str:
        """Return the execution mode, "sequential" or "batched", that `train` uses for these jobs.

        Raises
        ------
        FedliteError
            If "batched" was asked for and the model cannot run side by side.
        """
        if self._mode == "sequential":
            return "sequential"
        capability = self._capability(input_shape)
        if self._mode == "auto":
            return automatic_mode(capability, len(jobs))
        if capability.program is None and not capability.vmap:
            raise FedliteError(
                f"training.mode: got 'batched' for a model whose clients cannot run side by side "
                f"({capability.reason}), expected auto or sequential; write 'mode: auto'"
            )
        return "batched"

    def _capability(self, input_shape: tuple[int, ...]) -> Capability:
        shape = tuple(input_shape)
        if shape not in self._capabilities:
            self._capabilities[shape] = capability_of(self._template, shape)
        return self._capabilities[shape]

    def _gradients(self, arrays: Sequence[Array], capability: Capability, bound: Constrained) -> Gradients:
        template = self._template
        frozen = {
            name: template.place.copied(arrays[i])
            for i, name in enumerate(template.names)
            if i not in template.trainable
        }
        if capability.program is None:
            return by_autograd(vmap_forward(template, frozen, bound), self._objective)
        names = [template.names[i] for i in template.trainable]
        chain = (
            dense_chain(capability.program, names)
            if not bound.changes_forward and is_torchs_own(self._objective)
            else None
        )
        if chain is not None:
            return dense_gradients(chain)
        return by_autograd(program_forward(template, capability.program, frozen, bound), self._objective)

    def _judged(
        self,
        arrays: Sequence[Array],
        x: Array | Table,
        y: Array | Table,
        rows: NDArray[np.int64] | None,
        batch_size: int,
    ) -> Judged:
        template, place = self._template, self._template.place
        template.check(arrays)
        with place.computing():
            template.load([place.copied(array) for array in arrays])
            x, y = Table.of(x, place), Table.of(y, place)
            chosen = np.arange(len(x)) if rows is None else rows
            return judged(template, self._objective, x, y, chosen, batch_size)

    @staticmethod
    def _check_jobs(jobs: Sequence[ClientJob], x: Array | Table, y: Array | Table) -> None:
        if len(x) != len(y):
            raise FedliteError(f"training data: got {len(x)} inputs and {len(y)} labels, expected one label per input")
        rows = np.concatenate([job.indices for job in jobs]) if jobs else np.empty(0, dtype=np.int64)
        if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < len(x):
            raise FedliteError(
                f"client job: got rows {int(rows.min())}..{int(rows.max())}, "
                f"expected rows in 0..{len(x) - 1} of the shared data"
            )


def _constant(net: nn.Module | None, place: Place) -> nn.Module | None:
    """Return a copy of a net that answers and does not learn."""
    if net is None:
        return None
    return copy.deepcopy(net).to(place.device).eval().requires_grad_(requires_grad=False)
