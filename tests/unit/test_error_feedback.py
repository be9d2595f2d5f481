import numpy as np
import pytest

from fedlite.rng import stream
from fedlite.wire import decode
from fedlite.wire.error_feedback import compress, restore, zeros

CODECS = [("topk:0.1",), ("topk:0.05", "int8"), ("sign",), ("int4",), ("topk:0.1", "fp16", "zstd")]


def updates(rounds):
    rng = stream(1, "feedback")
    return [[rng.normal(size=(8, 9)).astype(np.float32), rng.normal(size=7).astype(np.float32)] for _ in range(rounds)]


def total(lists):
    return np.sum([np.concatenate([a.reshape(-1) for a in arrays]).astype(np.float64) for arrays in lists], axis=0)


@pytest.mark.parametrize("codec", CODECS, ids="+".join)
def test_what_was_decoded_plus_the_residual_is_what_was_put_in(codec):
    given, received, residual = updates(30), [], None
    for number, update in enumerate(given):
        buffer, residual = compress(update, residual, codec, stream(2, "draws", number))
        received.append(decode(buffer))
    np.testing.assert_allclose(total(received) + total([residual]), total(given), atol=2e-3)


@pytest.mark.parametrize("codec", CODECS, ids="+".join)
def test_lost_uploads_and_skipped_rounds_lose_and_double_nothing(codec):
    """Every third upload is lost: the client restores its residual, and the sums still agree."""
    given, received, residual = updates(30), [], None
    for number, update in enumerate(given):
        buffer, residual = compress(update, residual, codec, stream(2, "draws", number))
        if number % 3 == 1:
            residual = restore(residual, buffer)
        else:
            received.append(decode(buffer))
    np.testing.assert_allclose(total(received) + total([residual]), total(given), atol=2e-3)


def test_a_lost_first_upload_leaves_exactly_the_update():
    update = updates(1)[0]
    buffer, residual = compress(update, zeros(update), ("topk:0.1",))
    for got, was in zip(restore(residual, buffer), update, strict=True):
        np.testing.assert_array_equal(got, was)


def test_the_residual_of_top_k_is_zero_exactly_where_values_were_sent():
    update = updates(1)[0]
    buffer, residual = compress(update, None, ("topk:0.1",))
    for sent, left, was in zip(decode(buffer), residual, update, strict=True):
        np.testing.assert_array_equal(left, np.where(sent != 0, 0, was))


def test_top_k_with_feedback_sends_a_small_steady_coordinate_sooner_or_later():
    update = [np.array([1.0, 0.3, 0.0, 0.0, 0, 0, 0, 0, 0, 0], np.float32)]
    residual, received = None, np.zeros(10)
    for _ in range(10):
        buffer, residual = compress(update, residual, ("topk:0.1",))
        received += decode(buffer)[0]
    assert received[1] > 0
    assert np.count_nonzero(decode(compress(update, None, ("topk:0.1",))[0])[0]) == 1


def test_integer_tensors_are_values_and_never_accumulate():
    update = [np.ones(4, np.float32), np.array(41)]
    buffer, residual = compress(update, None, ("sign",))
    buffer, residual = compress(update, residual, ("sign",))
    assert decode(buffer)[1] == 41
    assert residual[1] == 0
    assert restore(residual, buffer)[1] == 0


def test_the_arguments_are_not_changed():
    update = updates(1)[0]
    before = [array.copy() for array in update]
    _, residual = compress(update, None, ("sign",))
    kept = [array.copy() for array in residual]
    compress(update, residual, ("sign",))
    for array, was in zip([*update, *residual], [*before, *kept], strict=True):
        np.testing.assert_array_equal(array, was)
