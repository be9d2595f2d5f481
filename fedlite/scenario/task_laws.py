"""Laws of the task: whether data, model, objective and the way they are dealt and trained suit each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fedlite.scenario import names
from fedlite.scenario.strategies import FedDF
from fedlite.scenario.task import Natural, People
from fedlite.scenario.violation import Law, Violation

_CLASSES: Final = "cross-entropy"

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedlite.scenario.sections import Sections
    from fedlite.scenario.task import Task


def _natural_clients_are_recorded(scenario: Sections) -> Iterator[Violation]:
    task = scenario.task
    if task is not None and isinstance(task.partition, Natural) and names.natural_clients(task.data) == 0:
        yield Violation(
            "task.partition",
            f"got 'natural' with {task.data_name!r}, which records no people or devices",
            "write 'partition: iid' or 'partition: {kind: dirichlet, alpha: 0.5}'",
            ("task.data",),
        )


def _people_held_out_are_recorded(scenario: Sections) -> Iterator[Violation]:
    task = scenario.task
    if task is None or not isinstance(task.split, People):
        return
    if names.natural_clients(task.data) == 0 or task.data_name.startswith("idx:"):
        yield Violation(
            "task.split",
            f"got 'people' with {task.data_name!r}, which records no people or devices",
            "write 'split: rows'",
            ("task.data",),
        )
    if task.app is not None:
        yield Violation(
            "task.split",
            "got 'people' with task.app, whose clients have data of their own",
            "write 'split: rows'",
            ("task.app",),
        )


def _model_fits_the_objective(scenario: Sections) -> Iterator[Violation]:
    task = scenario.task
    if task is None:
        return
    labels = names.objective_of(task.data)
    wanted = labels if task.objective == "auto" else task.objective
    if wanted not in names.objectives():
        return  # code of the user's own: tried before the run
    again = names.gives_input_again(task.model.name)
    if again and wanted != "reconstruction":
        yield Violation(
            "task.model",
            f"got {task.model.name!r}, whose output is its input again, expected a score for each class",
            "write 'objective: reconstruction', or name another model",
            ("task.objective", "task.data"),
        )
    if wanted == "reconstruction" and not again and not names.is_reference(task.model.name):
        yield Violation(
            "task.objective",
            f"got 'reconstruction' with model {task.model.name!r}, whose output is a score for each class",
            "write 'model: autoencoder', or remove it",
            ("task.model",),
        )
    yield from _exits_fit(task, wanted)
    if wanted == "next-character" and labels not in (None, wanted):
        yield Violation(
            "task.objective",
            f"got 'next-character' with {task.data_name!r}, whose labels are classes and no characters",
            "remove it, or write 'data: shakespeare'",
            ("task.data",),
        )
    if wanted == "regression" and labels not in (None, wanted):
        yield Violation(
            "task.objective",
            f"got 'regression' with {task.data_name!r}, whose labels are classes and no numbers",
            "remove it, or name a data set of your own with float32 labels",
            ("task.data",),
        )


def _exits_fit(task: Task, wanted: str | None) -> Iterator[Violation]:
    """Tell of exits that nobody learns by, and of none where there should be."""
    name = task.model.name
    gives_all = task.model.options.get("outputs") == "all"
    if wanted == "exits" and not names.is_reference(name) and not (names.has_exits(name) and gives_all):
        yield Violation(
            "task.objective",
            f"got 'exits' with model {name!r}, which does not give the scores of its exits",
            "write 'model: {name: resnet8-exits, options: {outputs: all}}', or remove it",
            ("task.model",),
        )
    if wanted != "exits" and names.has_exits(name) and gives_all:
        yield Violation(
            "task.model",
            f"got {name!r} with 'outputs: all', expected one score for each class",
            "write 'objective: exits', or remove 'outputs'",
            ("task.objective",),
        )


def _model_takes_the_data(scenario: Sections) -> Iterator[Violation]:
    task = scenario.task
    if task is None:
        return
    shape, taken = names.input_shape(task.data), names.takes(task.model.name)
    if shape is None or taken is None:
        return
    dimensions, least = taken
    if len(shape) != dimensions or min(shape[1:], default=shape[0]) < least:
        kinds = {1: "(steps,)", 2: "(channels, steps)", 3: "(channels, height, width)"}
        yield Violation(
            "task.model",
            f"got {task.model.name!r} with {task.data_name!r}, whose samples have the shape {shape},"
            f" expected {kinds[dimensions]}{f' of at least {least}' if least > 1 else ''}",
            "write 'model: mlp', which takes any shape, or name other data" if len(shape) > 1 else "name other data",
            ("task.data",),
        )


def _own_app_follows_no_plan(scenario: Sections) -> Iterator[Violation]:
    if scenario.task is None or scenario.task.app is None:
        return
    for index, rule in enumerate(scenario.clients):
        if rule.when is not None:
            yield Violation(
                f"clients.{index}.when",
                "got a condition with task.app, whose codecs are fixed, expected none",
                "remove the rule, or task.app",
                ("task.app",),
            )
        if rule.choose is not None or rule.among:
            yield Violation(
                f"clients.{index}.{'choose' if rule.choose else 'plan'}",
                f"got {rule.choose.name if rule.choose else 'auto'!r} with task.app, whose codecs are fixed",
                "write 'plan: full', or remove task.app",
                ("task.app",),
            )
    for where, plan in scenario.written_plans:
        if not plan.is_full:
            yield Violation(
                where,
                f"got {plan.label!r} with task.app, whose training fedlite cannot change",
                "write 'plan: full' (wire codecs still apply), or remove task.app",
                ("task.app",),
            )
    deltas: list[tuple[str, tuple[str, ...] | None]] = [("wire.delta", scenario.wire.delta)]
    deltas += [(f"{where}.delta", plan.delta) for where, plan in scenario.written_plans]
    for where, delta in deltas:
        if delta:
            yield Violation(
                where,
                f"got {'+'.join(delta)!r} with task.app, whose devices get every model whole",
                "remove it",
                ("task.app",),
            )
    if scenario.training.mode == "batched":
        yield Violation(
            "training.mode", "got 'batched' with task.app, which runs message by message", "remove it", ("task.app",)
        )


def _plan_is_trained_as_told(scenario: Sections) -> Iterator[Violation]:
    if scenario.training.mode != "batched":
        return
    for where, plan in scenario.written_plans:
        # Read as Constraint and Term; what `sparsity` and `bits` are short for is trained side by side.
        alone = [(f"{where}.constraints.{i}", part) for i, part in enumerate(plan.constraints) if part.one_by_one]  # type: ignore[attr-defined]
        alone += [(f"{where}.terms.{i}", part) for i, part in enumerate(plan.terms)]
        for key, part in alone:
            yield Violation(
                key,
                f"got {part.name!r}, whose clients are trained one by one, with training.mode 'batched'",
                "write 'mode: auto' in training, or remove it here",
                ("training.mode",),
            )


def _target_is_of_a_metric(scenario: Sections) -> Iterator[Violation]:
    training, task = scenario.training, scenario.task
    if training.target_accuracy is None or task is None:
        return
    key = "training.target_accuracy"
    if training.target is not None:
        yield Violation(
            key, f"got {training.target_accuracy} beside training.target, expected one of them", "remove one"
        )
    wanted = names.objective_of(task.data) if task.objective == "auto" else task.objective
    metrics = names.metrics_of(wanted) if wanted else None
    if metrics is not None and key.removeprefix("training.target_") not in metrics:
        yield Violation(
            key,
            f"got {training.target_accuracy} with the objective {wanted!r}, which has no accuracy",
            f"write 'target: ...', the wanted {metrics[0]}",
            ("task.objective", "task.data"),
        )


def _rows_to_test_on_are_there(scenario: Sections) -> Iterator[Violation]:
    asked, task = scenario.training.evaluate_on, scenario.task
    if asked is None or task is None or isinstance(task.split, People):
        return  # people held out bring other rows, which only reading tells
    every = names.test_rows(task.data)
    if every is not None and asked > every:
        yield Violation(
            "training.evaluate_on",
            f"got {asked}, expected at most the {every} test rows of {task.data_name!r}",
            "write fewer, or leave it out",
            ("task.data",),
        )


def _what_is_fused_are_scores_of_classes(scenario: Sections) -> Iterator[Violation]:
    task, strategy = scenario.task, scenario.training.strategy
    if task is None or not isinstance(strategy, FedDF):
        return
    if task.app is not None:
        yield Violation(
            "training.strategy",
            f"got {strategy.name!r} with task.app, whose arrays fedlite cannot build a net of",
            "write 'strategy: fedavg', or a strategy of your own",
            ("task.app",),
        )
        return
    wanted = names.objective_of(task.data) if task.objective == "auto" else task.objective
    # Another class of one's own is tried before the run.
    if wanted in names.objectives() and wanted != _CLASSES:
        yield Violation(
            "training.strategy",
            f"got {strategy.name!r} with the objective {wanted!r}, expected {_CLASSES!r}, for what is learned is the"
            " mean of the replies' class scores",
            "write 'strategy: fedavg'",
            ("task.objective", "task.data"),
        )


TASK_LAWS: Final[tuple[Law, ...]] = (
    _natural_clients_are_recorded,
    _people_held_out_are_recorded,
    _model_fits_the_objective,
    _model_takes_the_data,
    _own_app_follows_no_plan,
    _plan_is_trained_as_told,
    _target_is_of_a_metric,
    _rows_to_test_on_are_there,
    _what_is_fused_are_scores_of_classes,
)
