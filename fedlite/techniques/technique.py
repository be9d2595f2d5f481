"""What a technique is: a named way to make a model lighter, with its options, its source and what it truly saves."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, get_type_hints

from fedlite.compression.part import PartError
from fedlite.compression.plan import Plan
from fedlite.errors import nearest, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

    from fedlite.client.choosers.base import Chooser
    from fedlite.compression.structure.base import Structure
    from fedlite.learning.models.layers.base import Layers
    from fedlite.learning.objectives.terms.base import Term

    class Trial(Protocol):
        """A trained model that a search may look into.

        Attributes
        ----------
        device_s, device_j : float
            Of its rounds and of all testing so far, had devices of one profile done it.
        """

        device_s: float
        device_j: float

        def held(self, structure: Structure = ...) -> Mapping[str, float]:
            """Return the metrics, on rows that nobody trains on, of the net that a structure cuts out of the model."""

    class Bench(Protocol):
        """What a search may ask, on the task and the device at hand."""

        def measure(self, recipe: Recipe) -> Mapping[str, Any]:
            """Return the quantities of `fedlite compress` of a recipe, as plain numbers."""

        def weigh(self, recipe: Recipe, device: str = "") -> Mapping[str, float]:
            """Return params, macs, stored_bytes, latency_ms and inference_memory_bytes of a net that is not trained."""

        def train(self, recipe: Recipe, rounds: int = 0) -> Trial:
            """Return a model trained under a recipe, by so many rounds from scratch if any are named."""


STORED: Final = "stored"
WIRE: Final = "wire"
COMPUTE: Final = "compute"
MEMORY: Final = "memory"
DEVICE: Final = "device"
UPLINK: Final = "uplink"
DOWNLINK: Final = "downlink"
SERVER: Final = "server"


@dataclass(frozen=True)
class Among:
    """Several plans of which one is chosen for each client job.

    Attributes
    ----------
    chooser : Chooser
    plans : tuple of Plan
        From the coarsest to the finest.
    """

    chooser: Chooser
    plans: tuple[Plan, ...]


@dataclass(frozen=True)
class Lesson:
    """How a server trains the net before the first round: it learns from a teacher, which is trained first.

    Attributes
    ----------
    terms : tuple of Term
        What the teacher adds to the loss; they say nothing of a device's price, for no device pays it.
    teacher : str
        The net that teaches; the one that was named if empty.
    """

    terms: tuple[Term, ...]
    teacher: str = ""


@dataclass(frozen=True)
class Recipe:
    """What a technique makes of a task.

    Attributes
    ----------
    plan : Plan
        Of every client job, and of what is shipped.
    model : str, optional
        Another net instead of the one that was named.
    options : tuple of (name, value)
        Further arguments of the net's factory.
    layers : Layers, optional
        Other layers in the net, which the whole run trains.
    on_trained : bool
        Whether these layers stand on the net as it was trained before, and not on fresh values.
    width : float
        Of the net, as a share of the architecture's own; a plan's structure takes its share of that.
    lesson : Lesson, optional
        How the server trains the net before the rounds, if not by the labels alone.
    among : Among, optional
        The plans of client jobs, where they are chosen; what is shipped follows `plan`.
    """

    plan: Plan = field(default_factory=Plan)
    model: str | None = None
    layers: Layers | None = None
    on_trained: bool = False
    width: float = 1.0
    lesson: Lesson | None = None
    options: tuple[tuple[str, Any], ...] = ()
    among: Among | None = None


class Search(ABC):
    """A technique that tries recipes before it settles on one."""

    @abstractmethod
    def find(self, bench: Bench) -> tuple[Recipe, dict[str, Any]]:
        """Return the recipe that was found, and what was found out on the way as plain JSON values."""


@dataclass(frozen=True)
class Example:
    """A setting in which a technique is of use, and which `fedlite compress` runs in a minute or two."""

    model: str = "cnn"
    dataset: str = "digits"
    device: str = "pi-4b"
    set: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Technique:
    """One entry of the catalogue.

    Attributes
    ----------
    name, family : str
    rows : tuple of int
        Which techniques of the surveys it covers (docs/concepts/techniques.md).
    saves : tuple of str
        What its example shows: stored, wire, compute, memory.
    where : tuple of str
        device, uplink, downlink, server.
    cites : tuple of str
        Keys of the bibliography.
    make : callable
        From its options to a plan, a recipe or a search; its signature is their schema, its docstring their help.
    example : Example
    """

    name: str
    family: str
    rows: tuple[int, ...]
    saves: tuple[str, ...]
    where: tuple[str, ...]
    cites: tuple[str, ...]
    make: Callable[..., Plan | Recipe | Search]
    example: Example = field(default_factory=Example)

    @property
    def does(self) -> str:
        """One sentence: the first line of what makes it."""
        return (inspect.getdoc(self.make) or "").partition("\n")[0]

    @property
    def command(self) -> str:
        """What runs the example."""
        settings = [f"--set {name}={value}" for name, value in self.example.set.items()]
        shown = ["fedlite compress", self.example.model, "--technique", self.name, *settings]
        return " ".join([*shown, "--device", self.example.device, "--dataset", self.example.dataset])

    @property
    def options(self) -> dict[str, Any]:
        """Option -> its default; None where one has to be written."""
        every = inspect.signature(self.make).parameters
        return {name: None if one.default is one.empty else one.default for name, one in every.items()}

    @property
    def in_plans(self) -> bool:
        """Whether a scenario's plan may name it: it is made of parts, and no search, choice or work of a server."""
        made = self.made(self.example.set)
        return isinstance(made, Recipe) and made.among is None and made.lesson is None and made.width == 1.0

    def read(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return options as their types; texts, as the command line has them, are read as what the type asks for.

        Raises
        ------
        PartError
            If one is unknown, missing or of the wrong type.
        """
        known = self.options
        if unknown := sorted(set(options) - set(known)):
            near = nearest(unknown[0], known)
            expected = ", ".join(known) or "none"
            raise PartError(
                f"{self.name}: got the option {quoted(unknown[0])}, expected {expected}; "
                + (f"write {near!r}" if near else "leave it out")
            )
        every = inspect.signature(self.make).parameters
        if missing := [name for name, one in every.items() if one.default is one.empty and name not in options]:
            raise PartError(f"{self.name}: got no {missing[0]!r}, expected a value; add '{missing[0]}=...'")
        hints = get_type_hints(self.make)
        return {name: _checked(f"{self.name}.{name}", value, hints[name]) for name, value in options.items()}

    def made(self, options: Mapping[str, Any]) -> Recipe | Search:
        """Return the recipe, or the search for one, under these options.

        Raises
        ------
        PartError
            If an option is unknown, of the wrong type or out of range.
        """
        try:
            found = self.make(**self.read(options))
        except PartError as error:
            # A part knows its own names only; options of a technique mostly are those of its parts.
            if str(error).partition(":")[0] not in self.options:
                raise
            raise PartError(f"{self.name}.{error}") from error
        return Recipe(found) if isinstance(found, Plan) else found


def _checked(where: str, value: Any, hint: Any) -> Any:
    """Return an option as its type."""
    from pydantic import TypeAdapter, ValidationError

    if isinstance(value, list):
        value = tuple(value)
    if isinstance(value, str) and hint is not str and "tuple" in str(hint):
        value = tuple(part for part in value.split(",") if part)
    try:
        return TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        words = getattr(hint, "__name__", str(hint))
        raise PartError(f"{where}: got {quoted(value)}, expected {words}; mend the value") from error
