"""Arrays without dimensions, such as BatchNorm's num_batches_tracked, stay arrays of shape () on every way."""

import numpy as np
import pytest

from fedlite.client.stages.base import Sending
from fedlite.client.stages.clip import Clip
from fedlite.client.stages.error_feedback import ErrorFeedback
from fedlite.client.stages.noise import Noise
from fedlite.rng import stream
from fedlite.wire import FORMATS, decode, decode_many, encode, encode_many, from_update, to_update

CODECS = [(stage,) for stage in FORMATS] + [("topk:0.5",), ("nonzero",), ("fp32", "zstd"), ("topk:0.5", "int8", "zstd")]
every_codec = pytest.mark.parametrize("codec", CODECS, ids="+".join)


def arrays():
    return [
        np.array(12, np.int64),
        np.array(0.5, np.float32),
        np.array(True),
        np.array(0.25, np.float64),
        np.arange(4, dtype=np.float32).reshape(2, 2),
        np.array(1.5, np.float16),
    ]


def forms(received):
    assert all(type(array) is np.ndarray for array in received)
    return [(array.shape, array.dtype) for array in received]


@every_codec
def test_one_packet(codec):
    received = decode(encode(arrays(), codec, stream(1, "scalars")), like=arrays())
    assert forms(received) == forms(arrays())
    assert received[0] == 12
    received[0][...] = 3  # owned by the receiver


@every_codec
@pytest.mark.parametrize("chosen", [slice(None), slice(1, 2), slice(0, 1)], ids=["all", "float", "integer"])
def test_many_packets(codec, chosen):
    one = arrays()[chosen]
    packets = encode_many([np.stack([a, a, a]) for a in one], codec, [stream(1, "scalars", k) for k in range(3)])
    assert packets == [encode(one, codec, stream(1, "scalars", k)) for k in range(3)]
    assert forms(decode_many(packets, like=one)) == [((3, *shape), dtype) for shape, dtype in forms(one)]


def test_updates_and_residuals():
    change = to_update(arrays(), arrays())
    assert forms(change) == forms(arrays())
    assert forms(from_update(change, arrays())) == forms(arrays())


def test_stages_keep_them():
    for stage in (ErrorFeedback(), Clip(0.1), Noise(0.1)):
        applied = stage.apply(arrays(), Sending([], 0, 1, {"residual": np.ones(8, np.float32)}, stream(1, "stage")))
        assert [(np.shape(array), np.asarray(array).dtype) for array in applied.update] == forms(arrays())


def test_an_app_s_arrays_keep_their_shapes():
    from flwr.app import Array, ArrayRecord, RecordDict

    from fedlite.flower import compat
    from fedlite.flower.app_wire import AppWire

    floats = [array for array in arrays() if array.dtype.kind == "f"]
    record = RecordDict({"arrays": ArrayRecord({str(i): Array(array) for i, array in enumerate(floats)})})
    sent = compat.from_bytes(AppWire(down=("fp16",)).down(record).data)
    assert forms(sent["arrays"].to_numpy_ndarrays()) == forms(floats)
