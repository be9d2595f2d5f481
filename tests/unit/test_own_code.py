"""What comes of code of the user's own is told in one line with its place; a defect of fedlite keeps its traceback."""

import json
import sys

import pytest

from fedlite import own_code
from fedlite.errors import FedliteError
from fedlite.own_code import OwnCodeError, blamed, call, load, raised

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


def forget(monkeypatch):
    """Begin as a fresh process does: other tests have named code of their own, even classes of these very files."""
    monkeypatch.setattr(own_code, "_packages", set())
    monkeypatch.setattr(own_code, "_loaded", {})
    monkeypatch.setattr(own_code, "_beside", [])


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    forget(monkeypatch)
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


def test_what_a_call_raises_is_told_and_what_is_told_already_goes_through(module, tmp_path):
    assert call(load(f"{module}:shallow"), lambda: None) is None
    with pytest.raises(OwnCodeError) as caught:
        call(load(f"{module}:deep"))
    assert str(caught.value) == f"ValueError: first second at {tmp_path / 'theirs.py'}:8"
    with pytest.raises(FedliteError, match=r"^told already$") as told:
        call(load(f"{module}:known"))
    assert type(told.value) is FedliteError
    with pytest.raises(OwnCodeError, match=r"^SystemExit: 4$"):
        call(sys.exit, 4)


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


def test_without_own_code_a_defect_stays_as_it_is(module):
    with pytest.raises(OwnCodeError, match="there is no 'Missing'"):
        load(f"{module}:Missing")  # told already: nothing came of it
    load("torch.nn:Linear")
    load("fedlite.errors:FedliteError")
    load("numpy:ndarray")
    assert own_code.loaded() == []
    with pytest.raises(KeyError), blamed():
        raise KeyError("x")
    with pytest.raises(TypeError), blamed():
        load("torch.nn:Linear")()


def test_what_fedlite_stumbles_over_once_own_code_is_there_names_that_code_and_the_place(module):
    for name in ("Thing", "deep", "Thing"):
        load(f"{module}:{name}")
    line = sys._getframe().f_lineno + 2
    with pytest.raises(OwnCodeError) as caught, blamed():
        _ = module.nothing
    assert str(caught.value) == (
        "code of your own (theirs:Thing, theirs:deep): got AttributeError: 'str' object has no attribute 'nothing' at "
        f"{__file__}:{line}, expected what its kind asks for (docs/how-to/extend.md); see what it returns"
    )
    assert isinstance(caught.value.__cause__, AttributeError)


def test_it_names_the_innermost_frame_of_all(module):
    load(f"{module}:deep")
    with pytest.raises(OwnCodeError, match=r"got JSONDecodeError: .* at \S+/json/decoder\.py:\d+, expected"), blamed():
        json.loads("(")


def test_what_another_process_imported_counts(module):
    own_code.remember(["elsewhere.nets:net", "torch.nn:Linear", "fedlite.errors:FedliteError"])
    assert own_code.loaded() == ["elsewhere.nets:net"]
    with (
        pytest.raises(OwnCodeError, match=r"^code of your own \(elsewhere.nets:net\): got KeyError: 'x' at "),
        blamed(),
    ):
        raise KeyError("x")


@pytest.mark.parametrize("error", [FileNotFoundError("x"), MemoryError(), SystemExit(3), FedliteError("told already")])
def test_what_is_no_consequence_of_own_code_stays_as_it_is(module, error):
    load(f"{module}:deep")
    with pytest.raises(type(error)) as caught, blamed():
        raise error
    assert caught.value is error


def test_a_caller_may_tell_more_itself(module):
    load(f"{module}:deep")
    with pytest.raises(KeyError), blamed(LookupError):
        raise KeyError("x")


def test_what_own_code_says_in_fedlites_way_stays_as_it_is(module):
    with pytest.raises(FedliteError, match=r"^told already$"), blamed():
        load(f"{module}:known")()


def test_an_error_without_a_place_is_its_name_and_words():
    assert raised(ValueError("a\nb")) == "ValueError: a b"
