"""Files that users gave the studio: each in a folder of its own, with a description in JSON."""

import json
import logging
import re
import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ..inputs import CLIP_ENDINGS
from ..io.files import write_file
from ..io.heif import HEIF_EXTENSIONS
from ..io.image_names import IMAGE_EXTENSIONS

log = logging.getLogger(__name__)

ID_BYTES = 8
"""Bytes of an id, which is twice as many hexadecimal digits."""

MAX_NAME_LENGTH, MAX_NAME_BYTES = 80, 160
"""Characters of a name that are kept, and their bytes in UTF-8: file systems allow 255."""

FORBIDDEN = frozenset('/\\:*?"<>|%,=')
"""Characters that are removed from names: of paths, of Windows, of image sequences, and those that
separate names in ``--region`` and ``--at``."""


@dataclass(frozen=True)
class Clip:
    """A clip or a picture that was uploaded.

    Args:
        id: of the folder that it lies in.
        name: of its file.
        kind: ``clip`` or ``still``.
        width, height: in px, as players show it.
        frames: how many there are; None for a picture, and where unknown.
        seconds: its length from the start of its timestamps, also where sound begins first; None
            for a picture, and where unknown.
        rate: frames per second; None for a picture, and where unknown.
        bytes: size of the file.
    """

    id: str
    name: str
    kind: str
    width: int
    height: int
    frames: int | None
    seconds: float | None
    rate: float | None
    bytes: int


@dataclass(frozen=True)
class StyleImage:
    """A style image: uploaded, or bundled with vidstyle, when its id is its name."""

    id: str
    name: str
    bundled: bool = False


@dataclass(frozen=True)
class ClipMask:
    """A mask of a clip, drawn or uploaded: white, or opaque where it has alpha, is inside.

    Args:
        id: of the folder that it lies in.
        name: of its file.
        clip: id of the clip that it belongs to.
        kind: ``still``, the same for all frames, or ``clip``, with a mask for each time.
        time: of the frame that it was drawn on, in seconds.
        carried: id of the drawn mask that was carried along the clip to make it; "" otherwise.
        covers: start and end in seconds of the part of the clip in which a carried mask is not
            empty; () where unknown.
    """

    id: str
    name: str
    clip: str
    kind: str
    time: float = 0.0
    carried: str = ""
    covers: Sequence[float] = ()


Item = TypeVar("Item", Clip, StyleImage, ClipMask)


class Upload(NamedTuple):
    """A file that is being written: the folder of its own, and its path in it."""

    folder: Path
    path: Path

    def drop(self) -> None:
        """Remove what there is of it."""
        shutil.rmtree(self.folder, ignore_errors=True)


def new_id() -> str:
    """A random id, which says nothing of what it names."""
    return secrets.token_hex(ID_BYTES)


def is_id(text: str) -> bool:
    """Whether a text has the form of a ``new_id``."""
    return re.fullmatch(rf"[0-9a-f]{{{2 * ID_BYTES}}}", text) is not None


def clean_name(name: str, otherwise: str) -> str:
    """A name for a file, made of what a user's file is called.

    Separators of paths, control characters and leading dots are removed, long names shortened. An
    ending is one only where it is that of a clip or a picture.

    Args:
        name: any text.
        otherwise: the stem where nothing is left of it.
    """
    kept = "".join(letter for letter in name if letter.isprintable() and letter not in FORBIDDEN)
    kept = kept.lstrip(". ").rstrip(". ")
    stem, dot, ending = kept.rpartition(".")
    suffix = f".{ending.lower()}" if dot else ""
    if suffix not in {*CLIP_ENDINGS, *IMAGE_EXTENSIONS, *HEIF_EXTENSIONS}:
        stem, suffix = kept.replace(".", "_"), ""  # no .html, which would be served as such
    data = stem[:MAX_NAME_LENGTH].encode("utf-8", "ignore")[:MAX_NAME_BYTES]
    return (data.decode("utf-8", "ignore").strip(". ") or otherwise) + suffix


def begin_upload(folder: Path, name: str, otherwise: str) -> Upload:
    """Create a folder within another for a file, which is then to be written.

    Args:
        folder: of all items of this kind.
        name: what the user's file is called.
        otherwise: see ``clean_name``.

    Raises:
        OSError: it cannot be created.
    """
    made = folder / new_id()
    made.mkdir()
    return Upload(made, made / clean_name(name, otherwise))


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None where there is none that can be read."""
    with suppress(OSError, ValueError, RecursionError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else None
    return None


def load_items(folder: Path, name: str, kind: type[Item]) -> dict[str, Item]:
    """Id -> description of every item of a folder.

    A folder without a description is of an unfinished upload, and is removed. An item whose
    description cannot be read is left out, and keeps its files.
    """
    found: dict[str, Item] = {}
    for each in folder.iterdir():
        if not is_id(each.name):
            continue
        document = read_json(each / name)
        if document is None and _is_missing(each / name):
            shutil.rmtree(each, ignore_errors=True)
            continue
        try:
            known = {field.name for field in fields(kind)}
            item = kind(**{key: value for key, value in (document or {}).items() if key in known})
        except TypeError:
            log.warning("%s is damaged or unreadable: its folder is left out and kept", each / name)
            continue
        if item.id == each.name and (each / Path(item.name).name).is_file():
            found[item.id] = item
        else:
            log.warning("%s lacks its file: it is left out", each)
    return found


def _is_missing(path: Path) -> bool:
    """Whether there is certainly no such file: ``Path.exists`` denies files it may not look at."""
    try:
        path.lstat()
    except OSError as error:
        return isinstance(error, FileNotFoundError)
    return False


def write_item(path: Path, item: Clip | StyleImage | ClipMask) -> None:
    """Write the description of an item.

    Raises:
        OSError: it cannot be written.
    """
    write_file(path, json.dumps(asdict(item), indent=1) + "\n")


def remove_item(folder: Path, description: str) -> None:
    """Remove a folder; the description first, without which the rest does not count."""
    with suppress(OSError):
        (folder / description).unlink()
    shutil.rmtree(folder, ignore_errors=True)
