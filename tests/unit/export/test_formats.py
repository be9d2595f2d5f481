"""The files in their own runtimes. A test of a format is marked with the extra that it needs."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from fedlite.compose.exporting import exported
from fedlite.delivery.static_quantization import StaticQuantization
from fedlite.delivery.weight_quantization import WeightQuantization
from fedlite.export import format_of

SAME_DB = 100.0
"""What float32 sums in another order leave is beyond this."""
INT8_DB = 30.0
"""Bar of torchao's own tests of int8 on other engines: 30 to 45 dB."""


@pytest.fixture(scope="module")
def told(ware, shipped, tmp_path_factory):
    """Return a function that exports the net under deliveries to a format."""
    out = tmp_path_factory.mktemp("exported")
    return lambda form, name, *deliveries: exported(name, shipped(*deliveries), ware, format_of(form), out)


def same(one):
    assert one["executed"], one["why"]
    assert one["metrics"]["accuracy"] == one["own_metrics"]["accuracy"]
    return one["sqnr_db"] > SAME_DB and one["max_relative_error"] < 1e-4


@pytest.mark.onnx
def test_an_onnx_file_says_what_the_net_says(told):
    found = told("onnx", "plain")
    assert same(found)
    assert found["runtime"].startswith("onnxruntime 1.")
    assert found["precision"] == "fp32"
    assert found["bytes"] == pytest.approx(found["stored_bytes"], abs=4000)


@pytest.mark.onnx
def test_an_onnx_file_takes_any_number_of_samples(int8_onnx, ware):
    run, rows = format_of("onnx").opened(int8_onnx["file"]), ware.data.x_test[:5]
    np.testing.assert_allclose(run(rows), np.concatenate([run(row[None]) for row in rows]), rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def int8_onnx(told):
    return told("onnx", "int8", StaticQuantization())


@pytest.mark.onnx
def test_integers_of_an_onnx_file_are_stored_and_computed_as_such(int8_onnx):
    import onnx

    model = onnx.load(int8_onnx["file"])
    matrices = [one for one in model.graph.initializer if len(one.dims) > 1]
    assert [one.data_type for one in matrices] == [onnx.TensorProto.INT8] * 4
    assert int8_onnx["bytes"] == pytest.approx(int8_onnx["stored_bytes"], abs=4000)
    # The last layer's output is float32: ONNX Runtime multiplies floats there.
    assert (int8_onnx["facts"]["integer_kernels"], int8_onnx["facts"]["int4_weights"]) == (3, 0)
    assert int8_onnx["sqnr_db"] > INT8_DB
    assert str(__file__).encode() not in model.SerializeToString()


@pytest.mark.onnx
def test_an_onnx_file_of_integers_is_the_artefact_to_the_last_bit_but_for_the_order_of_sums(int8_onnx, ware, shipped):
    """Executed operator by operator, as the file is written, nothing is rounded elsewhere than in the artefact."""
    import onnxruntime

    net = shipped(StaticQuantization()).artefact.net.eval()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(int8_onnx["file"], options, providers=["CPUExecutionProvider"])
    for row in ware.data.x_test:
        with torch.inference_mode():
            own = net(torch.from_numpy(row[None])).numpy()
        np.testing.assert_allclose(session.run(None, {"input": row[None]})[0], own, rtol=1e-4, atol=1e-5)


@pytest.mark.onnx
def test_weights_of_4_bits_take_half_a_byte_in_an_onnx_file(told):
    import onnx

    found = told("onnx", "weights", WeightQuantization(4))
    assert same(found)
    assert (found["precision"], found["facts"]["int4_weights"]) == ("integer weights", 4)
    matrices = [one for one in onnx.load(found["file"]).graph.initializer if len(one.dims) > 1]
    assert sum(len(one.raw_data) for one in matrices) == sum(np.prod(one.dims) for one in matrices) // 2
    onnx.checker.check_model(found["file"])


@pytest.mark.onnx
def test_the_same_artefact_gives_the_same_onnx_file(told, int8_onnx):
    again = told("onnx", "again", StaticQuantization())
    assert Path(int8_onnx["file"]).read_bytes() == Path(again["file"]).read_bytes()


@pytest.mark.mobile
@pytest.mark.slow
def test_executorch_delegates_every_layer_and_says_what_the_net_says(told):
    plain, small = told("executorch", "plain"), told("executorch", "int8", StaticQuantization())
    assert same(plain)
    assert small["facts"] == {"delegates": 1, "not_delegated": [], "measured_outputs": 1}
    assert (small["precision"], small["executed"]) == ("int8", True)
    assert small["sqnr_db"] > INT8_DB
    assert plain["bytes"] - small["bytes"] > 0.5 * plain["stored_bytes"]
    packed = told("executorch", "weights", WeightQuantization(4))
    assert same(packed)
    assert packed["precision"] == "fp32"


@pytest.mark.coreml
@pytest.mark.slow
def test_core_ml_is_written_anywhere_and_executed_on_macos(told):
    plain, small = told("coreml", "plain"), told("coreml", "int8", StaticQuantization())
    assert plain["bytes"] - small["bytes"] > 0.5 * plain["stored_bytes"]
    if sys.platform == "darwin":
        assert same(plain)
    else:
        assert plain["why"] == "Core ML executes on macOS alone"


@pytest.mark.litert
@pytest.mark.slow
def test_litert_says_what_the_net_says(told):
    plain, small = told("litert", "plain"), told("litert", "int8", StaticQuantization())
    assert same(plain)
    assert (small["precision"], small["executed"]) == ("int8", True)
    assert small["sqnr_db"] > INT8_DB
    assert plain["bytes"] - small["bytes"] > 0.5 * plain["stored_bytes"]
