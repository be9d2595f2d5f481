"""Records are frozen: plans, layouts and prices are shared and kept, so nobody may change one that he was handed."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "fedlite"
GROWING = {
    "client/downlink.py": {"Downloads"},
    "client/sending.py": {"Sent"},
    "compose/trials.py": {"Trial"},
    "compose/bench.py": {"_Clients"},
    "compression/constraint/regrow.py": {"Moving"},
    "engine/ray_pool.py": {"_Slot", "_Flight"},
    "flower/app_exchange.py": {"_Ended"},
    "flower/flight.py": {"Flight"},
    "flower/secagg_grid.py": {"Course"},
    "flower/tape.py": {"_Round"},
    "rollout/delivery.py": {"Delivery"},
    "scenario/fields.py": {"FieldReader"},
    "scenario/rollout/exchange/fields.py": {"Fields"},
    "scenario/strict_yaml.py": {"Document"},
}
"""Those that are filled as work goes on; each belongs to one owner."""


KINDS = {"Part", "Structure", "Constraint", "Term", "Stage"}


def classes():
    """Yield (module, class, whether it is a frozen dataclass; None if it is no dataclass at all)."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                yield path.relative_to(PACKAGE).as_posix(), node, frozen(node)


def frozen(node):
    for made in node.decorator_list:
        call = made if isinstance(made, ast.Call) else ast.Call(made, [], [])
        if ast.unparse(call.func) == "dataclass":
            return any(option.arg == "frozen" and option.value.value for option in call.keywords)
    return None


def test_every_dataclass_is_frozen_but_those_that_are_filled_as_work_goes_on():
    found = {}
    for module, node, is_frozen in classes():
        if is_frozen is False:
            found.setdefault(module, set()).add(node.name)
    assert found == GROWING


def test_every_part_of_a_plan_and_every_kind_of_them_is_a_frozen_dataclass():
    parts = {
        f"{module}:{node.name}": is_frozen
        for module, node, is_frozen in classes()
        if node.name in KINDS or KINDS & {ast.unparse(base) for base in node.bases}
    }
    assert len(parts) > len(KINDS)
    assert {name for name, is_frozen in parts.items() if not is_frozen} == set()
