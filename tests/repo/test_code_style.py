"""What the linters cannot say: sizes, forbidden calls, and who may touch the private parts of Flower."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "fedlite"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "share" not in path.parts)
MOST_LINES = 400
MOST_FUNCTION_LINES = 60
SPEAKING = ("cli", "report")
UNSAFE = {
    "eval",
    "exec",
    "pickle.load",
    "pickle.loads",
    "torch.load",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "os.system",
}
CLOCKS = {"time.time", "time.monotonic", "datetime.now", "datetime.datetime.now", "datetime.utcnow", "date.today"}
DICE = re.compile(
    r"^(np\.random|numpy\.random|random|torch)\.(seed|manual_seed|rand|randn|randint|random|shuffle|choice)$"
)
TIMED = ("cli", "compose", "runner.py", "sweeper.py")
"""Wall time is told there (how long a run took, when it was made), never used to decide a result."""


def name_of(path):
    return str(path.relative_to(PACKAGE))


def calls(path):
    """Yield (line, dotted name) of every call in a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def found(wanted, *, outside=()):
    return [
        f"{name_of(path)}:{line}: {name}"
        for path in MODULES
        if path.relative_to(PACKAGE).parts[0] not in outside
        for line, name in calls(path)
        if wanted(name)
    ]


def test_the_search_sees_the_package():
    assert len(MODULES) > 150
    assert found(lambda name: name == "len")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_holds_one_idea_in_few_lines(path):
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= MOST_LINES, f"{lines} lines; split it by idea"


def test_functions_are_short():
    long = [
        f"{name_of(path)}:{node.lineno}: {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno + 1 - _docstring_lines(node) > MOST_FUNCTION_LINES
    ]
    assert long == []


def _docstring_lines(node):
    first = node.body[0]
    return first.end_lineno - first.lineno + 1 if ast.get_docstring(node) is not None else 0


def test_only_the_face_and_the_report_print():
    assert found(lambda name: name in {"print", "typer.echo", "pprint"}, outside=SPEAKING) == []


def test_nothing_unsafe_is_called():
    assert found(lambda name: name in UNSAFE) == []


def test_no_result_depends_on_the_wall_clock():
    assert found(lambda name: name in CLOCKS, outside=TIMED) == []


def test_no_random_number_comes_from_a_global_generator():
    """Three places set one for a moment, because torch or Flower draw from nothing else, and put it back."""
    allowed = ("learning/models/seeding.py", "learning/training/place.py", "flower/compat.py")
    assert [place for place in found(DICE.match) if not place.startswith(allowed)] == []


def test_only_compat_and_legacy_touch_private_parts_of_flower():
    private = re.compile(r"""["']?flwr\.(?!app\b|serverapp\b|clientapp\b)[a-z_]+|flwr\.serverapp\.strategy\.[a-z_]+""")
    touched = [
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in MODULES
        if name_of(path) not in {"flower/compat.py", "flower/legacy.py"} and "app_template" not in path.parts
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if private.search(line)
        and not line.lstrip().startswith(("#", '"'))
        and re.search(r"\bimport\b|import_module", line)
    ]
    assert touched == []


def test_every_ignored_type_error_names_its_code():
    bare = [
        f"{name_of(path)}:{number}"
        for path in MODULES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"#\s*type:\s*ignore(?!\[)", line)
    ]
    assert bare == []


def test_only_units_knows_conversion_factors():
    factors = {1024, 3600, 1024**2, 1024**3, 86400, 1e9, 1e6}
    used = [
        f"{name_of(path)}:{node.lineno}: {ast.unparse(node)}"
        for path in MODULES
        if path.name != "units.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div)
        for side in (node.left, node.right)
        if isinstance(side, ast.Constant) and side.value in factors
    ]
    assert used == []
