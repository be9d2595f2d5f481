"""The `task` section: what is learned, from whose data, by which model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from fedlite.errors import FedliteError, quoted
from fedlite.scenario import names, spelling
from fedlite.scenario.base import Argument, Section, mistake, unknown
from fedlite.scenario.data_files import CsvData, NpzData, kind_of, tell_kind
from fedlite.scenario.parts import LayersPart
from fedlite.scenario.quantities import Bytes, Means, PositiveFraction
from fedlite.scenario.shorthand import expanding

if TYPE_CHECKING:
    from fedlite.learning.data.csv_file import CsvFile
    from fedlite.learning.data.npz_file import NpzFile

Count = Annotated[int, Field(ge=1, le=10_000_000)]
Positive = Annotated[float, Field(gt=0, le=1e6)]


def _check_data(name: str) -> str:
    if name.startswith("idx:"):
        if len(name) == len("idx:"):
            raise mistake("got 'idx:' without a folder", "write 'idx:/usr/share/dataset-fashion-mnist'")
        return name
    known = names.datasets()
    if name in known or names.is_reference(name):
        return name
    raise unknown("a dataset (or 'idx:FOLDER', or 'pkg.mod:factory')", name, known)


def _check_reference(name: str) -> str:
    if not names.is_reference(name):
        raise mistake(f"got {quoted(name)}, expected code of your own as 'package.module:name'", "write 'pkg.mod:name'")
    return name


DataName = Annotated[
    str,
    names.after(_check_data),
    Means(
        "dataset name (`fedlite data list`), `idx:FOLDER` or `pkg.mod:factory`",
        lambda: spelling.one_of(names.datasets(), {"type": "string", "pattern": "^idx:."}, spelling.REFERENCE),
    ),
]
Data = Annotated[
    Annotated[DataName, Tag("name")] | Annotated[CsvData, Tag("CsvData")] | Annotated[NpzData, Tag("NpzData")],
    Discriminator(kind_of),
    BeforeValidator(tell_kind),
]
Reference = Annotated[str, names.after(_check_reference), Means("`pkg.mod:name`", lambda: spelling.REFERENCE)]
ModelName = Annotated[
    str,
    names.after(names.checked("a model", names.models, reference=True)),
    Means("model name or `pkg.mod:factory`", lambda: spelling.one_of(names.models(), spelling.REFERENCE)),
]


def _check_objective(name: str) -> str:
    from fedlite.learning.objectives import objective

    if names.is_reference(name):
        try:
            objective(name)
        except FedliteError as error:
            raise names.remade(error) from None
    return name


ObjectiveName = Annotated[
    str,
    names.after(names.checked("an objective", lambda: ["auto", *names.objectives()], reference=True)),
    names.after(_check_objective),
    Means(
        "`auto`, the name of an objective, or `pkg.mod:Name`",
        lambda: spelling.one_of(["auto", *names.objectives()], spelling.REFERENCE),
    ),
]


class Natural(Section):
    """One client per person or device recorded in the data."""

    kind: Literal["natural"] = "natural"


class Iid(Section):
    """Rows are dealt at random, equally many to each client."""

    kind: Literal["iid"] = "iid"


class Dirichlet(Section):
    """Each class is dealt in Dirichlet shares (Hsu et al. 2019): the smaller alpha, the more one-sided the clients."""

    kind: Literal["dirichlet"] = "dirichlet"
    alpha: Positive = 0.5
    """Concentration."""
    min_size: Count = 1
    """Fewest rows of a client."""


class Shards(Section):
    """Rows sorted by class are cut into shards and dealt (McMahan et al. 2017)."""

    kind: Literal["shards"] = "shards"
    per_client: Count = 2
    """Shards of each client."""


class Pathological(Section):
    """Each client holds exactly so many classes (Li et al. 2022)."""

    kind: Literal["pathological"] = "pathological"
    classes_per_client: Count = 2
    """Classes of each client."""


class Quantity(Section):
    """Rows are dealt at random in unequal amounts: classes are alike, sizes are not."""

    kind: Literal["quantity"] = "quantity"
    sigma: Annotated[float, Field(ge=0, le=10)] | None = None
    """Sizes are lognormal with this deviation of the logarithm; 1 if neither this nor exponent is given."""
    exponent: Annotated[float, Field(ge=0, le=100)] | None = None
    """Sizes follow a power law with this exponent instead."""
    min_size: Count = 1
    """Fewest rows of a client."""

    @model_validator(mode="after")
    def _one_law_of_sizes(self) -> Quantity:
        if self.sigma is not None and self.exponent is not None:
            raise mistake("got both sigma and exponent, expected one law of sizes", "keep one of the two")
        return self


class FlowerDatasets(Section):
    """A partitioner of the flwr-datasets package (extra `fedlite[datasets]`)."""

    kind: Literal["flwr_datasets"]
    partitioner: str
    """Class name, such as `DirichletPartitioner`."""
    options: dict[str, Argument] = Field(default={})
    """Its options, the number of partitions left out."""


Partition = Annotated[
    Natural | Iid | Dirichlet | Shards | Pathological | Quantity | FlowerDatasets,
    Field(discriminator="kind"),
    expanding("kind"),
]


def partition_options(chosen: Section) -> dict[str, Any]:
    """Return a partition's options as `fedlite.learning.data.partition` takes them, its kind left out."""
    if isinstance(chosen, FlowerDatasets):
        return {"partitioner": chosen.partitioner, **chosen.options}
    return chosen.model_dump(exclude={"kind"}, exclude_none=True)


class Rows(Section):
    """The data's own test rows: where it records people, other rows of the same people."""

    kind: Literal["rows"] = "rows"


class People(Section):
    """People who take no part in training, as a rollout meets them; of data that records people."""

    kind: Literal["people"]
    share: PositiveFraction = 0.3
    """Part of the people who are held out, drawn by the seed."""


Split = Annotated[Rows | People, Field(discriminator="kind"), expanding("kind")]


class Model(Section):
    """The model that is trained."""

    name: ModelName
    """A model of `fedlite.learning.models`, or a factory of your own."""
    width: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of every hidden width to keep, for all clients."""
    norm: Literal["group", "batch", "static"] | None = None
    """Normalisation, where the model has any; without it the model's own default."""
    options: dict[str, Argument] = Field(default={})
    """Further arguments of the factory, such as `hidden: [128]`."""

    @model_validator(mode="after")
    def _options_are_the_factorys_own(self) -> Model:
        for name in ("name", "input_shape", "num_classes", "width", "seed"):
            if name in self.options:
                raise mistake(
                    f"got the option {quoted(name)}, which the scenario or the data tells already", "remove it"
                )
        return self

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments for `fedlite.learning.models.build`, width included."""
        return {"width": self.width, **({} if self.norm is None else {"norm": self.norm}), **self.options}


def _of_work(value: Any) -> Any:
    """Return a number as what it stands for: that of messages that train, and that test."""
    return dict.fromkeys(("train", "evaluate"), value) if isinstance(value, int | float | str) else value


class App(Section):
    """A Flower ClientApp of the user's own in place of the native trainer."""

    client: Reference
    """The ClientApp, as `pkg.mod:app`."""
    macs: (
        Annotated[
            dict[str, Annotated[float, Field(ge=0, le=1e18)]],
            BeforeValidator(_of_work),
            Means("number, or `{type of message: number}`", beside=lambda: {"type": "number"}),
        ]
        | None
    ) = None
    """Multiply-accumulates of one job, if you declare them: a number for all that trains or tests, or one by type of
    message (`{train: 2e6, train.setup: 0}`). What is not declared is counted while the app runs."""
    memory_bytes: Bytes | None = Field(default=None, alias="memory")
    """Peak memory of one job, if you declare it."""


class Task(Section):
    """What is learned."""

    data: Data
    """The dataset, or a file of your own."""
    model: Annotated[Model, expanding("name")]
    """The model."""
    layers: LayersPart | None = None
    """Other layers in the model, such as `{name: lora, rank: 4}`: the whole run trains them."""
    partition: Partition = Iid()
    """How the rows are dealt to clients."""
    split: Split = Rows()
    """On whose rows the model is tested."""
    clients: Count | None = None
    """Number of parts the data is dealt into; without it one per device. Devices beyond it share parts."""
    objective: ObjectiveName = "auto"
    """What is learned and by which number it is judged; `auto` is what the data's labels ask for."""
    app: Annotated[App, expanding("client")] | None = None
    """A Flower ClientApp of your own; without it fedlite's trainer."""

    @property
    def data_name(self) -> str:
        """What the data is called: its name, or that of its file."""
        return self.data if isinstance(self.data, str) else self.data.path.name

    @property
    def source(self) -> str | CsvFile | NpzFile:
        """Where the data is, as `fedlite.learning.data.load` takes it."""
        return self.data if isinstance(self.data, str) else self.data.source
