"""`build`: determinism, isolation from torch's global state, users' own factories, and errors that help."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch
from torch import nn

from fedlite.errors import UnknownNameError
from fedlite.learning.models import MODELS, ModelError, build

SHAPES = {
    "autoencoder": (64,),
    "char-lstm": (20,),
    "char-transformer": (20,),
    "cnn": (1, 8, 8),
    "cnn-exits": (1, 8, 8),
    "cnn1d": (6, 100),
    "detector": (1, 8, 8),
    "ds-cnn": (1, 49, 10),
    "efficientnet-b0": (3, 32, 32),
    "efficientnet-lite0": (3, 32, 32),
    "elastic": (1, 28, 28),
    "lenet5": (1, 28, 28),
    "mlp": (64,),
    "mobilenet-v1": (3, 32, 32),
    "mobilenet-v2": (3, 32, 32),
    "mobilenet-v3-small": (3, 32, 32),
    "resnet18": (3, 32, 32),
    "resnet50": (3, 32, 32),
    "resnet8": (3, 32, 32),
    "resnet8-exits": (3, 32, 32),
    "shufflenet-v2-x0.5": (3, 32, 32),
    "shufflenet-v2-x1.0": (3, 32, 32),
    "squeezenet1.1": (3, 32, 32),
}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_same_seed_same_weights_and_other_seed_other_weights(name):
    first, again, other = (build(name, input_shape=SHAPES[name], num_classes=10, seed=s) for s in (3, 3, 4))

    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_model_maps_a_batch_to_one_row_of_finite_logits_each(name):
    model = build(name, input_shape=SHAPES[name], num_classes=10, seed=0)
    generator = torch.Generator().manual_seed(0)
    out = model(torch.rand(2, *SHAPES[name], generator=generator))

    assert out.shape == (2, 64 if name == "autoencoder" else 10)
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("name", sorted(MODELS))
def test_one_step_of_plain_descent_lowers_the_loss(name):
    model = build(name, input_shape=SHAPES[name], num_classes=10, seed=0)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(4, *SHAPES[name], generator=generator)
    y = torch.tensor([1, 2, 3, 4])
    before = nn.functional.cross_entropy(model(x), y)
    before.backward()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            assert (parameter.grad is None) == (name.endswith("exits") and key.startswith(("heads.0", "heads.1")))
            if parameter.grad is not None:
                parameter.sub_(parameter.grad, alpha=1e-3)

    assert nn.functional.cross_entropy(model(x), y) < before


def test_building_leaves_the_global_stream_as_it_was():
    state = torch.get_rng_state()
    build("resnet8", input_shape=(3, 32, 32), num_classes=10, seed=1)

    assert torch.equal(torch.get_rng_state(), state)


def test_the_global_stream_does_not_change_the_weights():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first = build("mlp", input_shape=(8,), num_classes=2, seed=0)
        torch.manual_seed(2)
        second = build("mlp", input_shape=(8,), num_classes=2, seed=0)

    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_a_users_factory_is_built_by_its_dotted_name(monkeypatch, tmp_path):
    (tmp_path / "users_net.py").write_text(
        "from torch import nn\n"
        "def net(input_shape, num_classes, depth=1):\n"
        "    return nn.Sequential(*[nn.Linear(input_shape[0], num_classes) for _ in range(depth)])\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    model = build("users_net:net", input_shape=(5,), num_classes=5, seed=0, depth=3)

    assert len(model) == 3
    with pytest.raises(ModelError, match=r"cannot be imported \(there is no 'nett' in users_net, only net\)"):
        build("users_net:nett", input_shape=(5,), num_classes=5, seed=0)
    with pytest.raises(ModelError, match="unknown parameter width"):
        build("users_net:net", input_shape=(5,), num_classes=5, seed=0, width=0.5)


def test_an_unknown_name_lists_the_names():
    with pytest.raises(UnknownNameError, match=r"got 'resnet9'.*resnet8"):
        build("resnet9", input_shape=(3, 32, 32), num_classes=10, seed=0)


def test_a_missing_module_is_named():
    with pytest.raises(ModelError, match=r"cannot be imported \(No module named 'no_such_module', looked for in "):
        build("no_such_module:net", input_shape=(3,), num_classes=10, seed=0)


@pytest.mark.parametrize("width", [0.0, -0.5, 1.5])
def test_an_impossible_width_is_refused(width):
    with pytest.raises(ModelError, match="expected 0 < width <= 1"):
        build("mlp", input_shape=(3,), num_classes=10, seed=0, width=width)


def test_an_unknown_parameter_names_the_known_ones():
    with pytest.raises(ModelError, match="unknown parameter dept; expected hidden, width; remove it"):
        build("mlp", input_shape=(3,), num_classes=10, seed=0, dept=2)
    with pytest.raises(ModelError, match="unknown parameter hiden; expected hidden, width; write 'hidden'"):
        build("mlp", input_shape=(3,), num_classes=10, seed=0, hiden=(2,))


def test_a_factory_that_raises_is_told_with_its_place(tmp_path, monkeypatch):
    (tmp_path / "raising_net.py").write_text("def net(input_shape, num_classes):\n    return 1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    place = re.escape(str(tmp_path / "raising_net.py"))
    with pytest.raises(ModelError, match=rf"which it refuses \(ZeroDivisionError: division by zero at {place}:2\)"):
        build("raising_net:net", input_shape=(3,), num_classes=10, seed=0)


def test_a_parameter_of_the_wrong_kind_is_shown():
    with pytest.raises(ModelError, match=r"got \{'hidden': 64, 'width': 1.0\}.*not iterable"):
        build("mlp", input_shape=(3,), num_classes=10, seed=0, hidden=64)


def test_a_kernel_without_a_middle_is_refused():
    with pytest.raises(ModelError, match="kernel must be odd, got 4"):
        build("cnn", input_shape=(1, 8, 8), num_classes=10, seed=0, kernel=4)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("cnn", (64,)),
        ("lenet5", (1, 8, 8)),
        ("cnn1d", (6, 20)),
        ("char-lstm", (1, 28, 28)),
        ("char-transformer", (4, 4)),
        ("resnet18", (3, 8, 8)),
    ],
)
def test_an_unfit_input_shape_says_what_fits(name, shape):
    with pytest.raises(ModelError, match=r"expected \("):
        build(name, input_shape=shape, num_classes=10, seed=0)


def test_an_unknown_norm_lists_the_norms():
    with pytest.raises(UnknownNameError, match="batch, group"):
        build("resnet8", input_shape=(3, 32, 32), num_classes=10, seed=0, norm="layer")


def test_the_table_is_importable_without_torch():
    code = "import sys, fedlite.learning.models; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
