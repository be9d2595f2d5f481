"""Names a scenario may use, asked from the rooms that own them; nothing heavy is imported to check a file."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import AfterValidator

from fedlite import units
from fedlite.errors import FedliteError, InvalidFileError, UnitError, quoted
from fedlite.scenario.base import mistake, unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from pydantic_core import PydanticCustomError

_REFERENCE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


class OwnFile(Protocol):
    """Data in a file of the user's own: what is known of it without reading it."""

    @property
    def objective(self) -> str | None:
        """What its labels ask for."""

    @property
    def client(self) -> str | None:
        """What in it says whose a row is."""


def is_reference(text: str) -> bool:
    """Tell whether a text has the form `pkg.mod:name`, a piece of the user's own code."""
    return _REFERENCE.fullmatch(text) is not None


def after(check: Callable[[object], object] | Callable[..., object]) -> AfterValidator:
    """Return the annotation that runs `check` on an already typed value."""
    return AfterValidator(check)


def checked(kind: str, known: Callable[[], Iterable[str]], *, reference: bool = False) -> Callable[[str], str]:
    """Return a check that a name is in a table or, if told, has the form `pkg.mod:name`."""

    def check(name: str) -> str:
        table = list(known())
        if name in table or (reference and is_reference(name)):
            return name
        if reference and ":" in name:
            raise mistake(
                f"got {quoted(name)}, expected code of your own as 'package.module:name'", "write 'pkg.mod:name'"
            )
        raise unknown(kind, name, table)

    return check


def percentage(text: str) -> float:
    """Return 0.3 for "30 %"."""
    try:
        return units.parse(text, "fraction")
    except UnitError as error:
        raise remade(error) from None


def remade(error: FedliteError) -> PydanticCustomError:
    """Return a fedlite error as the error a validator raises, its last clause as remedy.

    What stands before "got" is the key inside of the value that is to blame, if it is one.
    """
    message, _, remedy = str(error).rpartition("; ")
    said = (message or remedy).partition(": got ")
    told = f"got {said[2]}" if said[2] else said[0]
    return mistake(told, remedy if message else "mend it", said[0].rpartition(".")[2] if said[2] else "")


def profiles() -> list[str]:
    """Return the names of all device profiles that ship."""
    from fedlite.scenario.profiles import profile_names

    return profile_names()


def mixes() -> list[str]:
    """Return the names of all mixes that ship."""
    from fedlite.scenario.profiles import mix_names

    return mix_names()


def is_file(name: str) -> bool:
    """Tell whether a profile or mix is named by the path of its file."""
    return name.endswith((".yaml", ".yml"))


def profile_file(name: str, folder: Path) -> str:
    """Return the full path of a profile file of the user's own, which must be in order."""
    from fedlite.scenario.profiles import load_profile

    path = (folder / name).expanduser().resolve()
    try:
        load_profile(path)
    except InvalidFileError as error:
        raise _of_other_file("profile", name, error) from None
    return str(path)


def profile_name(key: str) -> str:
    """Return the name of a profile that a mix names by its name or by its file."""
    from fedlite.scenario.profiles import load_profile

    return load_profile(key).name if is_file(key) else key


def mix(name: str, folder: Path) -> dict[str, float]:
    """Return {profile: share} of a shipped mix or of a mix file, its path taken from `folder`."""
    from fedlite.scenario.profiles import load_mix, mix_names

    if is_file(name):
        try:
            return dict(load_mix((folder / name).expanduser().resolve()))
        except InvalidFileError as error:
            raise _of_other_file("mix", name, error) from None
    if name not in mix_names():
        raise unknown("a mix", name, mix_names())
    return dict(load_mix(name))


def _of_other_file(kind: str, name: str, error: InvalidFileError) -> PydanticCustomError:
    first, count = error.problems[0], len(error.problems)
    which = "whose mistake is" if count == 1 else f"whose first mistake of {count} is"
    where = f"{first.path}:{first.line}: {first.key}"
    return mistake(f"got the {kind} {quoted(name)}, {which} {where}: {first.message}", first.remedy)


def accesses() -> list[str]:
    """Return the names of all access types."""
    from fedlite.devices.network import ACCESS

    return list(ACCESS)


def regions() -> list[str]:
    """Return the names of all regions with network data."""
    from fedlite.devices.network import REGIONS

    return list(REGIONS)


def carbon_grids() -> list[str]:
    """Return the names of all electricity grids."""
    from fedlite.devices.carbon import GRIDS

    return list(GRIDS)


def models() -> list[str]:
    """Return the names of all models that ship."""
    from fedlite.learning.models import MODELS

    return list(MODELS)


def objectives() -> list[str]:
    """Return the names of all objectives that ship."""
    from fedlite.learning.objectives import OBJECTIVES

    return list(OBJECTIVES)


def gives_input_again(model: str) -> bool:
    """Tell whether a model's output is its input again, not a score for each class."""
    from fedlite.learning.models import GIVE_INPUT_AGAIN

    return model in GIVE_INPUT_AGAIN


def has_exits(model: str) -> bool:
    """Tell whether a model can give the scores of every exit."""
    from fedlite.learning.models import HAVE_EXITS

    return model in HAVE_EXITS


def objective_of(dataset: str | OwnFile) -> str | None:
    """Return what the labels of a dataset ask for; None if only reading it would tell."""
    from fedlite.learning.data.catalog import CATALOG

    if not isinstance(dataset, str):
        return dataset.objective
    if dataset.startswith("idx:"):
        return "cross-entropy"
    return CATALOG[dataset].objective if dataset in CATALOG else None


def metrics_of(objective: str) -> list[str] | None:
    """Return the metrics of an objective, the main one first; None if it is code of the user's own."""
    from fedlite.learning import objectives

    if objective not in objectives.OBJECTIVES:
        return None
    return [metric.name for metric in objectives.objective(objective).metrics]


def datasets() -> list[str]:
    """Return the names of all datasets that can be had."""
    from fedlite.learning.data.catalog import CATALOG

    return list(CATALOG)


def natural_clients(dataset: str | OwnFile) -> int | None:
    """Return how many people or devices a dataset records; None if only reading it would tell."""
    from fedlite.learning.data.catalog import CATALOG

    if not isinstance(dataset, str):
        return 0 if dataset.client is None else None
    return CATALOG[dataset].natural_clients if dataset in CATALOG else None


def input_shape(dataset: str | OwnFile) -> tuple[int, ...] | None:
    """Return the shape of a dataset's samples; None if only reading it would tell."""
    from fedlite.learning.data.catalog import CATALOG

    return CATALOG[dataset].input_shape if isinstance(dataset, str) and dataset in CATALOG else None


def test_rows(dataset: str | OwnFile) -> int | None:
    """Return how many rows a dataset's test has; None if only reading it would tell."""
    from fedlite.learning.data.catalog import CATALOG

    return CATALOG[dataset].test_rows if isinstance(dataset, str) and dataset in CATALOG else None


def takes(model: str) -> tuple[int, int] | None:
    """Return how many dimensions a model's samples have, and their least length; None if any will do or is unknown."""
    from fedlite.learning.models import TAKES

    return TAKES.get(model)


def habits() -> list[str]:
    """Return the names of the habits of diurnal availability that can be changed."""
    from fedlite.simulation.diurnal import DiurnalHabits

    return [field.name for field in dataclasses.fields(DiurnalHabits) if field.name != "time_zones_h"]


def references_in(value: Any) -> Iterator[str]:
    """Yield every text in a scenario's plain values that may name code of the user's own: `pkg.mod:name...`."""
    if isinstance(value, str):
        for part in value.split("+"):  # a chain of codec stages
            if found := _REFERENCE.match(part.strip()):
                yield found[0]
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from references_in(key)
            yield from references_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from references_in(item)
