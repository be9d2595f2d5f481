"""Speakers of a play become clients; windows never reach across the cut between training and test."""

from __future__ import annotations

import numpy as np

from fedlite.learning.data import cache, shakespeare
from fedlite.learning.data.catalog import CATALOG

PLAY = """The Tragedie of Tests

Actus primus. Scena prima.

  Ham. To be, or not to be
That is the question.
Enter Ghost.
   First Clo. A word
      set in by the printer
and more
Scena Secunda.
Spoken by nobody
  Ham. Farewell
"""


def test_speeches_belong_to_the_speaker_who_started_them():
    assert list(shakespeare.speeches(PLAY)) == [
        ("Ham", "To be, or not to be"),
        ("Ham", "That is the question."),
        ("First Clo", "A word"),
        ("First Clo", "and more"),
        ("Ham", "Farewell"),
    ]


def test_characters_are_numbered_and_strangers_share_class_0():
    letters = shakespeare.ALPHABET.index("Z"), shakespeare.ALPHABET.index("a")
    assert shakespeare.encode("\n Za|\xc3").tolist() == [1, 2, 1 + letters[0], 1 + letters[1], 0, 0]


def play_of(letters):
    return "".join(f"  {name}. {text}\n" for name, text in letters.items()).encode("latin-1")


def test_only_speakers_with_1000_characters_are_kept():
    members = {
        "x/b_gut_f.txt": play_of({"Long": "a" * 1000, "Short": "b" * 999}),
        "x/a_gut_f.txt": play_of({"Cap": "c" * 1200}),
    }
    made = shakespeare.prepare(members)
    assert made["names"].tolist() == ["a: Cap", "b: Long"]
    assert made["lengths"].tolist() == [1200, 1000]
    assert len(made["characters"]) == 2200


def test_contexts_and_next_characters_stay_on_their_side_of_the_cut(tmp_path):
    rng = np.random.default_rng(0)
    text = "".join(rng.choice(list("abcdefgh"), 1000))
    arrays = shakespeare.prepare({"p_gut_f.txt": play_of({"One": text, "Two": text[::-1]})})
    path = tmp_path / "made.npz"
    cache.write_arrays(path, arrays)
    made = shakespeare.read(CATALOG["shakespeare"], path)

    assert made.x_train.shape == (2 * 72, 80)
    assert made.x_test.shape == (2 * 12, 80)
    assert CATALOG["shakespeare"].input_shape == (80,)
    assert made.client_names == ("p: One", "p: Two")
    codes = shakespeare.encode(text)
    assert np.array_equal(made.x_train[1], codes[10:90])
    assert made.y_train[1] == codes[90]
    assert np.array_equal(made.x_test[0], codes[800:880])
    assert made.y_test[0] == codes[880]
    assert made.client_train.tolist() == [0] * 72 + [1] * 72
