"""HEIF images (HEIC, AVIF) with their tiles joined. The only module that imports pillow-heif."""

import io
from pathlib import Path

from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from ..errors import InputError

HEIF_EXTENSIONS = (".heic", ".heif", ".hif", ".avif")

HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"mif2", b"avif")
"""Major brands of still images (ISO/IEC 23008-12); ``hevc``, ``msf1`` and ``avis`` are clips."""

HEAD_BYTES = 12
"""Bytes of a file up to its major brand: length, ``ftyp``, brand."""


def is_heif(data: bytes) -> bool:
    """Whether a file that starts with these bytes is a HEIF image."""
    return data[4:8] == b"ftyp" and data[8:12] in HEIF_BRANDS


def major_brand(path: str | Path) -> bytes:
    """Major brand of an ISO base media file, such as ``heic``; empty for other files."""
    try:
        if not Path(path).is_file():
            return b""
        with Path(path).open("rb") as file:
            head = file.read(HEAD_BYTES)
    except (OSError, ValueError):
        return b""
    return head[8:12] if head[4:8] == b"ftyp" else b""


def open_heif(data: bytes, name: str) -> Pillow.Image:
    """Open a HEIF image with its tiles joined; samples are decoded later.

    Raises:
        InputError: HEIC without pillow-heif, or an image that cannot be read.
    """
    try:
        brands = data[8 : int.from_bytes(data[:4], "big")]
        if b"avif" in brands and b"heic" not in brands:
            return Pillow.open(io.BytesIO(data), formats=["AVIF"])
        try:
            from pillow_heif import HeifImageFile
        except ImportError:
            remedy = "pip install 'vidstyle[heic]', or convert it to JPEG"
            raise InputError(f"{name} is a HEIC image, which needs pillow-heif: {remedy}") from None
        image: Pillow.Image = HeifImageFile(io.BytesIO(data))
        return image
    except (
        UnidentifiedImageError,
        OSError,
        SyntaxError,
        ValueError,
        RuntimeError,
        EOFError,
        KeyError,
    ) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{name} is a HEIF image that cannot be read ({reason}): convert it to JPEG or PNG"
        ) from None
