"""Paths: readable inputs, writable outputs, atomic writes, digests."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit
from uuid import uuid4

from ..errors import InputError, OutputError

PIPE = "-"
"""The name that stands for standard input or output."""

FULL_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT)
"""Error numbers of the system for a full disk and an exhausted quota."""

DIGEST_SAMPLES, DIGEST_SAMPLE_BYTES = 1024, 1 << 16
"""Files of up to 64 MiB are hashed whole, larger ones by this many samples of this many bytes."""

DIGEST_CACHE_FILES = 4096
"""Number of files whose digest is kept: the jobs of a batch have the same styles and weights."""

MAX_ADDRESS_LENGTH = 10_000
"""Maximum length of an address in an ``@FILE``, in characters."""


def is_url(name: str | Path) -> bool:
    """Whether a name is an address, such as ``https://...``. A single letter is a Windows drive."""
    return bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", str(name)))


def without_secrets(name: str) -> str:
    """A name for messages: an address without password and query, and without RTMP's stream key.

    ``Path`` makes ``http:/`` of ``http://``; such names and malformed addresses lose their password
    too.
    """
    try:
        parts = urlsplit(name) if is_url(name) else None
    except ValueError:  # such as an invalid IPv6 address
        parts = None
    if parts is None:
        return re.sub(r"^([A-Za-z][A-Za-z0-9+.-]+:/+)[^/@]*@", r"\1", name)
    path = parts.path
    if parts.scheme.lower().startswith("rtmp") and path.count("/") > 1:
        path = path.rpartition("/")[0] + "/..."
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path}"


def name_in_file(name: str) -> str:
    """A name as it is; for ``@FILE`` the first line of the file, so that process lists show no
    secrets.

    Raises:
        InputError: the file cannot be read, or its first line is empty.
    """
    if not name.startswith("@"):
        return name
    try:
        with Path(name[1:]).open(encoding="utf-8") as file:
            found = file.readline(MAX_ADDRESS_LENGTH).strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise InputError(
            f"{name} cannot be read ({reason}): name a file with an address in its first line"
        ) from None
    if not found:
        raise InputError(f"{name} has an empty first line: write the address there")
    return found


def in_home(name: str) -> str:
    """A name with the user's folder in place of a leading ``~``. Shells replace it at the start of
    a word only, and not in ``0:03=~/painted.png``."""
    return os.path.expanduser(name)  # noqa: PTH111 (that of Path refuses names such as ~a.png)


def check_readable(path: str | Path) -> Path:
    """The path of a regular, readable, non-empty file.

    Raises:
        InputError: it is not one.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise InputError(f"{path} is a directory: name a file in it")
        if not path.exists():
            raise InputError(f"{without_secrets(str(path))} does not exist: check the name")
        if not path.is_file():  # a pipe or device may block for ever
            raise InputError(f"{path} is not an ordinary file: write what it gives to a file first")
        if not os.access(path, os.R_OK):
            raise InputError(f"{path} cannot be read: its permissions forbid it")
        if path.stat().st_size == 0:
            raise InputError(
                f"{path} is empty: it was probably never written to the end; get it again"
            )
    except OSError as error:  # a name too long, a loop of links
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    return path


def check_writable(path: str | Path, overwrite: bool = False) -> Path:
    """The path of a file that can be created, or replaced if ``overwrite``. Nothing is written.

    Raises:
        OutputError: it cannot.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise OutputError(
                f"{path} is a directory: name a file in it, such as {path / 'out.mp4'}"
            )
        if path.exists() and not path.is_file():  # a new file would replace the pipe or device
            raise OutputError(f"{path} is not an ordinary file: choose another name")
        if path.exists() and not overwrite:
            raise OutputError(
                f"{path} exists: add overwrite=True to replace it, or choose another name",
                "overwrite",
            )
        if not path.parent.is_dir():
            raise OutputError(f"the folder {path.parent} does not exist: make it first")
        if not os.access(path.parent, os.W_OK):
            raise OutputError(
                f"the folder {path.parent} cannot be written to: choose another place"
            )
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from None
    return path


def partial_path(path: Path) -> Path:
    """The path of an unfinished file: ``clip.mp4`` -> ``clip.part.mp4``."""
    return path.with_name(f"{path.stem}.part{path.suffix}")


def part_folder(path: Path) -> Path:
    """The folder of a clip's segments: ``clip.mp4`` -> ``clip.part``."""
    return path.with_name(f"{path.stem}.part")


TEMPORARY_STEM_LENGTH = 40
"""Characters of a file's name in its temporary name, to stay below every system's limit."""


def temporary_name(path: Path) -> Path:
    """A unique hidden path in the same folder: ``.clip.mp4.1f2e3d4c.part``."""
    return path.with_name(f".{path.name[:TEMPORARY_STEM_LENGTH]}.{uuid4().hex[:8]}.part")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Atomic replacement: yields a temporary path, renamed to ``path`` at the end and removed after
    an error.

    Readers see the old or the new file, also after a power failure.

    Raises:
        OSError: the file cannot be written; the old file is unchanged.
    """
    target = Path(os.path.realpath(path))  # a link stays, the file behind the link is replaced
    part = temporary_name(target)
    try:
        yield part
        fsync_path(part)
        part.replace(target)
        fsync_path(target)
    finally:
        part.unlink(missing_ok=True)


def write_file(path: Path, data: bytes | str) -> None:
    """Write a file atomically; text as UTF-8.

    Raises:
        OSError: it cannot be written; the old file is unchanged.
    """
    with replacing(path) as part:
        part.write_bytes(data.encode() if isinstance(data, str) else data)


def is_full_disk(error: BaseException | None) -> bool:
    """Whether an error is that of a full disk, or was raised in place of such an error."""
    while error is not None:
        if getattr(error, "errno", None) in FULL_DISK_ERRORS:
            return True
        error = error.__context__
    return False


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A temporary folder, removed at the end.

    Raises:
        OutputError: it cannot be created.
    """
    try:
        folder = TemporaryDirectory(prefix="vidstyle-")
    except OSError as error:
        reason = f"no folder for temporary files can be made ({error.strerror})"
        raise OutputError(
            f"{reason}: free some space, or set TMPDIR to a folder that has some"
        ) from None
    with folder as name:
        yield Path(name)


def fsync_path(path: Path) -> None:
    """Flush a file and its directory entry to disk, so that they survive a power failure."""
    for name, access in ((path, os.O_RDWR), (path.parent, os.O_RDONLY)):
        try:
            handle = os.open(name, access)
        except OSError:  # some systems do not open folders
            if name == path:
                raise
            continue
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def fingerprint(path: str | Path) -> str:
    """Identify a file's content by its size and SHA-256, of samples of it if it is large.

    Raises:
        OSError: it cannot be read.
    """
    status = Path(path).stat()
    return _fingerprint(str(path), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=DIGEST_CACHE_FILES)
def _fingerprint(path: str, size: int, modified_ns: int) -> str:
    step = max(1, size // (DIGEST_SAMPLES * DIGEST_SAMPLE_BYTES)) * DIGEST_SAMPLE_BYTES
    digest = sha256()
    with Path(path).open("rb") as file:
        for place in range(0, size, step):
            file.seek(place)
            digest.update(file.read(DIGEST_SAMPLE_BYTES))
        file.seek(max(0, size - DIGEST_SAMPLE_BYTES))
        digest.update(file.read())
    return f"{size} bytes, {digest.hexdigest()[:16]}"


def changed_ns(path: Path | None) -> int:
    """Time of the last change of a file, in nanoseconds: a key of what is read from it and kept.

    0 where there is no file.
    """
    return path.stat().st_mtime_ns if path is not None and path.exists() else 0
