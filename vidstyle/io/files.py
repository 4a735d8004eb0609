"""Names on disk: what can be read, what may be written, and how a file appears only when it is whole."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit
from uuid import uuid4

from ..errors import InputError, OutputError

PIPE = "-"
"""The name that stands for standard input or output."""

SAMPLES, SAMPLE_BYTES = 1024, 1 << 16
"""Files of up to 64 MiB are told apart by all of their bytes, larger ones by so many samples of so many bytes."""


MOST_LETTERS = 10_000
"""Length of an address in a file, at most."""


def is_url(name: str | Path) -> bool:
    """Whether a name is an address, such as ``https://...``; one letter before the colon is a drive of Windows."""
    return bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", str(name)))


def without_secrets(name: str) -> str:
    """A name as it may be shown: an address without its password and query, and without the key that ends one of RTMP."""
    if not is_url(name):
        return name
    parts = urlsplit(name)
    path = parts.path
    if parts.scheme.lower().startswith("rtmp") and path.count("/") > 1:
        path = path.rpartition("/")[0] + "/..."
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path}"


def name_in_file(name: str) -> str:
    """A name as it is; of ``@FILE`` the first line of that file, so that no list of processes shows a password or key in it.

    Raises:
        InputError: the file cannot be read, or its first line is empty.
    """
    if not name.startswith("@"):
        return name
    try:
        with Path(name[1:]).open(encoding="utf-8") as file:
            found = file.readline(MOST_LETTERS).strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise InputError(
            f"{name} cannot be read ({reason}): after @ comes a file with an address in its first line"
        ) from None
    if not found:
        raise InputError(f"{name} has an empty first line: write the address there")
    return found


def check_readable(path: str | Path) -> Path:
    """The path of an ordinary, readable file that is not empty.

    Raises:
        InputError: it is not one.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise InputError(f"{path} is a directory: name a file in it")
        if not path.exists():
            raise InputError(f"{path} does not exist: check the name")
        if not path.is_file():  # a pipe or a device could keep us waiting for ever
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
    """The path of a file that can be created, or replaced where ``overwrite``. Nothing is written.

    Raises:
        OutputError: it cannot be.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise OutputError(
                f"{path} is a directory: name a file in it, such as {path / 'out.mp4'}"
            )
        if (
            path.exists() and not path.is_file()
        ):  # a pipe or a device, which a new file would replace
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
    """Where a file lies until it is whole: ``clip.mp4`` -> ``clip.part.mp4``."""
    return path.with_name(f"{path.stem}.part{path.suffix}")


def part_folder(path: Path) -> Path:
    """Where the segments of a clip lie until it is whole: ``clip.mp4`` -> ``clip.part``."""
    return path.with_name(f"{path.stem}.part")


TEMPORARY_STEM_LETTERS = 40
"""How much of a file's name its temporary name repeats, in letters: with the rest it stays below every system's limit."""


def temporary_name(path: Path) -> Path:
    """A hidden name beside ``path`` that no other file has: ``.clip.mp4.1f2e3d4c.part``."""
    return path.with_name(f".{path.name[:TEMPORARY_STEM_LETTERS]}.{uuid4().hex[:8]}.part")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary file to write to, which replaces ``path`` when the block ends and is removed when the block fails.

    Whoever reads ``path`` meanwhile sees the old file or the new one, also after a loss of power.

    Raises:
        OSError: the file cannot be written; what was there before is untouched.
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
    """Write a whole file, text as UTF-8; an existing one is replaced only by a whole one.

    Raises:
        OSError: it cannot be written; what was there before is untouched.
    """
    with replacing(path) as part:
        part.write_bytes(data.encode() if isinstance(data, str) else data)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder of its own for temporary files, which is removed at the end.

    Raises:
        OutputError: there is no place for it.
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
    """Have a file, and its name, on the disk itself, where a loss of power does not take it."""
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
    """What tells a file's contents from another's: its size, and SHA-256 of it, or of samples of it where it is large.

    Raises:
        OSError: it cannot be read.
    """
    size = Path(path).stat().st_size
    step = max(1, size // (SAMPLES * SAMPLE_BYTES)) * SAMPLE_BYTES
    digest = sha256()
    with Path(path).open("rb") as file:
        for place in range(0, size, step):
            file.seek(place)
            digest.update(file.read(SAMPLE_BYTES))
        file.seek(max(0, size - SAMPLE_BYTES))
        digest.update(file.read())
    return f"{size} bytes, {digest.hexdigest()[:16]}"
