"""Laws of a scenario that is to be run: code of the user's own is there, and what is known of the data can be learned.

They import torch and the user's code, so that they are asked only where a file names some, or asks for a mode that the
net decides. Data of the user's own is tried when the run begins: it must be read first.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from fedlite import own_code
from fedlite.compression.plan import Plan
from fedlite.errors import FedliteError, quoted
from fedlite.scenario import names
from fedlite.scenario.task_laws import TASK_LAWS
from fedlite.scenario.violation import Law, Violation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedlite.learning.models.spec import ModelSpec
    from fedlite.scenario.sections import Sections
    from fedlite.scenario.task import Task

_MODEL, _LAYERS, _OBJECTIVE, _MODE = "task.model", "task.layers", "task.objective", "training.mode"
_PLAIN: Final = ("fp32",)
_ROWS: Final = 4
NOTHING: Final = Plan()


def _own_code_is_there(scenario: Sections) -> Iterator[Violation]:
    named = [("training.strategy", scenario.training.strategy.name)]
    if scenario.task is not None:
        named += [("task.data", scenario.task.data_name), (_MODEL, scenario.task.model.name)]
    for key, name in named:
        if not names.is_reference(name):
            continue
        try:
            found = own_code.load(name)
        except own_code.OwnCodeError as error:
            yield Violation(
                key,
                f"got {quoted(name)}, which cannot be imported ({error}), expected pkg.mod:name",
                own_code.REMEDY,
            )
        else:
            if not callable(found):
                kind = type(found).__name__
                yield Violation(key, f"got {quoted(name)}, which is of type {kind}, expected a function", "name one")


def _task_can_be_learned(scenario: Sections) -> Iterator[Violation]:
    task = scenario.task
    if task is None or names.input_shape(task.data) is None:
        return
    # A model that cannot be imported, or that a table says does not fit, is told of already.
    told = (violation for law in (_own_code_is_there, *TASK_LAWS) for violation in law(scenario))
    if any(violation.key.startswith("task.") for violation in told):
        return
    mode = "auto" if task.app is not None else scenario.training.mode
    own = names.is_reference(task.model.name) or names.is_reference(task.objective)
    if mode != "batched" and not own and task.layers is None:
        return
    try:
        _try(_spec(task), task.data_name, task.objective, mode)
    except _RefusedError as refused:
        named = {_MODEL: task.model.name, _OBJECTIVE: task.objective, "task.data": task.data_name}
        blamed = named.pop(refused.key, None)
        others = ", ".join(f"{key.removeprefix('task.')} {quoted(name)}" for key, name in named.items())
        message = refused.message if blamed is None else f"got {quoted(blamed)} with {others}: {refused.message}"
        yield Violation(refused.key, message, refused.remedy, tuple(named))


class _RefusedError(Exception):
    """What does not go together: the key to blame, what is wrong, and what to do."""

    def __init__(self, key: str, message: str, remedy: str) -> None:
        super().__init__(key, message, remedy)
        self.key, self.message, self.remedy = key, message, remedy


def _spec(task: Task) -> ModelSpec:
    from fedlite.learning.data.catalog import lookup
    from fedlite.learning.models.spec import spec_of

    entry = lookup(task.data_name)
    spec = spec_of(task.model.name, entry.input_shape, entry.num_classes, 0, **task.model.arguments())
    return replace(spec, layers=task.layers)


# A study asks the same of each of its runs. What was refused is asked again: the code may have been mended meanwhile.
@lru_cache(maxsize=128)
def _try(spec: ModelSpec, data: str, objective: str, mode: str) -> None:
    """Build the model and try it on a stand-in for the data; raise _RefusedError with the key to blame."""
    from fedlite.learning import objectives
    from fedlite.learning.data.catalog import lookup
    from fedlite.learning.data.stand_in import stand_in
    from fedlite.learning.objectives.base import MisfitError
    from fedlite.learning.objectives.fitting import PromiseError, check_objective, outputs_of
    from fedlite.learning.training.threads import single_thread
    from fedlite.learning.training.trainer import Trainer

    entry = lookup(data)
    chosen = objectives.objective(entry.objective if objective == "auto" else objective)
    key = _MODEL
    try:
        with own_code.blamed(), single_thread():
            net = replace(spec, layers=None).build()
            if spec.layers is not None:
                key = _LAYERS
                net = spec.build()
            outputs = outputs_of(net, entry.input_shape)
            key = _OBJECTIVE if names.is_reference(objective) else _MODEL
            check_objective(chosen, outputs, stand_in(entry))
            key = _MODE
            if mode == "batched":
                Trainer(net, objective=chosen, mode=mode).mode_for([], entry.input_shape)
    except MisfitError as error:
        blamed = _OBJECTIVE if isinstance(error, PromiseError) else _MODEL
        raise _RefusedError(blamed, *_told(error)) from error
    except own_code.OwnCodeError:
        raise  # what breaks is told at its own place, as in a run
    except FedliteError as error:
        raise _RefusedError(key, *_told(error)) from error


def _told(error: FedliteError) -> tuple[str, str]:
    """Return the message of an error, in one line, and its last clause as remedy."""
    context = names.remade(FedliteError(" ".join(str(error).split()))).context or {}
    return context["message"], context["remedy"]


def _plans_fit_the_model(scenario: Sections) -> Iterator[Violation]:
    """Structures and deliveries look for layers, blocks or exits; whether the net has them is tried before any run."""
    task = scenario.task
    if task is None or task.app is not None or names.input_shape(task.data) is None:
        return
    plans = [(where, section.plan(_PLAIN, _PLAIN)) for where, section in scenario.written_plans]
    looking = [(where, plan) for where, plan in plans if plan.shipment != NOTHING]
    laws = (_own_code_is_there, *TASK_LAWS, _task_can_be_learned) if looking else ()
    if any(violation.key.startswith("task.") for law in laws for violation in law(scenario)):
        return
    for where, plan in looking:
        try:
            _ship(_spec(task), task.data_name, plan.shipment)
        except own_code.OwnCodeError:
            raise
        except FedliteError as error:
            message, remedy = _told(error)
            yield Violation(where, message, remedy, (_MODEL,))


@lru_cache(maxsize=128)
def _ship(spec: ModelSpec, data: str, plan: Plan) -> None:
    """Ship the untrained model under a plan, to nobody; rows are noise, and every net is as good as the next."""
    from fedlite.compression.constraint.magnitude import Masked, prunable
    from fedlite.delivery.base import Artefact, Calibration, delivered
    from fedlite.learning.data.catalog import lookup
    from fedlite.learning.training.threads import single_thread
    from fedlite.rng import stream

    with own_code.blamed(), single_thread():
        net = plan.structure.build(spec)
        plan.structure.place(spec, [value.numpy() for value in spec.build().state_dict().values()])
        rng = stream(0, "stand-in")
        x = rng.standard_normal((_ROWS, *lookup(data).input_shape)).astype(np.float32)
        held = x, np.arange(_ROWS) % spec.num_classes
        for part in plan.constraints:
            if isinstance(part, Masked):
                state = {name: value.numpy() for name, value in net.state_dict().items()}
                part.check_layers({name: value.size for name, value in state.items() if prunable(value)})
        delivered(Artefact.of(net), plan.deliveries, Calibration(x, lambda _: 0.0, rng, _ROWS, labelled=held))


FIT_LAWS: Final[tuple[Law, ...]] = (_own_code_is_there, _task_can_be_learned, _plans_fit_the_model)
