import pytest

from fedlite.errors import FedliteError
from fedlite.wire import CodecError, check_downlink, check_error_feedback, parse_codec, sends_update


def test_stages_are_read_in_their_order_and_the_number_format_is_named():
    assert parse_codec(("topk:0.1", "int8", "zstd")).text == "topk:0.1+int8+zstd"
    assert parse_codec(["topk:10%"]).stages == ("topk:0.1", "fp32")
    assert parse_codec(["zstd"]).stages == ("fp32", "zstd")
    assert parse_codec(["int4:64"]).stages == ("int4:64",)


def test_a_codec_s_own_text_reads_back_as_the_same_codec():
    for texts in (("fp32",), ("bf16", "zstd"), ("nonzero", "int2:128"), ("topk:0.0001", "sign", "zstd")):
        codec = parse_codec(texts)
        assert parse_codec(codec.stages) == codec
        assert parse_codec(codec) is codec


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ((), r"got no stage.*write \['fp32'\]"),
        ("topk:0.1+int8", r"got the text.*list of stages; write \[topk:0.1, int8\]"),
        (("gzip",), "got the stage 'gzip', expected one of sparsifiers: topk, nonzero, "),
        (("int8", "int4"), "got the number formats 'int8' and 'int4', expected at most one"),
        (("topk:0.1", "nonzero"), "got the sparsifiers 'topk:0.1' and 'nonzero'"),
        (("zstd", "zstd"), "got the lossless stages"),
        (("zstd", "int8", "topk:0.1"), r"got the order zstd, int8, topk:0.1.*write \[topk:0.1, int8, zstd\]"),
        (("topk",), "got no fraction.*'topk:0.1'"),
        (("topk:1.0",), "got fraction 1.0, expected at least 0.0001 and below 1"),
        (("topk:0",), "got fraction 0"),
        (("topk:-0.1",), "got fraction -0.1"),
        (("topk:much",), "got 'much', expected a fraction"),
        (("topk:",), "got '', expected a fraction"),
        (("int4:3",), "got block size '3', expected a whole number from 8 to 65536"),
        (("int4:many",), "got block size 'many'"),
        (("fp32:2",), "got an argument '2', expected none; write 'fp32'"),
        (("zstd:9",), "got an argument '9', expected none"),
        (("nonzero:1",), "got an argument '1', expected none"),
    ],
)
def test_a_wrong_codec_says_what_to_write(texts, message):
    with pytest.raises(FedliteError, match=message):
        parse_codec(texts)


def test_only_fp32_and_fp16_without_top_k_carry_weights():
    assert not sends_update(("fp32",))
    assert not sends_update(("fp16", "zstd"))
    assert not sends_update(("nonzero", "fp32", "zstd"))
    for texts in (("int8",), ("bf16",), ("sign",), ("topk:0.1",), ("topk:0.1", "fp16")):
        assert sends_update(texts)


def test_a_downlink_cannot_drop_most_of_the_model():
    assert check_downlink(("int8", "zstd")).text == "int8+zstd"
    for texts in (("topk:0.1",), ("sign",), ("int2:64",), ("topk:0.1", "int2", "zstd")):
        with pytest.raises(CodecError, match=r"downlink: got '.*'.*whole model; use fp32, fp16, bf16 or int8"):
            check_downlink(texts)


def test_error_feedback_needs_an_error():
    assert check_error_feedback(("sign",)).text == "sign"
    with pytest.raises(CodecError, match="got the uplink fp16, which carries the weights"):
        check_error_feedback(("fp16",))
