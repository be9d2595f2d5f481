"""What a run directory holds, whatever a model is made of."""

import numpy as np

from fedlite.results.directory import RunDirectory


def test_arrays_that_safetensors_does_not_have_are_left_out_and_named(tmp_path, caplog):
    directory = RunDirectory(tmp_path / "run")
    kept = {"weight": np.arange(6.0).reshape(2, 3), "phase": np.array([1 + 2j], np.complex64), "count": np.array(3)}
    lost = {"wide": np.array([1 + 2j]), "words": np.array(["a"])}
    directory.write_model([*kept, *lost], [*kept.values(), *lost.values()])
    found = directory.read_model()
    assert {name: values.tolist() for name, values in found.items()} == {k: v.tolist() for k, v in kept.items()}
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "model.safetensors: the array 'wide' of type complex128 is left out",
        "model.safetensors: the array 'words' of type <U1 is left out",
    ]
