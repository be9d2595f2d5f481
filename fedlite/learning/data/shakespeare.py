"""Reader of the First Folio plays: predict the next character; every speaker of a play is a client.

The archive is only read, never installed. Speeches are found by the print's own layout: an indented abbreviation of the
speaker, a full stop, then the speech.

References
----------
Caldas et al. 2018, "LEAF: a benchmark for federated settings", arXiv:1812.01097: speakers as clients, 80 characters of
context. The texts here are other editions, so figures must not be compared with LEAF's.
"""

from __future__ import annotations

import re
import string
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.learning.data.characters import windows
from fedlite.learning.data.dataset import Dataset

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from fedlite.learning.data.catalog import Entry

CONTEXT = 80
STRIDE = 10
MIN_CHARACTERS = 1_000
TRAIN_SHARE = 0.8
ALPHABET = "\n !&'(),-.:;?[]" + string.ascii_letters
"""Character `ALPHABET[i]` is class `i + 1`; class 0 is any other character (fewer than 100 in all)."""

_SPEECH = re.compile(r"^ {2,3}([A-Z][A-Za-z. ]{1,18}?)\. (.*)")
_DIRECTIONS = ("Enter", "Exit", "Exeunt")
_HEADINGS = ("Scena", "Actus")


def prepare(members: Mapping[str, bytes]) -> dict[str, NDArray[Any]]:
    """Return the characters of all speakers with at least 1,000 of them, one speaker after another."""
    spoken: dict[str, list[str]] = defaultdict(list)
    for path in sorted(members):
        play = path.rsplit("/", 1)[-1].removesuffix("_gut_f.txt")
        for speaker, line in speeches(members[path].decode("latin-1")):
            spoken[f"{play}: {speaker}"].append(line)
    texts = {name: "\n".join(lines) for name, lines in spoken.items()}
    kept = {name: text for name, text in texts.items() if len(text) >= MIN_CHARACTERS}
    return {
        "characters": np.concatenate([encode(text) for text in kept.values()]),
        "lengths": np.array([len(text) for text in kept.values()], dtype=np.int64),
        "names": np.array(list(kept)),
    }


def speeches(text: str) -> Iterator[tuple[str, str]]:
    """Yield (speaker, line) for every spoken line of a play; stage directions and headings are nobody's."""
    speaker = None
    for line in text.splitlines():
        start = _SPEECH.match(line)
        if start:
            speaker = start[1]
            yield speaker, start[2]
        elif line.strip().startswith(_HEADINGS):
            speaker = None
        elif speaker and line.strip() and not line.startswith((" ", *_DIRECTIONS)):
            yield speaker, line.strip()


def encode(text: str) -> NDArray[np.uint8]:
    """Return the class of each character."""
    codes = np.frombuffer(text.encode("latin-1"), dtype=np.uint8)
    return _CLASS_OF_CODE[codes]


def read(entry: Entry, prepared: Path | None) -> Dataset:
    """Return windows of 80 characters every 10 characters, with the character that follows as the class.

    The last 20 % of each speaker's text is the test split; no window reaches across the cut, so no character lies in
    both. Rows have shape (80,) and hold class numbers.
    """
    if prepared is None:
        raise ValueError("shakespeare is always fetched")
    with np.load(prepared) as arrays:
        characters, lengths, names = arrays["characters"], arrays["lengths"], arrays["names"]
    begins = np.cumsum(lengths) - lengths
    cuts = begins + (TRAIN_SHARE * lengths).astype(np.int64)
    x_train, y_train, client_train = windows(characters, begins, cuts, context=CONTEXT, stride=STRIDE)
    x_test, y_test, client_test = windows(characters, cuts, begins + lengths, context=CONTEXT, stride=STRIDE)
    return Dataset(
        name="shakespeare",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        client_train=client_train,
        client_test=client_test,
        num_classes=1 + len(ALPHABET),
        input_shape=(CONTEXT,),
        licence=entry.licence,
        source=entry.source,
        objective=entry.objective,
        client_names=tuple(str(name) for name in names),
        class_names=("other", *ALPHABET),
    )


def _class_table() -> NDArray[np.uint8]:
    table = np.zeros(256, dtype=np.uint8)
    table[[ord(character) for character in ALPHABET]] = np.arange(1, 1 + len(ALPHABET))
    return table


_CLASS_OF_CODE = _class_table()
