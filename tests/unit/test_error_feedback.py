import numpy as np
import pytest

from fedlite.client.stages.base import Sending
from fedlite.client.stages.error_feedback import ErrorFeedback
from fedlite.rng import stream
from fedlite.wire import decode, encode

CODECS = [("topk:0.1",), ("topk:0.05", "int8"), ("sign",), ("int4",), ("topk:0.1", "fp16", "zstd")]


FEEDBACK = ErrorFeedback()


def compress(update, memory, codec, rng=None):
    """Return a packet and what the device keeps, as a client makes them (its stage draws nothing)."""
    applied = FEEDBACK.apply(update, Sending([], 0, 1, memory, stream(0, "unused")))
    buffer = encode(applied.update, codec, rng)
    return buffer, FEEDBACK.sent(applied.update, decode(buffer), applied.memory)


def restore(memory, buffer):
    return FEEDBACK.lost(decode(buffer), memory)


def updates(rounds):
    rng = stream(1, "feedback")
    return [[rng.normal(size=(8, 9)).astype(np.float32), rng.normal(size=7).astype(np.float32)] for _ in range(rounds)]


def flat(arrays):
    return np.concatenate([a.reshape(-1) for a in arrays])


def total(lists):
    return np.sum([np.concatenate([a.reshape(-1) for a in arrays]).astype(np.float64) for arrays in lists], axis=0)


@pytest.mark.parametrize("codec", CODECS, ids="+".join)
def test_what_was_decoded_plus_the_residual_is_what_was_put_in(codec):
    given, received, kept = updates(30), [], {}
    for number, update in enumerate(given):
        buffer, kept = compress(update, kept, codec, stream(2, "draws", number))
        received.append(decode(buffer))
    np.testing.assert_allclose(total(received) + total([[kept["residual"]]]), total(given), atol=2e-3)


@pytest.mark.parametrize("codec", CODECS, ids="+".join)
def test_lost_uploads_and_skipped_rounds_lose_and_double_nothing(codec):
    """Every third upload is lost: the client restores its residual, and the sums still agree."""
    given, received, kept = updates(30), [], {}
    for number, update in enumerate(given):
        buffer, kept = compress(update, kept, codec, stream(2, "draws", number))
        if number % 3 == 1:
            kept = restore(kept, buffer)
        else:
            received.append(decode(buffer))
    np.testing.assert_allclose(total(received) + total([[kept["residual"]]]), total(given), atol=2e-3)


def test_a_lost_first_upload_leaves_exactly_the_update():
    update = updates(1)[0]
    for before in ({}, {"residual": np.zeros(flat(update).size, np.float32)}):
        buffer, kept = compress(update, before, ("topk:0.1",))
        np.testing.assert_array_equal(restore(kept, buffer)["residual"], flat(update))


def test_the_residual_of_top_k_is_zero_exactly_where_values_were_sent():
    update = updates(1)[0]
    buffer, kept = compress(update, {}, ("topk:0.1",))
    sent, was = flat(decode(buffer)), flat(update)
    np.testing.assert_array_equal(kept["residual"], np.where(sent != 0, 0, was))


def test_top_k_with_feedback_sends_a_small_steady_coordinate_sooner_or_later():
    update = [np.array([1.0, 0.3, 0.0, 0.0, 0, 0, 0, 0, 0, 0], np.float32)]
    kept, received = {}, np.zeros(10)
    for _ in range(10):
        buffer, kept = compress(update, kept, ("topk:0.1",))
        received += decode(buffer)[0]
    assert received[1] > 0
    assert np.count_nonzero(decode(compress(update, {}, ("topk:0.1",))[0])[0]) == 1


def test_integer_tensors_are_values_and_never_accumulate():
    update = [np.ones(4, np.float32), np.array(41)]
    buffer, kept = compress(update, {}, ("sign",))
    buffer, kept = compress(update, kept, ("sign",))
    assert decode(buffer)[1] == 41
    assert kept["residual"].size == restore(kept, buffer)["residual"].size == 4


def test_the_arguments_are_not_changed():
    update = updates(1)[0]
    before = [array.copy() for array in update]
    buffer, kept = compress(update, {}, ("sign",))
    residual = kept["residual"].copy()
    compress(update, kept, ("sign",))
    restore(kept, buffer)
    for array, was in zip([*update, kept["residual"]], [*before, residual], strict=True):
        np.testing.assert_array_equal(array, was)


def test_what_a_mask_hides_waits_until_the_server_reads_it_again():
    given, received, kept = updates(20), [], {}
    masks = [np.ones((8, 9), np.bool_), None]
    masks[0][3:] = False
    for number, update in enumerate(given):
        held = masks if number % 2 else None
        seen = [part if mask is None else part * mask for part, mask in zip(update, held or [None] * 2, strict=True)]
        given[number] = seen
        applied = FEEDBACK.apply(seen, Sending([], 0, 1, kept, stream(0, "unused"), held))
        decoded = decode(encode(applied.update, ("topk:0.1",)))
        kept = FEEDBACK.sent(applied.update, decoded, applied.memory)
        received.append(decoded)
        if held:
            assert not decoded[0][3:].any()
    assert np.abs(kept["residual"]).max() > 0.1
    np.testing.assert_allclose(total(received) + total([[kept["residual"]]]), total(given), atol=2e-3)


def test_what_is_owed_is_sent_where_the_client_holds_it_and_waits_elsewhere():
    update = [np.array([2.0, 3.0], np.float32), np.array([7]), np.array([5.0], np.float32)]
    memory = {"residual": np.array([0.5, 0.5, 0.25], np.float32)}
    held = [np.array([1.0, 0.0]), None, None]
    applied = FEEDBACK.apply(update, Sending([], 0, 1, memory, stream(0, "unused"), held))
    assert [part.tolist() for part in applied.update] == [[2.5, 3.0], [7], [5.25]]
    assert applied.memory["residual"].tolist() == [0.0, 0.5, 0.0]
