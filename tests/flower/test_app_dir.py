import pytest

from fedlite.errors import FedliteError
from fedlite.flower.app_dir import app_files, load_component, overridden, read_app

PYPROJECT = """
[project]
name = "my-app"
version = "1.0.0"
[tool.flwr.app]
publisher = "me"
[tool.flwr.app.components]
serverapp = "pkg.server:app"
clientapp = "pkg.client:app"
[tool.flwr.app.config]
rounds = 3
name = "x"
[tool.flwr.app.config.opt]
lr = 0.1
nesterov = false
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    return tmp_path


def test_an_app_directory_says_its_components_and_its_config_with_dotted_keys(folder):
    app = read_app(folder)
    assert (app.name, app.server, app.client) == ("my-app", "pkg.server:app", "pkg.client:app")
    assert app.config == {"rounds": 3, "name": "x", "opt.lr": 0.1, "opt.nesterov": False}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[tool.flwr.app.components]", "[tool.other]", r"got no table \[tool.flwr.app.components\]"),
        ('clientapp = "pkg.client:app"', 'clientapp = "pkg.client"', "components.clientapp: got 'pkg.client'"),
        ("rounds = 3", "rounds = [3]", "rounds: got list"),
        ("rounds = 3", "rounds = ", "expected TOML"),
    ],
)
def test_a_wrong_app_directory_is_told_with_place_and_remedy(folder, old, new, message):
    (folder / "pyproject.toml").write_text(PYPROJECT.replace(old, new), encoding="utf-8")
    with pytest.raises(FedliteError, match=message):
        read_app(folder)


def test_a_folder_without_an_app_is_told_how_to_make_one(tmp_path):
    with pytest.raises(FedliteError, match="fedlite init --app"):
        read_app(tmp_path / "nothing")


def test_run_config_is_overridden_as_flower_does(folder):
    config = overridden(read_app(folder).config, "rounds=7 opt.lr=0.5 name='a b' opt.nesterov=true")
    assert config == {"rounds": 7, "name": "a b", "opt.lr": 0.5, "opt.nesterov": True}


def test_run_config_may_come_from_a_file(folder, tmp_path):
    file = tmp_path / "more.toml"
    file.write_text("rounds = 9\n[opt]\nlr = 1.0\n", encoding="utf-8")
    config = overridden(read_app(folder).config, str(file))
    assert (config["rounds"], config["opt.lr"]) == (9, 1.0)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("speed=7", "names speed; expected keys of the app's config: rounds, name, opt.lr, opt.nesterov"),
        ("rounds", "put a space between the pairs"),
        ("name=abc", "text in quotes"),
        ("missing.toml", "No such file"),
    ],
)
def test_a_wrong_run_config_is_told(folder, told, message):
    with pytest.raises(FedliteError, match=message):
        overridden(read_app(folder).config, told)


def test_two_apps_whose_modules_have_the_same_name_do_not_see_each_other(tmp_path):
    for name in ("one", "two"):
        package = tmp_path / name / "twin_pkg"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "inner.py").write_text(f"VALUE = {name!r}", encoding="utf-8")
        (package / "app.py").write_text("from twin_pkg.inner import VALUE as app", encoding="utf-8")
    found = [load_component("twin_pkg.app:app", tmp_path / name) for name in ("one", "two", "one")]
    assert found == ["one", "two", "one"]


def test_a_component_that_cannot_be_imported_is_told(tmp_path):
    with pytest.raises(FedliteError, match="cannot be imported"):
        load_component("no_such_pkg.app:app", tmp_path)


def test_the_files_of_an_app_are_all_in_its_folder_and_what_they_import_from_elsewhere(
    folder, tmp_path_factory, monkeypatch
):
    before = app_files(folder)
    for name in ("__pycache__/x.py", ".git/config", "runs/one/program.json", "runs/one/report.html", "env/pyvenv.cfg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("1", encoding="utf-8")
    assert app_files(folder) == before
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "lent_rates.py").write_text("import lent_units, numpy, os", encoding="utf-8")
    (elsewhere / "lent_units.py").write_text("KILO = 1000", encoding="utf-8")
    (elsewhere / "idle.py").write_text("", encoding="utf-8")
    (elsewhere / "antigravity.py").write_text("# what the standard library has as well", encoding="utf-8")
    (folder / "self").symlink_to(folder)
    monkeypatch.syspath_prepend(elsewhere)
    (folder / "client.py").write_text(
        "def train():\n    import torch\n    import antigravity\n    from lent_rates import rate", encoding="utf-8"
    )
    (folder / "rates.json").write_text("{}", encoding="utf-8")
    found = set(app_files(folder)) - set(before)
    assert found == {"client.py", "rates.json", "lent_rates.py", "lent_units.py", "antigravity.py"}
