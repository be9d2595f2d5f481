"""Dealing training rows to clients: one vectorised function for each rule, one table that names them.

All but `natural` are synthetic splits: nobody's data, dealt by a rule. Every rule is a pure function of its arguments;
rows of a client are in ascending order.

References
----------
dirichlet: Hsu, Qi, Brown 2019, arXiv:1909.06335, in the per-class form of Yurochkin et al. 2019, arXiv:1905.12022.
shards: McMahan et al. 2017, arXiv:1602.05629, section 3.
pathological and quantity skew: Li, Diao, Chen, He 2022, arXiv:2102.02079, section 4.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fedlite.errors import UnknownNameError
from fedlite.learning.data.flwr_partitioner import flwr_datasets
from fedlite.learning.data.partition_error import PartitionError
from fedlite.learning.data.rebalance import rounded_shares, top_up
from fedlite.rng import stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Rule = Callable[..., list[Ints]]


def partition(
    kind: str, labels: NDArray[Any], owners: Ints | None, n_clients: int, seed: int, **options: Any
) -> list[Ints]:
    """Deal rows to clients.

    Parameters
    ----------
    kind : str
        A key of `PARTITIONS`.
    labels : int array, shape (rows,)
        Class of each row; rules of `WITHOUT_CLASSES` take other labels too.
    owners : int array, shape (rows,), optional
        Natural owner of each row; only `natural` looks at it.
    n_clients : int
        Number of clients, at least 1.
    seed : int
        Names the random stream; the same arguments always give the same split.
    **options
        Of the rule: `alpha`, `min_size` (dirichlet), `per_client` (shards), `classes_per_client` (pathological), ...

    Returns
    -------
    list of int64 arrays
        Row indices of each client. Synthetic rules give each row to exactly one client and no client nothing.

    Raises
    ------
    PartitionError
        If the rule can not be kept with this many rows, or an option is unknown or out of range.
    """
    rule = PARTITIONS.get(kind)
    if rule is None:
        raise UnknownNameError("partition", kind, list(PARTITIONS))
    _check_options(kind, rule, set(options))
    if kind not in WITHOUT_CLASSES and labels.dtype.kind == "f":
        raise PartitionError(
            f"partition {kind!r}: got data whose rows have numbers, expected classes, which it deals; "
            f"use one of {', '.join(sorted(WITHOUT_CLASSES))}"
        )
    if n_clients < 1:
        raise PartitionError(f"partition {kind!r}: got {n_clients} clients, expected at least 1")
    if kind != "natural" and len(labels) < n_clients:
        raise PartitionError(
            f"partition {kind!r}: got {len(labels)} rows for {n_clients} clients, expected a row for each; "
            "use fewer clients or a larger dataset"
        )
    return rule(labels, owners, n_clients, seed, **options)


def iid(labels: Ints, owners: Ints | None, n_clients: int, seed: int) -> list[Ints]:
    """Shuffle all rows and cut them into parts whose sizes differ by at most one."""
    del owners
    rows = stream(seed, "partition", "iid").permutation(len(labels))
    return [np.sort(part) for part in np.array_split(rows, n_clients)]


def dirichlet(
    labels: Ints, owners: Ints | None, n_clients: int, seed: int, *, alpha: float = 0.5, min_size: int = 1
) -> list[Ints]:
    """Deal each class by its own draw of shares from a symmetric Dirichlet distribution.

    Parameters
    ----------
    alpha : float
        Concentration, above 0. Small: a client sees few classes and sizes differ widely. Large: almost iid.
    min_size : int
        Fewest rows of a client. Clients below it get random rows from the largest ones, which bends the distribution
        as little as possible and, unlike redrawing until every client is large enough, always ends.
    """
    del owners
    _require(alpha > 0, "dirichlet", f"alpha {alpha}", "a number above 0")
    _require_min_size("dirichlet", min_size, len(labels), n_clients)
    rng = stream(seed, "partition", "dirichlet")
    client = np.empty(len(labels), dtype=np.int64)
    for rows in _rows_of_classes(labels):
        shares = rng.dirichlet(np.full(n_clients, alpha))
        client[rng.permutation(rows)] = np.repeat(np.arange(n_clients), rounded_shares(shares, len(rows)))
    return _parts(top_up(client, n_clients, min_size, rng), n_clients)


def shards(labels: Ints, owners: Ints | None, n_clients: int, seed: int, *, per_client: int = 2) -> list[Ints]:
    """Sort rows by class, cut them into equal shards and give each client `per_client` shards at random."""
    del owners
    pieces = n_clients * per_client
    _require(per_client >= 1, "shards", f"per_client {per_client}", "at least 1")
    _require(
        pieces <= len(labels), "shards", f"{n_clients} x {per_client} shards", f"at most {len(labels)}, one row each"
    )
    rng = stream(seed, "partition", "shards")
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    client_of_shard = rng.permutation(np.repeat(np.arange(n_clients), per_client))
    client = np.empty(len(labels), dtype=np.int64)
    client[by_class] = np.repeat(client_of_shard, _even_sizes(len(labels), pieces))
    return _parts(client, n_clients)


def natural(labels: Ints, owners: Ints | None, n_clients: int, seed: int) -> list[Ints]:
    """Give each client the rows of one person or device recorded in the data.

    With more clients than owners, owners are shared in turn: client `i` holds the rows of the same owner as client
    `i - n_owners`, so several simulated devices carry the same person's data and rows are not disjoint. With fewer
    clients, a random subset of owners takes part, and the rows of the others are left out.
    """
    if owners is None:
        raise PartitionError(
            "partition 'natural': got data without natural owners, expected watch, shakespeare or a dataset of yours "
            "with client_train; use iid, dirichlet, shards, quantity or pathological"
        )
    del labels
    order = np.argsort(owners, kind="stable")
    ids, starts = np.unique(owners[order], return_index=True)
    parts = dict(zip(ids.tolist(), np.split(order.astype(np.int64), starts[1:]), strict=True))
    return [parts[owner] for owner in natural_owners(owners, n_clients, seed).tolist()]


def natural_owners(owners: Ints, n_clients: int, seed: int) -> Ints:
    """Return which owner's rows each client of the `natural` partition holds, shape (n_clients,)."""
    ids = np.unique(owners).astype(np.int64)
    if n_clients >= len(ids):
        return ids[np.arange(n_clients) % len(ids)]
    chosen = stream(seed, "partition", "natural").choice(len(ids), n_clients, replace=False)
    return ids[np.sort(chosen)]


def quantity(
    labels: Ints,
    owners: Ints | None,
    n_clients: int,
    seed: int,
    *,
    sigma: float | None = None,
    exponent: float | None = None,
    min_size: int = 1,
) -> list[Ints]:
    """Deal shuffled rows in unequal amounts: classes are iid, sizes are not.

    Parameters
    ----------
    sigma : float, optional
        Sizes follow a lognormal distribution with this deviation of the logarithm; 0 gives equal sizes. Default 1.0.
    exponent : float, optional
        Sizes follow a power law instead: the client of rank r holds a share in proportion to `r ** -exponent`.
    min_size : int
        Every client first gets this many rows; the rest is dealt by the shares.
    """
    del owners
    _require(sigma is None or exponent is None, "quantity", "sigma and exponent", "one of them")
    _require((sigma or 0.0) >= 0, "quantity", f"sigma {sigma}", "at least 0")
    _require((exponent or 0.0) >= 0, "quantity", f"exponent {exponent}", "at least 0")
    _require_min_size("quantity", min_size, len(labels), n_clients)
    rng = stream(seed, "partition", "quantity")
    if exponent is not None:
        weight = rng.permutation(np.arange(1.0, n_clients + 1) ** -exponent)
    else:
        weight = np.exp((1.0 if sigma is None else sigma) * rng.standard_normal(n_clients))
    sizes = min_size + rounded_shares(weight / weight.sum(), len(labels) - min_size * n_clients)
    client = np.empty(len(labels), dtype=np.int64)
    client[rng.permutation(len(labels))] = np.repeat(np.arange(n_clients), sizes)
    return _parts(client, n_clients)


def pathological(
    labels: Ints, owners: Ints | None, n_clients: int, seed: int, *, classes_per_client: int = 2
) -> list[Ints]:
    """Give every client exactly `classes_per_client` classes; rows of a class go to its clients in equal parts.

    Classes are chosen at random among those that the fewest clients have so far, so all are used about equally often.
    """
    del owners
    classes = list(_rows_of_classes(labels))
    k = classes_per_client
    _require(1 <= k <= len(classes), "pathological", f"classes_per_client {k}", f"1 to {len(classes)}")
    _require(
        n_clients * k >= len(classes),
        "pathological",
        f"{n_clients} x {k} places",
        f"one for each of {len(classes)} classes",
    )
    rng = stream(seed, "partition", "pathological")
    holds = _choose_classes(n_clients, len(classes), k, rng)
    client = np.empty(len(labels), dtype=np.int64)
    for position, rows in enumerate(classes):
        holders = rng.permutation(np.flatnonzero(holds[:, position]))
        _require(
            len(holders) <= len(rows),
            "pathological",
            f"{len(rows)} rows of a class for {len(holders)} clients",
            "a row for each; use fewer clients",
        )
        client[rng.permutation(rows)] = np.repeat(holders, _even_sizes(len(rows), len(holders)))
    return _parts(client, n_clients)


PARTITIONS: Final[dict[str, Rule]] = {
    "iid": iid,
    "dirichlet": dirichlet,
    "shards": shards,
    "natural": natural,
    "quantity": quantity,
    "pathological": pathological,
    "flwr_datasets": flwr_datasets,
}

WITHOUT_CLASSES: Final = frozenset({"iid", "natural", "quantity"})
"""Rules that only count rows."""


def _check_options(kind: str, rule: Rule, given: set[str]) -> None:
    """Refuse options that the rule does not take, and the lack of one that it needs."""
    parameters = inspect.signature(rule).parameters.values()
    known = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
    unknown = sorted(given - set(known))
    if unknown and not any(each.kind is each.VAR_KEYWORD for each in parameters):
        raise PartitionError(
            f"partition {kind!r}: got option {unknown[0]!r}, expected {' or '.join(known) if known else 'no option'}"
        )
    needed = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY and each.default is each.empty]
    missing = [name for name in needed if name not in given]
    if missing:
        raise PartitionError(f"partition {kind!r}: got no {missing[0]!r}, expected one; write '{missing[0]}: ...'")


def _choose_classes(n_clients: int, n_classes: int, k: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return which client holds which class, shape (n_clients, n_classes), `k` in each row."""
    tie_break = rng.random((n_clients, n_classes))
    used = np.zeros(n_classes)
    holds = np.zeros((n_clients, n_classes), dtype=bool)
    for row in range(n_clients):
        chosen = np.argsort(used + tie_break[row])[:k]  # counts are whole, so the fraction only breaks ties
        used[chosen] += 1
        holds[row, chosen] = True
    return holds


def _rows_of_classes(labels: Ints) -> list[Ints]:
    """Return the rows of each class that occurs, in order of the class."""
    order = np.argsort(labels, kind="stable")
    _, starts = np.unique(labels[order], return_index=True)
    return np.split(order, starts[1:])


def _even_sizes(total: int, parts: int) -> Ints:
    """Return `parts` sizes that add up to `total` and differ by at most one."""
    return total // parts + (np.arange(parts) < total % parts).astype(np.int64)


def _parts(client: Ints, n_clients: int) -> list[Ints]:
    """Return the rows of each client, given the client of each row."""
    order = np.argsort(client, kind="stable").astype(np.int64)
    return np.split(order, np.cumsum(np.bincount(client, minlength=n_clients))[:-1])


def _require_min_size(kind: str, min_size: int, rows: int, n_clients: int) -> None:
    _require(
        1 <= min_size <= rows // n_clients,
        kind,
        f"min_size {min_size} with {rows} rows for {n_clients} clients",
        f"1 to {rows // n_clients}; lower min_size or use fewer clients",
    )


def _require(holds: bool, kind: str, got: str, expected: str) -> None:  # noqa: FBT001 - reads as an assertion
    if not holds:
        raise PartitionError(f"partition {kind!r}: got {got}, expected {expected}")
