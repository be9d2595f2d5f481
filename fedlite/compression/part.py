"""What every part of a plan is: a small frozen record with a name, its effects on cost, and where it comes from.

A part is one dataclass in one file. Its fields are its schema; `__post_init__` refuses values out of range. It is named
in a scenario by a short name of the table of its kind, or as `pkg.mod:Class` if it is the user's own.
"""

from __future__ import annotations

import math
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeVar, get_type_hints

from fedlite import own_code
from fedlite.errors import FedliteError, nearest, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Options = dict[str, Any]
_PRECISIONS: Final = ("fp32", "fp16", "int8")
"""In which the device model knows how fast a model answers."""


class PartError(FedliteError):
    """A part of a plan is named, written or combined wrongly."""


@dataclass(frozen=True)
class Effects:
    """What a part changes in the cost of a job, beyond the net that a structure builds, which is traced and priced.

    Attributes
    ----------
    step_time : float
        Factor on the time of an optimiser step, measured or derived; the part's file names the source.
    weight_copies : float
        Copies of the weights that training holds in memory because of the part.
    weight_copies_per_sample : float
        The same for each sample of a batch, such as a gradient of its own.
    update_passes : float
        How often the whole update is read or written once per job, beside the training itself.
    stored : tuple of str
        Codec stages in which the delivered model may be stored because of the part.
    inference : str
        Precision in which the delivered model computes.
    """

    step_time: float = 1.0
    weight_copies: float = 0.0
    weight_copies_per_sample: float = 0.0
    update_passes: float = 0.0
    stored: tuple[str, ...] = ()
    inference: str = "fp32"

    def __post_init__(self) -> None:
        for name, least in (
            ("step_time", 1.0),
            ("weight_copies", 0.0),
            ("weight_copies_per_sample", 0.0),
            ("update_passes", 0.0),
        ):
            value = getattr(self, name)
            if not (isinstance(value, float | int) and math.isfinite(value) and value >= least):
                raise PartError(
                    f"effects: got {name} {value!r}, expected {least:g} or more; only a structure makes a job cheaper"
                )
        if self.inference not in _PRECISIONS:
            raise PartError(f"effects: got inference {self.inference!r}, expected {', '.join(_PRECISIONS)}; write one")

    @classmethod
    def of(cls, parts: Iterable[Part]) -> Self:
        """Return the effects of several parts together: factors multiply, copies and passes add."""
        total = cls()
        for effects in (part.effects for part in parts):
            total = cls(
                total.step_time * effects.step_time,
                total.weight_copies + effects.weight_copies,
                total.weight_copies_per_sample + effects.weight_copies_per_sample,
                total.update_passes + effects.update_passes,
                (*total.stored, *(stage for stage in effects.stored if stage not in total.stored)),
                total.inference if effects.inference == cls.inference else effects.inference,
            )
        return total


@dataclass(frozen=True)
class Part:
    """Base of all parts. Subclasses are frozen dataclasses whose fields are plain values (numbers, texts, tuples)."""

    name: ClassVar[str]
    """Short name for tables and for the kind's own table; `pkg.mod:Class` names a part that is in no table."""
    cites: ClassVar[tuple[str, ...]] = ()
    """Where it comes from: keys of the packaged bibliography, or whole BibTeX entries of the user's own."""

    @property
    def effects(self) -> Effects:
        """What it changes in the cost of a job."""
        return Effects()

    @property
    def keeps_memory(self) -> bool:
        """Whether a device keeps something of it between its jobs."""
        return False

    @property
    def label(self) -> str:
        """A few words for tables, such as "width 0.5"."""
        return self.name

    @property
    def remark(self) -> str:
        """One sentence on what it saves and what it does not; "" if there is nothing to claim or to deny."""
        return ""

    @property
    def record(self) -> Options:
        """The part as plain JSON values: the class under "part", then its fields."""
        kind = type(self)
        return {
            "part": f"{kind.__module__}:{kind.__qualname__}",
            **{field.name: getattr(self, field.name) for field in fields(self)},
        }


_SAYS: Final = {"name": str, "cites": tuple, "effects": Effects, "keeps_memory": bool, "label": str, "remark": str}
"""What a part says of itself, and of which type it is."""

P = TypeVar("P", bound=Part)


def from_record(record: Mapping[str, Any], kind: type[P]) -> P:
    """Return the part that `Part.record` described."""
    options = {key: _as_tuples(value) for key, value in record.items() if key != "part"}
    return found(str(record["part"]), kind)(**options)


def found(reference: str, kind: type[P]) -> type[P]:
    """Return the class that `pkg.mod:Class` names.

    Raises
    ------
    PartError
        If it cannot be imported, is no part of this kind, or leaves out what this kind must have.
    """
    try:
        target: Any = own_code.load(reference)
    except own_code.OwnCodeError as error:
        raise PartError(
            f"got {quoted(reference)}, which cannot be imported ({error}), expected pkg.mod:Class; {own_code.REMEDY}"
        ) from error
    own = isinstance(target, type) and issubclass(target, kind)
    # `vars`, for a class without the decorator inherits the fields of its base, and takes no options of its own.
    if not (own and getattr(vars(target).get("__dataclass_params__"), "frozen", False)):
        remedy = "write '@dataclass(frozen=True)' above it" if own else "derive it"
        raise PartError(
            f"got {reference!r}, expected a frozen dataclass derived from {kind.__module__}.{kind.__name__}; {remedy}"
        )
    if taken := sorted({"part", "name"} & {field.name for field in fields(target)}):
        raise PartError(f"got {reference!r} with an option called {taken[0]!r}, which plans need; call it otherwise")
    part: type[P] = target
    lacking = sorted(getattr(target, "__abstractmethods__", ())) + [n for n in ("name",) if not hasattr(target, n)]
    if lacking:
        raise PartError(f"got {reference!r} without {lacking[0]!r}, expected all that {kind.__name__} asks for; add it")
    return part


def made(name: str, options: Mapping[str, Any], table: Mapping[str, str], kind: type[P]) -> P:
    """Return the part of a name with its options, each checked against the type of its field.

    Parameters
    ----------
    name : str
        A key of `table`, or `pkg.mod:Class`.
    options : mapping
        Fields of the part, as a scenario gives them; lists stand for tuples.
    table : mapping
        Name -> `module:Class` of the parts that ship.
    kind : type
        The base class that the part must have.

    Raises
    ------
    PartError
        If the name is unknown, an option is missing, unknown, of the wrong type or out of range, or what the part says
        of itself is of another type than its kind asks for.
    """
    if name not in table and ":" not in name:
        near = nearest(name, table)
        remedy = f"write {near!r}" if near else "write one of them"
        raise PartError(f"got {quoted(name)}, expected one of {', '.join(sorted(table))} or pkg.mod:Class; {remedy}")
    part = found(table.get(name, name), kind)
    known = {field.name: field for field in fields(part)}
    if unknown := sorted(set(options) - set(known)):
        expected = ", ".join(known) or "none"
        near = nearest(unknown[0], known)
        remedy = f"write {near!r}" if near else "remove it"
        raise PartError(f"{name}.{unknown[0]}: got the option {quoted(unknown[0])}, expected {expected}; {remedy}")
    needed = [f.name for f in known.values() if f.default is MISSING and f.default_factory is MISSING]
    if missing := [field for field in needed if field not in options]:
        raise PartError(f"{name}: got no {missing[0]!r}, expected a value; add '{missing[0]}: ...'")
    try:
        own: P = own_code.call(_with_options, name, part, options)
    except PartError:
        raise
    except FedliteError as error:
        raise PartError(
            f"{name}: got {dict(options)}, which it cannot take ({error}); mend the value or the class"
        ) from error
    return own


def _with_options(name: str, part: type[P], options: Mapping[str, Any]) -> P:
    hints = get_type_hints(part)
    own = part(**{key: _checked(f"{name}.{key}", value, hints[key]) for key, value in options.items()})
    _check_what_it_says(name, own)
    return own


def _check_what_it_says(reference: str, part: Part) -> None:
    """Ask a part for all it says of itself, which is computed: a mistake in it shows before a run."""
    for said, kind in _SAYS.items():
        value = getattr(part, said)
        if not isinstance(value, kind):
            raise PartError(
                f"{reference}: got {value!r} as its {said}, expected {kind.__name__}; mend {said!r} in the class"
            )
    if wrong := [source for source in part.cites if not isinstance(source, str)]:
        raise PartError(f"{reference}: got {wrong[0]!r} among its cites, expected str; mend 'cites' in the class")


def _as_tuples(value: Any) -> Any:
    """Return a value with tuples for lists, also inside of lists: parts must be hashable."""
    return tuple(_as_tuples(item) for item in value) if isinstance(value, list | tuple) else value


def _checked(where: str, value: Any, hint: Any) -> Any:
    """Return a value as its field holds it, or raise; numbers may be whole where a fraction is expected."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(hint).validate_python(_as_tuples(value), strict=True)
    except ValidationError as error:
        words = getattr(hint, "__name__", str(hint))
        raise PartError(f"{where}: got {quoted(value)}, expected {words}; mend the value") from error
