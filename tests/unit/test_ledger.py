import hashlib

import numpy as np
import pytest

from fedlite.fleet.ledger import COLUMNS, Ledger


def rows(n=2, **changes):
    base = {name: np.zeros(n) if kind is not np.str_ else "x" for name, kind in COLUMNS.items()}
    return base | {"device": np.arange(n)} | changes


def test_rows_come_back_in_order_from_any_row_on():
    ledger = Ledger()
    ledger.append(rows(2, loss=np.array([1.0, 2.0])))
    ledger.append(rows(3, loss=np.array([3.0, 4.0, 5.0])))
    assert len(ledger) == 5
    assert ledger.columns()["loss"].tolist() == [1, 2, 3, 4, 5]
    assert ledger.columns(1)["loss"].tolist() == [2, 3, 4, 5]
    assert ledger.columns(2)["loss"].tolist() == [3, 4, 5]
    assert ledger.columns(5)["loss"].tolist() == []


def test_missing_and_unknown_columns_are_refused():
    with pytest.raises(ValueError, match="joules"):
        Ledger().append(rows() | {"joules": 1})
    short = rows()
    del short["loss"]
    with pytest.raises(ValueError, match="loss"):
        Ledger().append(short)


def test_the_digest_sees_every_cell():
    def digest(**changes):
        ledger = Ledger()
        ledger.append(rows(**changes))
        return ledger.digest()

    assert digest() == digest()
    assert (
        len({digest(), digest(loss=np.array([0.0, 1e-300])), digest(plan="y"), digest(up_bytes=np.array([0, 1]))}) == 4
    )
    assert digest(loss=np.array([0.0, 0.0])) == digest(loss=np.array([-0.0, 0.0]))


def test_the_digest_does_not_see_how_rows_were_grouped():
    whole, parts = Ledger(), Ledger()
    whole.append(rows(2))
    parts.append(rows(1, device=np.array([0])))
    parts.append(rows(1, device=np.array([1])))
    assert whole.digest() == parts.digest()


def test_an_empty_ledger_has_every_column_and_no_row():
    for columns in (Ledger().columns(), Ledger().columns(3)):
        assert {name: (len(values), values.dtype.type) for name, values in columns.items()} == {
            name: (0, kind) for name, kind in COLUMNS.items()
        }


@pytest.mark.parametrize("sizes", [(5, 1), (1, 5), (2, 1, 3)])
def test_rows_from_any_row_on_do_not_depend_on_how_they_were_grouped(sizes):
    ledger, first = Ledger(), 0
    for size in sizes:
        ledger.append(rows(size, loss=np.arange(first, first + size)))
        first += size
    for row in range(first + 2):
        assert ledger.columns(row)["loss"].tolist() == list(range(row, first))
        assert ledger.columns(row)["device"].dtype == np.int32


def test_columns_of_different_lengths_are_refused_and_scalars_stand_for_all():
    ledger = Ledger()
    with pytest.raises(ValueError, match="broadcast"):
        ledger.append(rows(2, loss=np.zeros(3)))
    ledger.append(rows(2, up_bytes=7))
    ledger.append(rows(1, device=np.int32(9)))
    assert len(ledger) == 3
    assert ledger.columns()["up_bytes"].tolist() == [7, 7, 0]
    assert ledger.columns()["device"].tolist() == [0, 1, 9]


def test_the_digest_of_one_row_is_the_same_everywhere():
    ledger = Ledger()
    ledger.append(rows(1))
    sha = hashlib.sha256()
    for name, kind in COLUMNS.items():
        if kind is not np.object_:
            sha.update(name.encode() + (b"x" if kind is np.str_ else bytes(np.dtype(kind).itemsize)))
    assert ledger.digest() == sha.hexdigest()
