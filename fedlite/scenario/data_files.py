"""Data of the user's own in `task.data`: a CSV or npz file, and which part each column or array has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from fedlite.errors import FedliteError, quoted
from fedlite.learning.data.characters import PRINTABLE
from fedlite.learning.data.columns import header
from fedlite.learning.data.csv_file import CsvFile
from fedlite.learning.data.npz_file import NpzFile
from fedlite.scenario.base import Section, mistake, tell_unknown
from fedlite.scenario.names import remade
from fedlite.scenario.paths import beside
from fedlite.scenario.quantities import Means, ProperFraction

Size = Annotated[int, Field(ge=1, le=1_000_000)]
Shape = Annotated[tuple[Size, ...], Field(strict=False, max_length=3)]
Columns = Annotated[tuple[str, ...], Field(strict=False, max_length=20_000)]
DataPath = Annotated[str, beside("the data"), Means("path, taken from the scenario's folder")]
_ABOUT_TEXT = ("features", "one_hot", "shape")


class CsvData(Section):
    """A CSV file, names in its first line: a table of numbers, pictures of pixel columns, or text."""

    csv: DataPath
    """The file."""
    label: str | None = None
    """Column of classes, in numbers or words."""
    targets: Columns = ()
    """Columns of numbers to learn, in place of a label; they are learned as they are."""
    text: str | None = None
    """Column of text whose next character is learned, in place of a label."""
    client: str | None = None
    """Column that says whose a row is: the clients of `partition: natural`."""
    features: Columns = ()
    """Columns of numbers to learn from; without it, all that have no other part."""
    one_hot: Columns = ()
    """Columns of kinds to learn from: an input for each value."""
    shape: Shape = ()
    """Of a sample made of the features, such as `[1, 28, 28]` for pixels row by row."""
    context: Annotated[int, Field(ge=1, le=10_000)] = 80
    """Characters of text from which the next one is to be told; a sample begins every 10 characters."""
    alphabet: Annotated[str, Field(min_length=2, max_length=10_000)] | None = None
    """Characters of text that are told apart, all others being one; without it those that ASCII prints."""
    test: ProperFraction = 0.2
    """Share of each client's rows that are the test, the same for every seed; of text, the end of it."""
    test_column: str | None = None
    """Column that says instead which rows are, by `test` or `train`."""
    standardise: bool = True
    """Give each column, or each channel, zero mean and unit deviation over the training rows."""

    @model_validator(mode="after")
    def _parts_are_told_once(self) -> CsvData:
        learned = [key for key in ("label", "targets", "text") if getattr(self, key)]
        if len(learned) != 1:
            told = " and ".join(learned) or "no label"
            raise mistake(f"got {told}, expected one thing to learn", "keep one of label, targets and text")
        for key in _ABOUT_TEXT:
            if self.text is not None and getattr(self, key):
                raise mistake(f"got {key} beside text, which is learned from its own characters", "remove it", key)
        if self.shape and self.one_hot:
            raise mistake("got one_hot beside shape, which is of pixels", "remove one of the two", "one_hot")
        if self.alphabet is not None and len(set(self.alphabet)) != len(self.alphabet):
            raise mistake("got a character twice, expected each once", "leave one out", "alphabet")
        return self

    @model_validator(mode="after")
    def _columns_are_there(self) -> CsvData:
        try:
            known = header(Path(self.csv))
        except FedliteError as error:
            raise remade(error) from None
        parts: dict[str, str] = {}
        for key in ("label", "targets", "text", "client", "test_column", "features", "one_hot"):
            given = getattr(self, key)
            for name in (given,) if isinstance(given, str) else given or ():
                if name not in known:
                    raise mistake(*tell_unknown("a column", name, known), key)
                if name in parts:
                    told = f"got the column {quoted(name)} as {parts[name]} and as {key}, expected one part for it"
                    raise mistake(told, "keep one of the two", key)
                parts[name] = key
        return self

    @property
    def objective(self) -> str:
        """What the labels ask for."""
        return "next-character" if self.text else "regression" if self.targets else "cross-entropy"

    @property
    def path(self) -> Path:
        """Where the file is."""
        return Path(self.csv)

    @property
    def source(self) -> CsvFile:
        """What reads it."""
        parts = self.model_dump(exclude={"csv", "test", "alphabet"})
        return CsvFile(self.path, **parts, test=self.test, alphabet=self.alphabet or PRINTABLE)


class NpzData(Section):
    """An npz file of numpy arrays; pickled ones are refused. Arrays named after `x` with `_test` are the test split."""

    npz: DataPath
    """The file."""
    x: str = "x"
    """Array of inputs, shape (rows, ...)."""
    y: str = "y"
    """Array of labels: whole numbers or text are classes, other numbers are learned as such."""
    client: str | None = None
    """Array that says whose a row is: the clients of `partition: natural`."""
    text: bool = False
    """Whether inputs are numbers of characters, shape (rows, context), and labels those that follow."""
    shape: Shape = ()
    """Of a sample, if not as it is stored, such as `[1, 28, 28]`."""
    test: ProperFraction = 0.2
    """Share of each client's rows that are the test where there is no `x_test`, the same for every seed."""
    standardise: bool = True
    """Give each channel zero mean and unit deviation over the training rows."""

    @property
    def objective(self) -> str | None:
        """What the labels ask for; None if only reading them would tell."""
        return "next-character" if self.text else None

    @property
    def path(self) -> Path:
        """Where the file is."""
        return Path(self.npz)

    @property
    def source(self) -> NpzFile:
        """What reads it."""
        return NpzFile(self.path, **self.model_dump(exclude={"npz", "test"}), test=self.test)


def tell_kind(value: Any) -> Any:
    """Refuse a mapping that names no file, or two; a resolved section passes."""
    if isinstance(value, dict) and len({"csv", "npz"} & set(value)) != 1:
        raise mistake(
            f"got a section with {', '.join(map(quoted, value)) or 'no key'}, expected a file",
            "write 'csv: FILE' or 'npz: FILE' in it",
        )
    if not isinstance(value, str | dict | CsvData | NpzData):
        raise mistake(f"got {quoted(value)}, expected a name or a file", "write for example 'data: digits'")
    return value


def kind_of(value: Any) -> str:
    """Return the tag of what a scenario says of its data."""
    if isinstance(value, str):
        return "name"
    return "CsvData" if isinstance(value, CsvData) or (isinstance(value, dict) and "csv" in value) else "NpzData"
