"""Arrays to bytes and back: one packet per model or update, whose length is what a device pays for."""

from __future__ import annotations

from fedlite.wire.codec import (
    FORMATS,
    LOSSLESS,
    SPARSIFIERS,
    Codec,
    check_downlink,
    check_error_feedback,
    parse_codec,
    sends_update,
)
from fedlite.wire.delta import decode_delta, encode_delta
from fedlite.wire.errors import CodecError, WireError
from fedlite.wire.many import blocks, decode_many, encode_many
from fedlite.wire.packet import MOST_ELEMENTS, PacketInfo, decode, encode, inspect, most_bytes
from fedlite.wire.update import from_update, is_float, to_update

__all__ = [
    "FORMATS",
    "LOSSLESS",
    "MOST_ELEMENTS",
    "SPARSIFIERS",
    "Codec",
    "CodecError",
    "PacketInfo",
    "WireError",
    "blocks",
    "check_downlink",
    "check_error_feedback",
    "decode",
    "decode_delta",
    "decode_many",
    "encode",
    "encode_delta",
    "encode_many",
    "from_update",
    "inspect",
    "is_float",
    "most_bytes",
    "parse_codec",
    "sends_update",
    "to_update",
]
