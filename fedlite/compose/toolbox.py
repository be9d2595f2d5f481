"""`fedlite compress --technique`: a model on real data before and after one technique, or several in an order."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import permutations
from typing import TYPE_CHECKING, Any

from fedlite import wire
from fedlite.compose.bench import Bench
from fedlite.compose.bench_rows import on_the_device, quantities
from fedlite.compose.bench_task import Effort, bench_task, uplinks
from fedlite.compose.plan_remarks import part_remarks
from fedlite.compose.spending import bill, spent
from fedlite.compose.trials import Trials
from fedlite.compression.part import PartError
from fedlite.devices.server import US_PRICES
from fedlite.errors import FedliteError, UnknownNameError
from fedlite.planning.budgets import plain
from fedlite.techniques import TECHNIQUES, technique
from fedlite.techniques.pipeline import joined
from fedlite.techniques.technique import Recipe, Search
from fedlite.units import show

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fedlite.compose.bench import Outcome
    from fedlite.compose.bench_task import BenchTask
    from fedlite.compose.spending import Done
    from fedlite.devices.profile import DeviceProfile
    from fedlite.devices.server import Prices


@dataclass(frozen=True)
class Asked:
    """What is to be compared.

    Attributes
    ----------
    model, data : str
    profile : DeviceProfile
    techniques : sequence of (name, options)
        In their order.
    effort : Effort
    prices : Prices
    """

    model: str
    data: str
    profile: DeviceProfile
    techniques: Sequence[tuple[str, Mapping[str, Any]]]
    effort: Effort
    prices: Prices = US_PRICES


def compare(asked: Asked) -> dict[str, Any]:
    """Return the two columns and what the methods say of themselves, as JSON values.

    Raises
    ------
    FedliteError
        If a technique does not apply to the model, two do not go together, or the data cannot be had.
    """
    names = [name for name, _ in asked.techniques]
    if asked.effort.rounds < len(names):
        raise PartError(
            f"rounds: got {asked.effort.rounds} for {len(names)} techniques, which act one after the other,"
            f" expected one for each; write --rounds {len(names)} or more"
        )
    made = [technique(name).made(options) for name, options in asked.techniques]
    task = bench_task(asked.data, _nets(asked.model, made), asked.effort)
    try:
        return _compared(asked, made, task)
    except (PartError, wire.CodecError, UnknownNameError) as error:
        # Parts know their own names only.
        if str(error).startswith(tuple(names)):
            raise
        raise PartError(f"{', '.join(names)}: {error}") from error


def _compared(asked: Asked, made: Sequence[Recipe | Search], task: BenchTask) -> dict[str, Any]:
    bench = Bench(asked.model, task, asked.effort, uplinks(asked.profile, asked.effort.clients))
    trials = Trials(bench, asked.profile, asked.effort.batch)
    # What the model as it is took is not the techniques' cost.
    before = bench.run([Recipe()])
    begun = len(bench.work)
    facts: dict[str, Any] = {}
    recipes: list[Recipe] = []
    for one in made:
        if isinstance(one, Search):
            found, learned = one.find(trials)
            facts |= learned
        else:
            found = one
        recipes.append(joined(recipes[-1], found) if recipes else found)
    found_at = len(bench.work)
    after = bench.run(recipes)
    cost = _cost(asked, trials, recipes, bench.work[begun:found_at], bench.work[found_at:])
    if recipes[-1].lesson:
        facts |= _untaught(bench, recipes)
    columns = {
        name: quantities(outcome, asked.profile, asked.effort.batch)
        for name, outcome in (("before", before), ("after", after))
    }
    return {
        "model": asked.model,
        "dataset": asked.data,
        "device": asked.profile.name,
        "techniques": [{"technique": name, **dict(options)} for name, options in asked.techniques],
        "plan": _made_of(before, after),
        **columns,
        "facts": {**facts, **dict(after.shipped.artefact.facts), **on_the_device(after, asked.profile)},
        "cost": {"forward_samples": after.shipped.artefact.forward_samples, **cost},
        "remarks": [
            *_remarks(task, part_remarks(after.shipped.plan, after.spec, bench.objective_of(after.spec))),
            *_no_room(columns, asked.profile),
        ],
        "effort": asdict(asked.effort),
    }


def _made_of(before: Outcome, after: Outcome) -> str:
    """Return what was made of a model in words: another net, other layers, a plan."""
    own, old = after.spec, before.spec
    net = [f"a net of {after.shipped.workload.params:,} parameters"] if replace(own, layers=old.layers) != old else []
    layers = [own.layers.label] if own.layers is not None else []
    plan = after.shipped.plan.label_beside()
    return ", ".join([*net, *layers, *([plan] if plan != "full" or not (net or layers) else [])])


def _cost(
    asked: Asked, trials: Trials, recipes: Sequence[Recipe], searching: Sequence[Done], making: Sequence[Done]
) -> dict[str, Any]:
    """Return what finding and making took. What a search has measured already is not made a second time."""
    known = len(recipes) == 1 and recipes[0] in trials.measured
    parts = {
        "search": searching,
        "server training": [one for one in making if one.at_server],
        "rounds": [one for one in making if not one.at_server and one.steps is not None],
        "calibration": [one for one in making if not one.at_server and one.steps is None],
    }
    work = {name: () if known and name != "search" else part for name, part in parts.items()}
    spendings = {name: spent(part, asked.profile, asked.effort.batch) for name, part in work.items() if part}
    return {"recipes_tried": trials.tried, **bill(spendings, asked.prices)}


def orders(asked: Asked) -> list[dict[str, Any]]:
    """Return `compare` for every order of the techniques, the one that was asked for first.

    An order that makes no sense has only its techniques and `refused`, the reason.
    """
    told: list[dict[str, Any]] = []
    for order in permutations(asked.techniques):
        try:
            told.append(compare(replace(asked, techniques=order)))
        except PartError as error:
            names = [{"technique": name, **dict(options)} for name, options in order]
            told.append({"techniques": names, "refused": str(error)})
    return told


def _nets(model: str, made: Sequence[Recipe | Search]) -> tuple[str, ...]:
    """Return every net that will be trained."""
    fixed = [one for one in made if isinstance(one, Recipe)]
    lessons = [one.lesson for one in fixed if one.lesson]
    return (
        model,
        *(one.model for one in fixed if one.model),
        *(lesson.teacher for lesson in lessons if lesson.teacher),
    )


def _untaught(bench: Bench, recipes: Sequence[Recipe]) -> dict[str, Any]:
    """Return what the same net comes to by the labels alone: what it has of its teacher is the difference."""
    alone = bench.run([replace(one, lesson=None) for one in recipes]).shipped.score.metrics
    return {f"{name}_without_teacher": value for name, value in alone.items() if name != "loss"}


def _remarks(task: BenchTask, said: Sequence[str]) -> list[str]:
    rows = f"{len(task.train):,} rows of {task.data.name} among {len(task.shares)} clients"
    enlarged = f", each image enlarged {task.enlarged} times" if task.enlarged > 1 else ""
    return [f"trained on {rows}{enlarged}; judged on {len(task.data.y_test):,} others", *said]


def _no_room(columns: Mapping[str, Mapping[str, Any]], profile: DeviceProfile) -> list[str]:
    """Return what a device has no memory to train, though its time and energy are told."""
    most = float(profile.job_ram_bytes.value)
    takes = {name: plain(column["peak_memory_bytes"]) for name, column in columns.items()}
    return [
        f"training as {name} takes {show(peak, 'bytes')}, of which a job on {profile.name} may have"
        f" {show(most, 'bytes')}: it cannot train this; a server, or a larger device, would have to"
        for name, peak in takes.items()
        if peak > most
    ]


def catalogue(names: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return every technique, or those that are named, as JSON values: what it is, saves, takes, and an example.

    Raises
    ------
    UnknownNameError
        If there is no technique of a name.
    """
    return [
        {
            "technique": one.name,
            "family": one.family,
            "does": one.does,
            "rows": list(one.rows),
            "saves": list(one.saves),
            "where": list(one.where),
            "in_plans": one.in_plans,
            "source": ", ".join(one.cites),
            "options": one.options,
            "example": {
                "model": one.example.model,
                "dataset": one.example.dataset,
                "device": one.example.device,
                "set": dict(one.example.set),
            },
            "command": one.command,
        }
        for one in (map(technique, names) if names else TECHNIQUES.values())
    ]


def with_options(names: Sequence[str], settings: Mapping[str, str]) -> list[tuple[str, dict[str, str]]]:
    """Return each technique with the settings that are meant for it: `option=...` or `technique.option=...`.

    Raises
    ------
    FedliteError
        If no technique, or more than one, has an option of that name.
    """
    options: list[tuple[str, dict[str, str]]] = [(name, {}) for name in names]
    for key, value in settings.items():
        owner, dot, option = key.rpartition(".")
        fitting = [own for name, own in options if (name == owner if dot else key in technique(name).options)]
        if len(fitting) > 1:
            raise FedliteError(
                f"--set: got {key!r}, which several of {', '.join(names)} have, expected one; write technique.{key}"
            )
        # What nobody has is refused by the technique itself, which knows what it would take.
        (fitting or [options[0][1]])[0][option if dot and fitting else key] = value
    return options
