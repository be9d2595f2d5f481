"""What code of the user's own raises is told in one line with its place; what fedlite raises keeps its traceback."""

import sys

import pytest

from fedlite import own_code
from fedlite.errors import FedliteError
from fedlite.own_code import OwnCodeError, blamed, load, raised

BODY = """\
from fedlite.errors import FedliteError

class Thing:
    class Inner:
        size = 3

def deep():
    raise ValueError("first\\nsecond")

def shallow(call):
    call()

def known():
    raise FedliteError("told already")
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(own_code, "_packages", set())  # other tests have named classes of these very files
    (tmp_path / "theirs.py").write_text(BODY)
    yield "theirs"
    sys.modules.pop("theirs", None)


def test_a_name_may_have_dots(module):
    assert load(f"{module}:Thing.Inner.size") == 3


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("no_such_module_here:Thing", "No module named 'no_such_module_here'"),
        ("theirs:Things", "there is no 'Things' in theirs, only Thing, deep, known, shallow"),
        ("theirs:Thing.Outer", "there is no 'Outer' in theirs, only Inner"),
        ("theirs:Thing.Inner.size.x", "there is no 'x' in theirs"),
    ],
)
def test_what_there_is_not_is_said(module, reference, reason):
    with pytest.raises(OwnCodeError) as caught:
        load(reference)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("1 / 0\n", "ZeroDivisionError: division by zero at {file}:1"),
        ("\nraise SystemExit(3)\n", "SystemExit: 3 at {file}:2"),
        ("class Open(:\n", "SyntaxError: invalid syntax (broken.py, line 1) at {file}:1"),
        ("\nimport no_such_module_here\n", "No module named 'no_such_module_here' at {file}:2"),
        ("from fedlite.errors import Missing\n", "cannot import name 'Missing' from 'fedlite.errors'"),
        ("raise KeyError('two\\n  lines')\n", "KeyError: 'two\\n lines' at {file}:1"),
    ],
)
def test_what_raises_while_it_is_imported_is_told_in_one_line(tmp_path, monkeypatch, body, reason):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "broken.py").write_text(body)
    with pytest.raises(OwnCodeError) as caught:
        load("broken:Thing")
    (said,) = str(caught.value).splitlines()
    assert said.startswith(reason.format(file=tmp_path / "broken.py"))


def test_own_code_is_blamed_with_its_innermost_place(module, tmp_path):
    deep = load(f"{module}:deep")
    said = f"code of your own: got ValueError: first second at {tmp_path / 'theirs.py'}:8, expected it to run; mend it"
    with pytest.raises(OwnCodeError) as caught, blamed():
        deep()
    assert str(caught.value).startswith(said)


def test_what_it_calls_in_vain_is_blamed_on_it_too(module, tmp_path):
    shallow = load(f"{module}:shallow")
    with pytest.raises(OwnCodeError, match=rf"TypeError: .* at {tmp_path / 'theirs.py'}:11"), blamed():
        shallow(lambda: len(3))


def test_a_function_may_be_the_border(module):
    deep = load(f"{module}:deep")

    @blamed()
    def outer():
        return deep()

    with pytest.raises(OwnCodeError):
        outer()


def test_others_are_not_blamed(module):
    load(f"{module}:deep")
    load("torch.nn:Linear")
    load("fedlite.errors:FedliteError")
    with pytest.raises(KeyError), blamed():
        raise KeyError("x")
    with pytest.raises(TypeError), blamed():
        load("torch.nn:Linear")()
    with pytest.raises(FedliteError, match=r"^told already$"), blamed():
        load(f"{module}:known")()


def test_an_error_without_a_place_is_its_name_and_words():
    assert raised(ValueError("a\nb")) == "ValueError: a b"
