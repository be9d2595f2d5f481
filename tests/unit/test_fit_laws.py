"""What cannot be trained is refused where the file is read, as far as that is known before the data is."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
from torch import nn

from fedlite.errors import InvalidFileError
from fedlite.learning.data.catalog import CATALOG
from fedlite.learning.data.cifar10 import CLASSES as PICTURES
from fedlite.learning.data.load import load
from fedlite.learning.data.shakespeare import ALPHABET
from fedlite.learning.data.stand_in import stand_in
from fedlite.learning.data.watch import CLASSES as EXERCISES
from fedlite.learning.models import MODELS, TAKES, build
from fedlite.learning.objectives import Metric, MisfitError, Objective
from fedlite.learning.training.trainer import Trainer
from fedlite.own_code import OwnCodeError
from fedlite.scenario import fit_laws, loader

TEXT = """\
name: tiny
fleet: {{devices: 6, mix: {{pixel-4: 100 %}}}}
task:
  data: {data}
  model: {model}
  objective: {objective}
training: {{rounds: 1, mode: {mode}, strategy: {strategy}}}
"""


class Hinge(Objective):
    name = "hinge"
    metrics = (Metric("margin", "max"),)

    def losses(self, outputs, targets):
        return outputs[:, 0]

    def score(self, outputs, targets):
        return outputs[:, 0]

    def summary(self, scores, targets, losses):
        return {"margin": 0.0}

    def check(self, output_shape, target_shape, target_dtype, num_classes):
        if output_shape != (num_classes,):
            raise MisfitError(f"hinge: got {output_shape}, expected ({num_classes},); another model")


class OneLoss(Hinge):
    def losses(self, outputs, targets):
        return outputs.mean()


class Breaks(Hinge):
    def score(self, outputs, targets):
        return targets.nothing_of_this_name


class Asserts(Hinge):
    def losses(self, outputs, targets):
        raise AssertionError("never")


def narrow(input_shape, num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes - 1))


def fitting(input_shape, num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))


def dropping(input_shape, num_classes):
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, num_classes))


def broken(input_shape, num_classes):
    raise AttributeError("nobody knows")


def whatever():
    """A factory of data, which is not read before the run."""


NUMBER = 3


def own(name):
    return f"'{__name__}:{name}'"


def parse(*, data="digits", model="mlp", objective="auto", mode="auto", strategy="fedavg", more=""):
    text = TEXT.format(data=data, model=model, objective=objective, mode=mode, strategy=strategy)
    return loader.parse_scenario(text + more, "x.yaml")


def refused(**told):
    with pytest.raises(InvalidFileError) as caught:
        parse(**told)
    return [(problem.line, problem.key, problem.message, problem.remedy) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("told", "place", "text", "remedy"),
    [
        (
            {"model": "autoencoder", "objective": own("Hinge")},
            (5, "task.model"),
            f"got 'autoencoder' with objective '{__name__}:Hinge', data 'digits': got (64,), expected (10,)",
            "another model",
        ),
        (
            {"model": own("narrow")},
            (5, "task.model"),
            f"got '{__name__}:narrow' with objective 'auto', data 'digits': got a model that gives (9,) for a",
            "name a model that gives those, or write 'objective: reconstruction' if its output is its input again",
        ),
        (
            {"data": "watch", "model": own("fitting")},
            (5, "task.model"),
            "got an error from its forward pass over (2, 6, 100) zeros",
            "mend the model, or name one that suits the data",
        ),
        (
            {"model": "{name: " + own("fitting") + ", options: {depth: 3}}"},
            (5, "task.model"),
            "got unknown parameter depth",
            "remove it",
        ),
        (
            {"objective": own("OneLoss")},
            (6, "task.objective"),
            f"got '{__name__}:OneLoss' with model 'mlp', data 'digits': got losses () and scores (2,) for 2 samples",
            "mend the objective",
        ),
    ],
)
def test_own_code_that_does_not_fit_the_catalogue_is_seen_in_the_file(told, place, text, remedy):
    ((line, key, message, way_out),) = refused(**told)
    assert (line, key, way_out) == (*place, remedy)
    assert text in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"model": own("broken")}, "AttributeError: nobody knows"),
        ({"objective": own("Breaks")}, "AttributeError: 'Tensor' object has no attribute 'nothing_of_this_name'"),
        ({"objective": own("Asserts")}, "AssertionError: never"),
    ],
)
def test_own_code_that_breaks_is_told_at_its_own_place(told, said):
    with pytest.raises(OwnCodeError, match=rf"^code of your own: got {said} at {__file__}:\d+, expected it to run"):
        parse(**told)


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"data": "shakespeare", "model": "char-lstm"}, "Batching rule not implemented for aten::lstm.input"),
        ({"model": "{name: resnet8, norm: batch}"}, "its state has buffers, such as batch statistics"),
        ({"model": own("dropping")}, "dropout draws per client"),
    ],
)
def test_a_net_whose_clients_cannot_run_side_by_side_is_not_batched(told, reason):
    ((line, key, message, remedy),) = refused(mode="batched", **told)
    assert (line, key, remedy) == (7, "training.mode", "write 'mode: auto'")
    assert message.startswith("got 'batched' for a model whose clients cannot run side by side (")
    assert reason in message
    assert parse(mode="auto", **told).training.mode == "auto"


@pytest.mark.parametrize("model", sorted(MODELS))
def test_batched_is_refused_for_those_models_that_ship_that_the_trainer_refuses(model):
    dimensions, least = TAKES.get(model, (3, 1))
    fits = [
        entry.name
        for entry in CATALOG.values()
        if len(entry.input_shape) == dimensions and min(entry.input_shape[1:], default=80) >= least
    ]
    entry = CATALOG["digit-scenes" if model == "detector" else next(each for each in fits if each != "digit-scenes")]
    net = build(model, input_shape=entry.input_shape, num_classes=entry.num_classes, seed=1)
    objective = "reconstruction" if model == "autoencoder" else "auto"
    told = {"data": entry.name, "model": model, "objective": objective, "mode": "batched"}
    try:
        Trainer(net, mode="batched").mode_for([], entry.input_shape)
    except Exception:  # noqa: BLE001 - the law must say the same, whatever it is
        assert [key for _, key, _, _ in refused(**told)] == ["training.mode"]
    else:
        assert parse(**told).training.mode == "batched"


@pytest.mark.parametrize(
    ("told", "place"),
    [
        ({"model": "'nowhere.at_all:make'"}, (5, "task.model")),
        ({"data": "'nowhere.at_all:make'"}, (4, "task.data")),
        ({"strategy": "'nowhere.at_all:Own'"}, (7, "training.strategy")),
    ],
)
def test_own_code_that_is_not_there_is_seen_in_the_file(told, place):
    ((line, key, message, remedy),) = refused(**told)
    assert (line, key, remedy) == (*place, "mend it, put it beside the scenario, or put its folder on PYTHONPATH")
    assert "which cannot be imported (No module named 'nowhere', looked for in " in message


@pytest.mark.parametrize("key", ["model", "data", "strategy"])
def test_own_code_that_is_no_function_is_seen_in_the_file(key):
    ((_, _, message, remedy),) = refused(**{key: own("NUMBER")})
    assert message == f"got '{__name__}:NUMBER', which is of type int, expected a function"
    assert remedy == "name one"


def test_what_a_table_refuses_already_is_told_once():
    ((_, key, message, _),) = refused(model=own("narrow"), objective="regression")
    assert key == "task.objective"
    assert "whose labels are classes and no numbers" in message


@pytest.mark.parametrize(
    "told",
    [
        {"model": own("fitting"), "objective": own("Hinge")},
        {"model": own("fitting"), "mode": "batched"},
        {"data": own("whatever"), "model": own("narrow"), "objective": own("OneLoss"), "mode": "batched"},
        {"data": "idx:/nowhere", "model": own("narrow")},
    ],
)
def test_what_fits_is_taken_and_what_only_the_data_tells_is_left_to_the_run(told):
    assert parse(**told).name == "tiny"


def test_a_fleet_for_an_app_need_not_have_the_code_of_its_scenario(tmp_path):
    text = TEXT.format(data="digits", model="'nowhere.at_all:make'", objective="auto", mode="auto", strategy="fedavg")
    (tmp_path / "x.yaml").write_text(text)
    assert loader.load_fleet(tmp_path / "x.yaml").task.model.name == "nowhere.at_all:make"


PLAN = "clients: [{{for: any, plan: {{{}}}}}]\n"


@pytest.mark.parametrize(
    ("plan", "key", "name"),
    [
        ("terms: [distillation]", "clients.0.plan.terms.0", "distillation"),
        (
            "constraints: [{name: fake-quant, bits: 8}, {name: '%s'}]",
            "clients.0.plan.constraints.1",
            "sign-flip",
        ),
    ],
)
def test_a_plan_that_is_trained_one_by_one_is_not_batched(plan, key, name, monkeypatch, tmp_path):
    (tmp_path / "fit_alone.py").write_text(
        "from dataclasses import dataclass\n"
        "from fedlite.compression.constraint.base import Constraint\n"
        "@dataclass(frozen=True)\n"
        "class Alone(Constraint):\n"
        "    name = 'sign-flip'\n"
        "    individual = True\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    more = PLAN.format(plan.replace("%s", "fit_alone:Alone"))
    ((line, where, message, remedy),) = refused(mode="batched", more=more)
    assert (line, where, remedy) == (8, key, "write 'mode: auto' in training, or remove it here")
    assert message == f"got '{name}', whose clients are trained one by one, with training.mode 'batched'"
    assert parse(mode="auto", more=more).name == "tiny"


def test_what_is_wrong_elsewhere_hides_no_misfit():
    told = refused(
        model=own("narrow"), strategy="'nowhere.at_all:Own'", mode="batched", more=PLAN.format("terms: [distillation]")
    )
    assert sorted(key for _, key, _, _ in told) == ["clients.0.plan.terms.0", "task.model", "training.strategy"]


def test_a_plan_that_is_trained_side_by_side_may_be_batched():
    more = PLAN.format("sparsity: 50 %, constraints: [{name: fake-quant, bits: 8}]")
    assert parse(mode="batched", more=more).training.mode == "batched"


def test_classes_of_the_catalogue_are_those_of_the_data():
    told = {name: entry.num_classes for name, entry in CATALOG.items()}
    assert told == {
        "digits": load("digits").num_classes,
        "digit-scenes": load("digit-scenes").num_classes,
        "watch": len(EXERCISES),
        "mnist": 10,
        "fashion-mnist": 10,
        "cifar10": len(PICTURES),
        "shakespeare": 1 + len(ALPHABET),
    }


def test_a_stand_in_has_the_shape_of_the_data():
    real, made = load("digits"), stand_in(CATALOG["digits"])
    assert made.x_train.shape == (1, *real.input_shape) == (1, 1, 8, 8)
    for one, other in ((made.x_train, real.x_train), (made.y_train, real.y_train)):
        assert (one.dtype, one.shape[1:]) == (other.dtype, other.shape[1:])
    assert (made.num_classes, made.objective) == (real.num_classes, real.objective) == (10, "cross-entropy")


def test_a_study_tries_what_fits_once_and_what_does_not_again(monkeypatch):
    asked = []
    monkeypatch.setattr(fit_laws, "own_code", SimpleNamespace(**vars(fit_laws.own_code)))
    monkeypatch.setattr(sys.modules[__name__], "fitting", lambda *shape: asked.append(shape) or nn.Flatten())
    fit_laws._try.cache_clear()
    for _ in range(2):
        assert [key for _, key, _, _ in refused(model=own("fitting"))] == ["task.model"]
    assert asked == [((1, 8, 8), 10)] * 2
    monkeypatch.undo()
    for _ in range(2):
        parse(model=own("fitting"))
    assert (fit_laws._try.cache_info().hits, fit_laws._try.cache_info().currsize) == (1, 1)


def test_a_plain_scenario_is_checked_without_torch():
    text = TEXT.format(data="digits", model="mlp", objective="auto", mode="auto", strategy="fedavg")
    code = (
        "import sys; from fedlite.scenario.loader import parse_scenario; "
        f"parse_scenario({text!r}); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("False\n", "")
