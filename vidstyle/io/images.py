"""Still images, through OpenCV. OpenCV's BGR order does not leave this module."""

import io
import logging
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, ImageOps, TiffImagePlugin
from PIL import Image as Pillow

from ..errors import InputError, OutputError
from .files import check_readable, write_file
from .frame import Image, rgb_8_bits, to_8_bits
from .heif import is_heif, open_heif
from .icc import cmyk_to_srgb, to_srgb

log = logging.getLogger(__name__)

# Errors are raised with a message; OpenCV would print its own too.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

JPEG_QUALITY = 85
EXTENSIONS_16_BIT = (".png", ".tif", ".tiff")  # those that hold 16 bits
EXTENSIONS_WITH_XMP = (".png", ".jpg", ".jpeg", ".webp")  # those OpenCV can write XMP into

HEADER_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")
"""Formats whose size and profile Pillow reads. Others of Pillow's run external programs."""

PILLOW_ERRORS = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
)
"""Exceptions of Pillow for damaged or unknown files."""

JPEG_FORMATS = ("JPEG", "MPO")
"""Pillow's names of JPEG; MPO has further images behind the first."""

JPEG_MAX_PX_FACTOR = 4
"""A JPEG may have this many times the pixels: it is reduced while it is decoded."""

REDUCED_SIDE_PX = 2304
"""Long side in px that a style image keeps at least when it is reduced."""

REDUCED_DECODING = {
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
"""Factor -> OpenCV's flag for decoding at a reduced size."""


def bundled_styles() -> dict[str, Path]:
    """The bundled style images: name -> file."""
    package = Path(__file__).parent.parent
    folders = (
        package / "data" / "styles",
        package.parent / "samples" / "styles",
    )  # installed; in a checkout
    found = next((folder for folder in folders if folder.is_dir()), None)
    return {} if found is None else {path.stem: path for path in sorted(found.glob("*.jpg"))}


def style_file(name: str | Path) -> str | Path:
    """A file name as it is; the file of a bundled style for its name."""
    return name if Path(name).exists() else bundled_styles().get(str(name), name)


def decode_image(
    data: bytes,
    name: str = "the image",
    max_px: int | None = None,
    reduced: bool = False,
    warn: Callable[..., None] = log.warning,
) -> NDArray[np.uint8] | None:
    """Decode an image to (H, W, 3) uint8 sRGB, upright by its EXIF orientation; None if it is no
    image.

    Args:
        data: the bytes of the file.
        name: for warnings and errors.
        max_px: refuse larger images before decoding; JPEGs may have four times as many pixels.
        reduced: whether to reduce a large image by a whole factor, to ``REDUCED_SIDE_PX`` at least.
        warn: logs unused data, as ``logging.Logger.warning`` does.

    Raises:
        InputError: more pixels than ``max_px``, or HEIC that cannot be decoded.
    """
    image = _read(data, name, warn, False, max_px, reduced)
    return None if image is None else rgb_8_bits(image)


def jpeg(image: Image) -> bytes:
    """(H, W, 3 or 4) RGB(A) as JPEG, without alpha."""
    bgr = np.ascontiguousarray(to_8_bits(image)[..., 2::-1])
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


def _imdecode(data: bytes, flags: int) -> NDArray[Any] | None:
    if not data:
        return None
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # more pixels than OpenCV reads
        return None


def _with_alpha(upright: NDArray[Any], data: bytes) -> NDArray[Any]:
    """Add the alpha of ``data``. OpenCV decodes it without EXIF orientation: it is rotated to
    match."""
    stored = _imdecode(data, cv2.IMREAD_UNCHANGED)
    if stored is None or stored.ndim != 3 or stored.shape[2] != 4 or stored.dtype != upright.dtype:
        return upright
    for turned in (
        np.rot90(side, times) for side in (stored, stored[:, ::-1]) for times in range(4)
    ):
        if turned.shape[:2] == upright.shape[:2] and np.array_equal(turned[..., :3], upright):
            return np.ascontiguousarray(turned)
    return upright


def read_image(
    path: str | Path, reduced: bool = False, warn: Callable[..., None] = log.warning
) -> Image:
    """Read an image as (H, W, 3) sRGB, or 4 with alpha, upright; uint16 for more than 8 bits.

    Args:
        path: the file.
        reduced: whether to reduce a large image by a whole factor, to ``REDUCED_SIDE_PX`` at least.
        warn: logs unused data: further images, a damaged colour profile.

    Raises:
        InputError: missing, a directory, empty, or not an image.
    """
    path = check_readable(path)
    image = _read(path.read_bytes(), str(path), warn, True, None, reduced)
    if image is None:
        raise InputError(
            f"{path} is not an image of at most 2^28 px and 16 bits per sample: use a PNG, JPEG, "
            "WebP, BMP or TIFF file"
        )
    return image


def _read(
    data: bytes,
    name: str,
    warn: Callable[..., None],
    keep_16_bit: bool,
    max_px: int | None,
    reduced: bool,
) -> Image | None:
    """(H, W, 3 or 4) sRGB; None if ``data`` is no image, or of unknown size where ``max_px`` is
    given."""

    def tell(words: str) -> None:
        warn("%s %s", name, words)

    try:
        header = _header(data, name)
    except Pillow.DecompressionBombError:
        if max_px is not None or is_heif(data):
            raise InputError(f"{name} has too many pixels: resize it first") from None
        tell("has too many pixels for its colour profile to be read: it is read as sRGB")
        return _decode_with_opencv(data, keep_16_bit, 1)
    if header is None:
        return _decode_with_opencv(data, keep_16_bit, 1) if max_px is None else None
    if max_px is not None:
        _check_pixels(header, name, max_px)
    if _has_several_images(header):
        tell("has several images: only the first is used")
    if _is_untagged_adobe_rgb(header):
        tell("is in Adobe RGB without a profile: it is read as sRGB and will look pale")
    factor = _reduction(header.size) if reduced and header.format in JPEG_FORMATS else 1
    profile = header.info.get("icc_profile")
    if is_heif(data) or (profile and header.mode == "CMYK") or _needs_pillow_for_alpha(header):
        image: Image | None = _decode_with_pillow(header, name, factor, tell)
    else:
        image = _decode_with_opencv(data, keep_16_bit, factor)
    if image is None:
        return None
    image = _reduce(image) if reduced else image
    return (
        to_srgb(image, profile, header.mode, tell) if profile and header.mode != "CMYK" else image
    )


def _header(data: bytes, name: str) -> Pillow.Image | None:
    """The header of an image, not decoded; None where Pillow does not know the format."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if is_heif(data):
            return open_heif(data, name)
        try:
            return Pillow.open(io.BytesIO(data), formats=HEADER_FORMATS)
        except PILLOW_ERRORS:
            return None


def _check_pixels(header: Pillow.Image, name: str, max_px: int) -> None:
    width, height = header.size
    allowed = max_px * (JPEG_MAX_PX_FACTOR if header.format in JPEG_FORMATS else 1)
    if width * height > allowed:
        size = f"{width}x{height} px, more than {allowed / 1e6:.0f} million"
        raise InputError(f"{name} has {size}: resize it, or save it as JPEG, which may be larger")


def _has_several_images(header: Pillow.Image) -> bool:
    """Whether a file is an animation or has pages. Further images of an MPO are previews."""
    try:
        return header.format not in JPEG_FORMATS and getattr(header, "is_animated", False)
    except PILLOW_ERRORS:
        return False


def _needs_pillow_for_alpha(header: Pillow.Image) -> bool:
    """Whether OpenCV would lose alpha: it multiplies the colours of 8-bit TIFFs by it, and drops
    that of greys in these, and a transparent grey of PNGs."""
    if not header.has_transparency_data:
        return False
    bits = getattr(header, "tag_v2", {}).get(TiffImagePlugin.BITSPERSAMPLE, ())
    tiff = header.format == "TIFF" and max(bits, default=8) == 8
    return tiff or (header.format == "PNG" and header.mode in ("1", "L"))


def _is_untagged_adobe_rgb(header: Pillow.Image) -> bool:
    """Whether a JPEG has only an EXIF tag for Adobe RGB (Exif 2.3, R03), as from some cameras."""
    if header.format not in JPEG_FORMATS or header.info.get("icc_profile"):
        return False
    try:
        exif = header.getexif()
        return str(
            exif.get_ifd(ExifTags.IFD.Interop).get(ExifTags.Interop.InteropIndex, "")
        ).startswith("R03")
    except PILLOW_ERRORS:
        return False


def _reduction(size: tuple[int, int]) -> int:
    """The largest of 1, 2, 4, 8 that leaves a long side of ``REDUCED_SIDE_PX`` at least."""
    return next((factor for factor in (8, 4, 2) if max(size) // factor >= REDUCED_SIDE_PX), 1)


def _reduce(image: Image) -> Image:
    factor = _reduction((image.shape[1], image.shape[0]))
    size = max(1, image.shape[1] // factor), max(1, image.shape[0] // factor)
    return image if factor == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _decode_with_opencv(data: bytes, keep_16_bit: bool, factor: int) -> Image | None:
    """(H, W, 3) RGB, or 4 if ``keep_16_bit`` and there is alpha, reduced by ``factor``."""
    if factor > 1:
        bgr = _imdecode(data, REDUCED_DECODING[factor])
    else:
        bgr = _imdecode(data, cv2.IMREAD_COLOR | (cv2.IMREAD_ANYDEPTH if keep_16_bit else 0))
    if bgr is not None and bgr.dtype not in (np.uint8, np.uint16):  # floats, of a TIFF
        bgr = _imdecode(data, cv2.IMREAD_COLOR)
    if bgr is None:
        return None
    image = _with_alpha(bgr, data) if keep_16_bit and factor == 1 else bgr
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def _decode_with_pillow(
    header: Pillow.Image, name: str, factor: int, tell: Callable[[str], None]
) -> Image:
    """(H, W, 3 or 4) uint8 RGB(A), CMYK converted by its profile; a JPEG reduced by ``factor``.

    Raises:
        InputError: damaged.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header.draft(header.mode, (header.width // factor, header.height // factor))
            upright = ImageOps.exif_transpose(header)
        if upright.mode == "CMYK":
            upright = cmyk_to_srgb(upright, header.info["icc_profile"], tell)
        return np.array(upright.convert("RGBA" if upright.has_transparency_data else "RGB"))
    except PILLOW_ERRORS as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{name} is a damaged image ({reason}): get it again, or save it as PNG"
        ) from None


def write_image(path: Path, image: Image, comment: str = "") -> None:
    """Write RGB(A) atomically, in the format of the extension; ``comment`` becomes XMP
    dc:description.

    Raises:
        OutputError: it cannot be written.
    """
    if image.dtype == np.uint16 and path.suffix.lower() not in EXTENSIONS_16_BIT:
        image = to_8_bits(image)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    ending = path.suffix.lower()
    options = [cv2.IMWRITE_JPEG_QUALITY, 95] if ending in (".jpg", ".jpeg") else []
    try:
        if comment and ending in EXTENSIONS_WITH_XMP:
            block = np.frombuffer(_xmp(comment).encode(), np.uint8)
            done, data = cv2.imencodeWithMetadata(
                ending, bgr, [cv2.IMAGE_METADATA_XMP], [block], options
            )
        else:
            done, data = cv2.imencode(ending, bgr, options)
    except cv2.error as error:
        raise OutputError(
            f"cannot encode {path}: {error.err}: choose another extension, such as .png"
        ) from None
    if not done:
        raise OutputError(f"cannot encode {path}: choose another extension, such as .png")
    try:
        write_file(path, data.tobytes())
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror}: free some space or choose another place"
        ) from None


def _xmp(comment: str) -> str:
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        '<dc:description><rdf:Alt><rdf:li xml:lang="x-default">'
        f"{escape(comment)}</rdf:li></rdf:Alt></dc:description></rdf:Description></rdf:RDF></x:xmpmeta>"
        '<?xpacket end="w"?>'
    )
