"""What an uploaded file is: a clip, a picture or a mask, its size and length."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import InputError
from ..io.frame_times import frame_times
from ..io.image_names import IMAGE_EXTENSIONS, is_still
from ..io.images import decode_image
from ..io.source import open_source
from ..io.stream_info import VideoInfo
from .frames import read_mask
from .items import Clip, ClipMask, Upload

log = logging.getLogger(__name__)

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


def ending_of(signature: bytes) -> str:
    """The ending for a picture that begins with these bytes; "" for any other file."""
    return next((e for known, e in IMAGE_SIGNATURES.items() if signature.startswith(known)), "")


def describe(upload: Upload) -> Clip:
    """Read the properties of a file, and its first frame.

    Raises:
        InputError: it is neither a clip nor a picture, or too large.
    """
    number, path = upload.folder.name, upload.path
    size = path.stat().st_size
    with path.open("rb") as file:
        ending = ending_of(file.read(4))
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
    frames, seconds = _extent(found)
    return Clip(number, path.name, "clip", width, height, frames, seconds, rate, size)


def _extent(info: VideoInfo) -> tuple[int | None, float | None]:
    """Number of frames of a clip, and its length in seconds; None where unknown.

    Headers know neither where the rate is variable or sound begins first.
    """
    times = frame_times(info)
    frames = len(times) or info.frames
    if not frames or not info.rate:
        return frames, None
    last = round(times[-1] * info.rate) if times else frames - 1
    return frames, float((last + 1) / info.rate)


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


def describe_mask(
    upload: Upload, clip: str, time: float = 0.0, carried: str = "", covers: Sequence[float] = ()
) -> ClipMask:
    """Read the properties of a mask.

    Args:
        upload: its file.
        clip: id of the clip that it belongs to.
        time, carried, covers: see ``ClipMask``.

    Raises:
        InputError: it is no clip or picture, too large, or a picture that is all black or white.
    """
    found = describe(upload)
    if found.kind == "still":
        levels = read_mask(upload.folder / found.name)
        for level, what in ((0, "nothing"), (255, "everything")):
            if (levels == level).all():
                raise InputError(
                    f"the mask {found.name} selects {what}: make it white inside and black outside"
                )
    return ClipMask(found.id, found.name, clip, found.kind, time, carried, covers)
