"""The mildest plan within budgets: the exhaustive optimum of a small space, and every rejection with its reason."""

from __future__ import annotations

from itertools import product

import pytest

from fedlite.compression.part import PartError
from fedlite.compression.plan import Plan
from fedlite.compression.structure.width import Width
from fedlite.planning.auto import DELIVERIES, ladder
from fedlite.rng import stream
from fedlite.techniques import technique
from fedlite.techniques.automatic import LADDER, Automatic, Budgets, parsed
from fedlite.techniques.technique import Recipe

NAMES = list(Budgets.__dataclass_fields__)


class Table:
    """Quantities by the label of a plan, drawn once."""

    def __init__(self, seed, candidates=LADDER):
        rng = stream(seed, "table")
        self.rows = {}
        for text in candidates:
            taken = {name: float(rng.random()) for name in NAMES}
            self.rows[parsed(text).plan.label] = {"accuracy": round(float(rng.random()), 1), **taken}
        self.asked = []

    def measure(self, recipe):
        self.asked.append(recipe.plan.label)
        return self.rows[recipe.plan.label]


def exhaustive(table, budgets):
    """The best accuracy within the budgets, the earliest of equals, by looking at every row."""
    fitting = [
        (row["accuracy"], -place, label)
        for place, (label, row) in enumerate(table.rows.items())
        if all(row[name] <= getattr(budgets, name) for name in NAMES)
    ]
    return max(fitting)[2] if fitting else None


@pytest.mark.parametrize(("seed", "most"), list(product(range(8), [0.5, 0.8, 0.95])))
def test_it_finds_the_exhaustive_optimum(seed, most):
    budgets, table = Budgets(stored_bytes=most, latency_ms=most), Table(seed)
    wanted = exhaustive(table, budgets)
    if wanted is None:
        with pytest.raises(PartError, match="no candidate is within the budgets"):
            Automatic(budgets).find(table)
        return
    recipe, told = Automatic(budgets).find(table)
    assert recipe.plan.label == wanted == parsed(told["chosen"]).plan.label
    assert table.asked == list(table.rows)


def test_the_rejected_are_told_with_what_they_take():
    table = Table(3)
    _, told = Automatic(Budgets(stored_bytes=0.6)).find(table)
    for one in told["candidates"]:
        row = table.rows[parsed(one["candidate"]).plan.label]
        takes = row["stored_bytes"]
        wanted = {"stored_bytes": {"takes": takes, "most": 0.6, "times": takes / 0.6}} if takes > 0.6 else {}
        assert one["over"] == wanted
    assert any(one["over"] for one in told["candidates"])


def test_the_candidates_are_the_widths_and_deliveries_of_automatic_plans_in_their_order():
    rungs = ladder(Plan(), deliveries=[parsed(name).plan.deliveries for name in DELIVERIES], wires=())
    plans = [parsed(text).plan for text in LADDER]
    assert [(one.structure, one.deliveries) for one in plans] == [(one.structure, one.deliveries) for one in rungs]


def test_a_budget_of_nothing_is_refused():
    with pytest.raises(PartError, match=r"latency_ms: got 0\.0, expected more than 0"):
        technique("auto").made({"latency_ms": 0})


def test_without_budgets_nothing_is_given_up_for_nothing():
    """Of equals the first stays, which is the model as it is."""
    table = Table(1)
    for row in table.rows.values():
        row["accuracy"] = 0.9
    assert Automatic(Budgets()).find(table)[0] == Recipe()


def test_nothing_that_fits_says_how_near_it_came():
    with pytest.raises(PartError, match=r"the nearest, .*, takes stored_bytes 0\.\d+ of 1e-09; allow more"):
        Automatic(Budgets(stored_bytes=1e-9)).find(Table(2))


def test_candidates_are_written_as_techniques_with_options():
    recipe = parsed("width-slicing:share=0.25+static-int8:rows=8,calibration=none")
    assert recipe.plan.structure == Width(0.25)
    assert recipe.plan.deliveries[0].rows == 8
    with pytest.raises(PartError, match="searches itself"):
        parsed("auto")
    made = technique("auto").made({"stored_bytes": "1000", "candidates": "none static-int8"})
    assert made == Automatic(Budgets(stored_bytes=1000.0), ("none", "static-int8"))
