"""What an app's author or user gets wrong is told without a traceback, and leaves nothing half done."""

import shutil
from pathlib import Path

import pytest

from fedlite import cli
from fedlite.errors import FedliteError
from fedlite.flower.app_prices import Declared, declared_macs
from fedlite.runner import Settings, run_app
from fedlite.scenario.loader import parse_scenario

FLEET = parse_scenario("name: f\nfleet: {devices: 4, mix: {pi-4b: 1}}\ntask: {data: digits, model: mlp}\n")
TEMPLATE = Path(cli.__file__).parent / "app_template"


@pytest.fixture
def app(tmp_path):
    shutil.copytree(TEMPLATE, tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "app"


def run(app, out, **more):
    return run_app(app, FLEET, settings=Settings("local"), out=out, **more)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise RuntimeError('no luck')", r"cannot be imported \(RuntimeError: no luck at .*server_app.py:1\)"),
        ("def broken(:\n", r"cannot be imported \(SyntaxError: .*server_app.py:1\)"),
        ("import sys; sys.exit(3)", r"cannot be imported \(SystemExit: 3 at .*server_app.py:1\)"),
    ],
)
def test_a_server_app_that_cannot_be_imported_is_told_with_its_place(app, tmp_path, code, said):
    (server,) = app.rglob("server_app.py")
    server.write_text(code)
    with pytest.raises(FedliteError, match=said):
        run(app, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "import a_library_that_is_not_there",
            r"cannot be imported \(No module named 'a_library_that_is_not_there' at",
        ),
        ("app = 3", r"client_app:app: got a int, expected a flwr\.clientapp\.ClientApp"),
    ],
)
def test_a_client_app_that_cannot_be_imported_is_told_before_anything_is_written(app, tmp_path, code, said):
    (client,) = app.rglob("client_app.py")
    client.write_text(code)
    for backend in ("local", "ray"):
        with pytest.raises(FedliteError, match=said):
            run_app(app, FLEET, settings=Settings(backend), out=tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_a_main_that_raises_is_told_with_its_place(app, tmp_path):
    (server,) = app.rglob("server_app.py")
    server.write_text(
        "from flwr.serverapp import ServerApp\napp = ServerApp()\n@app.main()\ndef main(grid, context):\n    1 / 0\n"
    )
    with pytest.raises(FedliteError, match=r"raised ZeroDivisionError: division by zero at .*server_app.py:5"):
        run(app, tmp_path / "out")


def test_a_used_folder_is_refused_and_kept(app, tmp_path):
    out = tmp_path / "mine"
    out.mkdir()
    (out / "scenario.yaml").write_text("name: precious\n")
    with pytest.raises(FedliteError, match=r"would write over scenario\.yaml"):
        run(app, out)
    assert (out / "scenario.yaml").read_text() == "name: precious\n"


@pytest.mark.parametrize(
    "values", [({"train": float("nan")},), ({"train": 1e30},), ({"train": -1.0},), ({}, -1.0), ({}, 0.0)]
)
def test_impossible_declarations_are_refused(values):
    with pytest.raises(FedliteError, match="declare what one job takes"):
        Declared(*values)


def test_work_is_declared_for_all_messages_or_by_their_type():
    assert declared_macs(["2e6"]) == {"train": 2e6, "evaluate": 2e6}
    assert declared_macs(["train=2e6", "train.setup=0"]) == {"train": 2e6, "train.setup": 0.0}
    assert declared_macs(["train=2e6", "1e6"]) == declared_macs(["1e6", "train=2e6"]) == {"train": 2e6, "evaluate": 1e6}
    by_type = Declared(declared_macs(["train=2e6", "train.setup=0"]))
    assert [by_type.of(kind) for kind in ("train", "train.fit", "train.setup", "evaluate")] == [2e6, 2e6, 0.0, None]
    with pytest.raises(FedliteError, match=r"--macs: got 'train=many', expected a number, or TYPE=NUMBER"):
        declared_macs(["train=many"])


@pytest.mark.parametrize("kind", ["trian", "", "training", "setup.train"])
def test_a_type_of_message_that_no_app_can_have_is_refused(kind):
    with pytest.raises(FedliteError, match=f"macs: got '{kind}' as a type of message, expected train, evaluate"):
        Declared(declared_macs([f"{kind}=2e6"]))
