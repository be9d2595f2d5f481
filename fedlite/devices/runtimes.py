"""Which inference engine a measurement was made with, of what year, and in which arithmetic.

The engine matters as much as the device: the same phone differs by 2, a Raspberry Pi 5 by 7 between engines, and an
old release of one engine by 2 from a new one. Both are covariates of the latency model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_ENGINES: Final[tuple[tuple[str, str, int], ...]] = (
    (r"onnx ?runtime|onnxruntime|engine onnx|\bort\b", "onnxruntime", 2025),
    (r"qnn cpu", "qnn-cpu", 2025),
    (r"paddle-?lite|paddleclas", "paddle-lite", 2022),
    (r"\btnn\b", "tnn", 2020),
    (r"engine mnn|\bmnn\b|mandheling", "mnn", 2019),
    (r"opencv", "opencv", 2024),
    (r"openvino", "openvino", 2024),
    (r"core ?ml", "coreml", 2018),
    (r"executorch", "xnnpack", 2025),
    (r"torchscript", "torchscript", 2024),
    (r"pytorch", "pytorch", 2024),
    (r"tensorrt", "tensorrt", 2020),
    (r"ncnn", "ncnn", 2023),
    (r"xnnpack", "xnnpack", 2021),
    (r"tf-?lite|tensorflow ?lite|tensorflow/lite|tensorflow/models|tensorflow/tpu|gldelegatebench", "tflite", 2019),
    (r"tensorflow|saved ?model|graphdef|\btf\b", "tensorflow", 2019),
    (r"paddle", "paddle", 2018),
)  # fmt: skip
"""Pattern -> engine and the year of its release where the text tells none; first match wins."""

_MCU_ENGINES: Final[tuple[tuple[str, str, int], ...]] = (
    (r"cube[-.]?ai|stedge|stmicroelectronics|stm32ai", "x-cube-ai", 2022),
    (r"tinyengine\b(?!@)|engine tinyengine", "tinyengine", 2022),
    (r"cmsis", "cmsis-nn", 2021),
    (r"microtvm|\btvm\b", "microtvm", 2021),
    (r"plumerai", "plumerai", 2021),
    (r"without esp-nn|reference c", "reference-c", 2021),
    (r"esp-?(nn|dl)", "esp-nn", 2023),
    (r"tf-?lite|tflm|tensorflow", "tflm", 2021),
)  # fmt: skip

_YEARS: Final[tuple[tuple[str, int], ...]] = (
    (r"onnx ?runtime 1\.(2[0-9])", 2024), (r"tflite 2\.1[0-9]", 2024), (r"8\.3\.\d|ultralytics", 2024),
    (r"tnn v0\.3", 2021), (r"paddleclas", 2021), (r"executorch", 2025), (r"result/(20\d\d)", 0),
    (r"\b(20[12]\d)\b", 0), (r"engine tflite", 2024),
)  # fmt: skip
"""Pattern -> year, 0 where the match itself is the year."""

XNNPACK_BY_DEFAULT: Final = 2022
"""From this year on TensorFlow Lite runs XNNPACK's kernels unless told otherwise."""


@dataclass(frozen=True)
class Runtime:
    """An inference engine at one point of its history."""

    engine: str
    year: int


def read(text: str, *, on_mcu: bool = False) -> Runtime:
    """Return the engine that a row's source and notes name; "framework" if they name none."""
    lowered = text.lower()
    table = _MCU_ENGINES if on_mcu else _ENGINES
    engine, year = next(((name, y) for pattern, name, y in table if re.search(pattern, lowered)), ("framework", 2021))
    told = next(((re.search(pattern, lowered), y) for pattern, y in _YEARS if re.search(pattern, lowered)), None)
    if told is not None and told[0] is not None and not on_mcu:
        year = told[1] or int(told[0][1])
    if engine == "tflite" and year >= XNNPACK_BY_DEFAULT:
        engine = "xnnpack"
    return Runtime(engine, year)


def arithmetic(precision: str, *, half_math: bool = False, engine: str = "", on_mcu: bool = False) -> str:
    """Return "fp32", "fp16", "int8" or "int16" for a precision as tables write it.

    Integer weights alone (hybrid) compute in float on application cores; on microcontrollers the word stands for
    networks of 8-bit and binary layers. 16-bit activations have kernels of their own.
    """
    text = precision.lower()
    if "int16" in text or "a16" in text:
        return "int16"
    if "hybrid" in text or "float math" in text:
        return "int8" if on_mcu and "hybrid" in text else "fp32"
    if text.startswith(("int8", "w8a8", "uint8")):
        return "int8"
    if text.startswith("fp16"):
        return "fp16"
    if engine == "ncnn" and half_math and "fp32 math" not in text and text != "fp32":
        return "fp16"
    return "fp32"
