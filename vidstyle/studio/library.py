"""The clips and the styles of a studio: each a file in a folder of its own, with a description."""

import json
import logging
import re
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, TypeVar

from ..errors import InputError, OutputError
from ..inputs import CLIP_ENDINGS
from ..io.files import fsync_path, write_file
from ..io.heif import HEIF_EXTENSIONS
from ..io.image_names import IMAGE_EXTENSIONS, is_still
from ..io.images import bundled_styles, decode_image
from ..io.source import open_source

log = logging.getLogger(__name__)

ID_BYTES = 8
"""Bytes of an id, which is twice as many hexadecimal digits."""

MAX_NAME_LENGTH, MAX_NAME_BYTES = 80, 160
"""Characters of a name that are kept, and their bytes in UTF-8: file systems allow 255."""

FORBIDDEN = frozenset('/\\:*?"<>|%')
"""Characters that are removed from names: of paths, of Windows, and of image sequences."""

MAX_CLIP_PX = 1 << 26
"""Largest number of pixels of a frame of a clip: twice those of 8K."""

MAX_STILL_PX, MAX_STILL_BYTES = 1 << 25, 256 << 20
"""Largest number of pixels of a picture, of which a JPEG may have four times as many, and of
bytes: it is decoded as a whole."""

IMAGE_SIGNATURES: Mapping[bytes, str] = {
    b"\x89PNG": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"BM": ".bmp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
}
"""First bytes of a picture -> the ending of its name."""

NO_CLIP = "is neither a clip nor a picture that can be read"


@dataclass(frozen=True)
class Clip:
    """A clip or a picture that was uploaded.

    Args:
        id: of the folder that it lies in.
        name: of its file.
        kind: ``clip`` or ``still``.
        width, height: in px, as players show it.
        frames: how many there are; None for a picture, and where unknown.
        seconds: its length; None for a picture, and where unknown.
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


Item = TypeVar("Item", Clip, StyleImage)


class Upload(NamedTuple):
    """A file that is being written: the folder of its own, and its path in it."""

    folder: Path
    path: Path


def new_id() -> str:
    """A random id, which says nothing of what it names."""
    return secrets.token_hex(ID_BYTES)


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


class Library:
    """Clips and styles in a folder.

    ``clips/ID/NAME.ext`` has ``clip.json`` beside it, ``styles/ID/NAME.ext`` has ``style.json``.
    Folders without such a file are of unfinished uploads, and are removed.

    Its methods may be called by several threads.

    Args:
        folder: is created where it does not exist.

    Raises:
        OutputError: the folder cannot be created or read.
    """

    def __init__(self, folder: Path) -> None:
        self._clip_folder, self._style_folder = folder / "clips", folder / "styles"
        self._lock, self._decoding = Lock(), Lock()
        try:
            for each in (self._clip_folder, self._style_folder):
                each.mkdir(parents=True, exist_ok=True)
            self._clips = _load(self._clip_folder, "clip.json", Clip)
            self._styles = _load(self._style_folder, "style.json", StyleImage)
        except OSError as error:
            reason = error.strerror
            raise OutputError(
                f"{folder} cannot be used ({reason}): choose another with --folder"
            ) from None

    @property
    def clips(self) -> list[Clip]:
        """All clips, in order of their names."""
        with self._lock:
            return sorted(self._clips.values(), key=lambda clip: (clip.name.lower(), clip.id))

    @property
    def styles(self) -> list[StyleImage]:
        """The styles that were uploaded, in order of their names, then the bundled ones."""
        with self._lock:
            own = sorted(self._styles.values(), key=lambda style: (style.name.lower(), style.id))
        return [*own, *(StyleImage(name, name, True) for name in bundled_styles())]

    def clip(self, id: str) -> Clip | None:
        """The clip of an id, if there is one."""
        return self._clips.get(id)

    def style(self, id: str) -> StyleImage | None:
        """The style of an id, if there is one."""
        return self._styles.get(id) or next((each for each in self.styles if each.id == id), None)

    def clip_path(self, clip: Clip) -> Path:
        """The file of a clip."""
        return self._clip_folder / clip.id / clip.name

    def style_path(self, style: StyleImage) -> Path:
        """The file of a style."""
        if style.bundled:
            return bundled_styles()[style.name]
        return self._style_folder / style.id / style.name

    def begin_clip(self, name: str) -> Upload:
        """Create the folder of a clip, whose file is then to be written.

        Raises:
            OSError: it cannot be created.
        """
        folder = self._clip_folder / new_id()
        folder.mkdir()
        return Upload(folder, folder / clean_name(name, "clip"))

    def finish_clip(self, upload: Upload) -> Clip:
        """Check a file that was written, and keep it; one that is no clip is removed.

        Raises:
            InputError: it is neither a clip nor a picture, or too large.
            OSError: its description cannot be written.
        """
        try:
            with self._decoding:  # one at a time, which limits the memory
                clip = _describe(upload)
            fsync_path(upload.folder / clip.name)
            _write(upload.folder / "clip.json", clip)
        except BaseException:
            self.drop(upload)
            raise
        with self._lock:
            self._clips[clip.id] = clip
        return clip

    def drop(self, upload: Upload) -> None:
        """Remove what there is of an upload."""
        shutil.rmtree(upload.folder, ignore_errors=True)

    def remove_clip(self, id: str) -> None:
        """Remove a clip and its file."""
        with self._lock:
            self._clips.pop(id, None)
        _remove(self._clip_folder / id, "clip.json")

    def add_style(self, name: str, data: bytes) -> StyleImage:
        """Keep a style image, which was checked.

        Raises:
            OSError: it cannot be written; nothing is left of it.
        """
        folder = self._style_folder / new_id()
        cleaned = Path(clean_name(name, "image"))
        ending = _ending_of(data[:4]) or cleaned.suffix
        if ending in CLIP_ENDINGS:  # such a name could not be that of a style
            ending = ".png"
        style = StyleImage(folder.name, cleaned.stem + ending)
        folder.mkdir()
        try:
            write_file(folder / style.name, data)
            _write(folder / "style.json", style)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        with self._lock:
            self._styles[style.id] = style
        return style

    def remove_style(self, id: str) -> None:
        """Remove an uploaded style and its file."""
        with self._lock:
            self._styles.pop(id, None)
        _remove(self._style_folder / id, "style.json")


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None where there is none that can be read."""
    with suppress(OSError, ValueError, RecursionError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else None
    return None


def _load(folder: Path, name: str, kind: type[Item]) -> dict[str, Item]:
    """Id -> description of every item of a folder; what has none is removed."""
    found: dict[str, Item] = {}
    for each in folder.iterdir():
        if not re.fullmatch(rf"[0-9a-f]{{{2 * ID_BYTES}}}", each.name):
            continue
        document = read_json(each / name)
        if document is None:
            shutil.rmtree(each, ignore_errors=True)
            continue
        try:
            known = {field.name for field in fields(kind)}
            item = kind(**{key: value for key, value in document.items() if key in known})
        except TypeError:
            log.warning("%s is damaged: it is left out", each / name)
            continue
        if item.id == each.name and (each / Path(item.name).name).is_file():
            found[item.id] = item
        else:
            log.warning("%s lacks its file: it is left out", each)
    return found


def _write(path: Path, item: Clip | StyleImage) -> None:
    write_file(path, json.dumps(asdict(item), indent=1) + "\n")


def _remove(folder: Path, description: str) -> None:
    """Remove a folder; the description first, without which the rest does not count."""
    with suppress(OSError):
        (folder / description).unlink()
    shutil.rmtree(folder, ignore_errors=True)


def _ending_of(signature: bytes) -> str:
    """The ending for a picture that begins with these bytes; "" for any other file."""
    return next((e for known, e in IMAGE_SIGNATURES.items() if signature.startswith(known)), "")


def _describe(upload: Upload) -> Clip:
    """Read the properties of a file, and its first frame.

    Raises:
        InputError: see ``Library.finish_clip``.
    """
    number, path = upload.folder.name, upload.path
    size = path.stat().st_size
    with path.open("rb") as file:
        ending = _ending_of(file.read(4))
    if ending and path.suffix.lower() not in IMAGE_EXTENSIONS:
        path = path.rename(path.with_name(path.name + ending))
    if is_still(path):
        width, height = _size_of_still(path, size)
        return Clip(number, path.name, "still", width, height, None, None, None, size)
    try:
        with open_source(path, apply_rotation=True) as source:
            found = source.format
            width, height = found.size
            if width * height > MAX_CLIP_PX:
                limit = f"{width}x{height} px, more than {MAX_CLIP_PX / 1e6:.0f} million"
                raise InputError(f"{path.name} has frames of {limit}: make it smaller first")
            next(iter(source))
    except StopIteration:
        raise InputError(f"{path.name} has no frame: check that it plays elsewhere") from None
    except InputError as error:
        raise InputError(str(error).replace(str(path), path.name)) from None
    rate = float(found.rate) if found.rate else None
    seconds = found.frames / rate if found.frames and rate else None
    return Clip(number, path.name, "clip", width, height, found.frames, seconds, rate, size)


def _size_of_still(path: Path, size: int) -> tuple[int, int]:
    """(width, height) of a picture in px.

    Raises:
        InputError: it is none, or too large.
    """
    if size > MAX_STILL_BYTES:
        limit = f"{MAX_STILL_BYTES >> 20} MiB"
        raise InputError(f"{path.name} has more than {limit}: save it as JPEG, or make it smaller")
    image = decode_image(path.read_bytes(), path.name, MAX_STILL_PX, warn=log.debug)
    if image is None:
        raise InputError(f"{path.name} {NO_CLIP}: use PNG, JPEG, WebP, BMP or TIFF")
    height, width = image.shape[:2]
    return width, height
