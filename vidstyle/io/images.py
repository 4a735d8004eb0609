"""Still pictures in and out, through OpenCV. The only place that knows OpenCV keeps colours as BGR.

Pictures are read into sRGB, whatever colour profile they carry, and written in sRGB without a profile: a picture without
one is sRGB by every standard that says so (EXIF, CSS), and all programs agree on it.
"""

import io
import logging
import re
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
from PIL import ExifTags, ImageOps
from PIL import Image as Pillow

from ..errors import InputError, OutputError
from .files import check_readable, write_file
from .frame import Image, to_8_bits
from .heif import HEIF_BRANDS, HEIF_ENDINGS, is_heif, major_brand, open_heif
from .icc import cmyk_to_srgb, to_srgb

log = logging.getLogger(__name__)

cv2.utils.logging.setLogLevel(
    cv2.utils.logging.LOG_LEVEL_SILENT
)  # it prints its own lines about files we refuse in ours

IMAGE_EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
JPEG_QUALITY = 85
DEEP_ENDINGS = (".png", ".tif", ".tiff")  # those that hold 16 bits
DESCRIBED_ENDINGS = (".png", ".jpg", ".jpeg", ".webp")  # those OpenCV can write XMP into

HEADER_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")
"""Formats whose size and profile Pillow reads; fewer than all that it knows, since some of those run other programs."""

DAMAGED = (
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
"""What Pillow raises for files that are damaged or of a kind it does not know."""

JPEG_FORMATS = ("JPEG", "MPO")
"""Pillow's names of JPEG; MPO is one with further pictures behind it."""

JPEG_PX_FACTOR = 4
"""A JPEG may have so many times the pixels of other pictures: it can be reduced while it is decoded, by 2 or more a side."""

REDUCED_SIDE_PX = 2304
"""Long side in px down to which a style picture may be reduced while it is read: with its border, what is used of it."""

REDUCED = {
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
"""Factor -> how OpenCV decodes a picture that much smaller per side."""


def is_image(path: str | Path) -> bool:
    """Whether the name ends like a still picture's that can be read and written."""
    return Path(path).suffix.lower() in IMAGE_EXTENSIONS


def is_still(name: str | Path) -> bool:
    """Whether an input is read as a still picture: by the ending of its name, or as a HEIF picture of any name.

    A file that ends like a HEIF picture but holds a sequence of them, such as an animated AVIF, is a clip.
    """
    if is_image(name):
        return True
    brand = major_brand(name)
    return brand in HEIF_BRANDS or (not brand and Path(name).suffix.lower() in HEIF_ENDINGS)


NUMBER = r"%(?:\d+d|d(?![^\W\d_]))"
"""``%05d``, or a ``%d`` that no letter follows: ``100%dope.png`` is a name like any other."""


def is_numbered(name: str | Path) -> bool:
    """Whether a name stands for numbered pictures: it has one ``%d`` or ``%05d``, and is not itself a file's."""
    return len(re.findall(NUMBER, Path(name).name)) == 1 and not Path(name).exists()


def numbered(pattern: Path, number: int) -> Path:
    """The file of such a name with this number. Other % in the name are only that."""
    return pattern.with_name(re.sub(NUMBER, lambda match: match[0] % number, pattern.name))


def numbers_of(pattern: Path) -> list[int]:
    """The numbers of the files there are of such a name, in order."""
    before, after = re.split(NUMBER, pattern.name)
    named = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
    try:
        found = (named.fullmatch(path.name) for path in pattern.parent.iterdir())
        numbers = sorted({int(match[1]) for match in found if match})
    except OSError:
        return []
    return [number for number in numbers if numbered(pattern, number).is_file()]


def bundled_styles() -> dict[str, Path]:
    """The style pictures that come with vidstyle: name -> file."""
    package = Path(__file__).parent.parent
    folders = (
        package / "data" / "styles",
        package.parent / "samples" / "styles",
    )  # installed; in a checkout
    found = next((folder for folder in folders if folder.is_dir()), None)
    return {} if found is None else {path.stem: path for path in sorted(found.glob("*.jpg"))}


def style_file(name: str | Path) -> str | Path:
    """A file's name as it is; the file of a style that comes with vidstyle where that is named."""
    return name if Path(name).exists() else bundled_styles().get(str(name), name)


def decode_image(
    data: bytes,
    name: str = "the picture",
    most_px: int | None = None,
    reduced: bool = False,
    warn: Callable[..., None] = log.warning,
) -> NDArray[np.uint8] | None:
    """Decode a picture to (H, W, 3) uint8 sRGB, turned upright by its EXIF orientation; None where ``data`` is no picture.

    Args:
        data: the file's bytes.
        name: what warnings and errors call it.
        most_px: refuse, before anything is decoded, a picture of more pixels, or a JPEG of more than four times as many.
        reduced: whether a large picture may be made smaller by a whole factor, to no less than ``REDUCED_SIDE_PX``.
        warn: logs what of the data is not used, as ``logging.Logger.warning`` does.

    Raises:
        InputError: more pixels than ``most_px``, or a HEIC picture that cannot be decoded here.
    """
    image = _read(data, name, warn, False, most_px, reduced)
    return None if image is None else np.ascontiguousarray(to_8_bits(image)[..., :3])


def jpeg(image: Image) -> bytes:
    """(H, W, 3 or 4) RGB(A) as a JPEG file, without alpha."""
    bgr = np.ascontiguousarray(to_8_bits(image)[..., 2::-1])
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


def _decoded(data: bytes, flags: int) -> NDArray[Any] | None:
    if not data:
        return None
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # more pixels than OpenCV reads
        return None


def _with_alpha(upright: NDArray[Any], data: bytes) -> NDArray[Any]:
    """The alpha of ``data`` beside its colours. OpenCV gives it only as stored: it is turned as the colours were."""
    stored = _decoded(data, cv2.IMREAD_UNCHANGED)
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
    """Read a picture as (H, W, 3) sRGB, or 4 with alpha, turned upright by its EXIF orientation; uint16 for more than 8 bits.

    Args:
        path: the file.
        reduced: whether a large picture may be made smaller by a whole factor, to no less than ``REDUCED_SIDE_PX``.
        warn: logs what of the file is not used: further pictures, a colour profile that is damaged.

    Raises:
        InputError: missing, a directory, empty, or no picture.
    """
    path = check_readable(path)
    image = _read(path.read_bytes(), str(path), warn, True, None, reduced)
    if image is None:
        raise InputError(
            f"{path} is not a picture that can be read, or one of more than 2^28 px: use a PNG, JPEG, WebP, BMP or TIFF file"
        )
    return image


def _read(
    data: bytes,
    name: str,
    warn: Callable[..., None],
    deep: bool,
    most_px: int | None,
    reduced: bool,
) -> Image | None:
    """(H, W, 3 or 4) RGB(A) in sRGB; None where ``data`` is no picture, or of unknown size where ``most_px`` is given."""

    def tell(words: str) -> None:
        warn("%s %s", name, words)

    try:
        header = _header(data, name)
    except Pillow.DecompressionBombError:
        if most_px is not None or is_heif(data):
            raise InputError(
                f"{name} has more pixels than are read here: make it smaller first"
            ) from None
        tell(
            "has so many pixels that its colour profile is not looked at: its colours are taken for sRGB"
        )
        return _upright_by_opencv(data, deep, 1)
    if header is None:
        return _upright_by_opencv(data, deep, 1) if most_px is None else None
    if most_px is not None:
        _check_pixels(header, name, most_px)
    if _is_one_of_several(header):
        tell("holds more than one picture: only the first is used")
    if _is_adobe_rgb_by_name(header):
        tell(
            "is in Adobe RGB without a colour profile: its colours are taken for sRGB and will look pale"
        )
    factor = _factor(header.size) if reduced and header.format in JPEG_FORMATS else 1
    profile = header.info.get("icc_profile")
    if is_heif(data) or (profile and header.mode == "CMYK"):
        image: Image | None = _upright_by_pillow(header, name, factor, tell)
    else:
        image = _upright_by_opencv(data, deep, factor)
    if image is None:
        return None
    image = _reduced(image) if reduced else image
    return (
        to_srgb(image, profile, header.mode, tell) if profile and header.mode != "CMYK" else image
    )


def _header(data: bytes, name: str) -> Pillow.Image | None:
    """What a file says of its picture, which is not decoded yet; None where Pillow does not know it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if is_heif(data):
            return open_heif(data, name)
        try:
            return Pillow.open(io.BytesIO(data), formats=HEADER_FORMATS)
        except DAMAGED:
            return None


def _check_pixels(header: Pillow.Image, name: str, most_px: int) -> None:
    width, height = header.size
    allowed = most_px * (JPEG_PX_FACTOR if header.format in JPEG_FORMATS else 1)
    if width * height > allowed:
        size = f"{width}x{height} px, more than {allowed / 1e6:.0f} million"
        raise InputError(
            f"{name} has {size}: make it smaller, or save it as JPEG, of which more are read"
        )


def _is_one_of_several(header: Pillow.Image) -> bool:
    """Whether a file holds an animation or further pages. The further pictures of an MPO (a JPEG) are previews and maps."""
    try:
        return header.format not in JPEG_FORMATS and getattr(header, "is_animated", False)
    except DAMAGED:
        return False


def _is_adobe_rgb_by_name(header: Pillow.Image) -> bool:
    """Whether a JPEG says by EXIF alone that it is in Adobe RGB, as cameras that are set to it do (Exif 2.3, R03)."""
    if header.format not in JPEG_FORMATS or header.info.get("icc_profile"):
        return False
    try:
        exif = header.getexif()
        return str(
            exif.get_ifd(ExifTags.IFD.Interop).get(ExifTags.Interop.InteropIndex, "")
        ).startswith("R03")
    except DAMAGED:
        return False


def _factor(size: tuple[int, int]) -> int:
    """The largest of 1, 2, 4, 8 by which a picture can be reduced to no less than ``REDUCED_SIDE_PX``."""
    return next((factor for factor in (8, 4, 2) if max(size) // factor >= REDUCED_SIDE_PX), 1)


def _reduced(image: Image) -> Image:
    factor = _factor((image.shape[1], image.shape[0]))
    size = max(1, image.shape[1] // factor), max(1, image.shape[0] // factor)
    return image if factor == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _upright_by_opencv(data: bytes, deep: bool, factor: int) -> Image | None:
    """(H, W, 3) RGB, or 4 where ``deep`` and there is alpha, reduced by ``factor`` where that is not 1."""
    if factor > 1:
        bgr = _decoded(data, REDUCED[factor])
    else:
        bgr = _decoded(data, cv2.IMREAD_COLOR | (cv2.IMREAD_ANYDEPTH if deep else 0))
    if bgr is not None and bgr.dtype not in (np.uint8, np.uint16):  # a TIFF of floats
        bgr = _decoded(data, cv2.IMREAD_COLOR)
    if bgr is None:
        return None
    image = _with_alpha(bgr, data) if deep and factor == 1 else bgr
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def _upright_by_pillow(
    header: Pillow.Image, name: str, factor: int, tell: Callable[[str], None]
) -> Image:
    """(H, W, 3 or 4) uint8 RGB(A), with CMYK converted by its profile; a JPEG reduced by ``factor``.

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
    except DAMAGED as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{name} is a picture that is damaged ({reason}): get it again, or save it as PNG"
        ) from None


def write_image(path: Path, image: Image, comment: str = "") -> None:
    """Write RGB(A); the kind is chosen by the name's ending. ``comment`` is kept as XMP dc:description.

    An existing file is replaced only by a whole one.

    Raises:
        OutputError: it cannot be written.
    """
    if image.dtype == np.uint16 and path.suffix.lower() not in DEEP_ENDINGS:
        image = to_8_bits(image)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    ending = path.suffix.lower()
    options = [cv2.IMWRITE_JPEG_QUALITY, 95] if ending in (".jpg", ".jpeg") else []
    try:
        if comment and ending in DESCRIBED_ENDINGS:
            block = np.frombuffer(_xmp(comment).encode(), np.uint8)
            done, data = cv2.imencodeWithMetadata(
                ending, bgr, [cv2.IMAGE_METADATA_XMP], [block], options
            )
        else:
            done, data = cv2.imencode(ending, bgr, options)
    except cv2.error as error:
        raise OutputError(
            f"cannot encode {path}: {error.err}: choose another ending, such as .png"
        ) from None
    if not done:
        raise OutputError(f"cannot encode {path}: choose another ending, such as .png")
    try:
        write_file(path, data.tobytes())
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror}: free some space or choose another place"
        ) from None


def _xmp(comment: str) -> str:
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:description><rdf:Alt><rdf:li xml:lang="x-default">'
        f"{escape(comment)}</rdf:li></rdf:Alt></dc:description></rdf:Description></rdf:RDF></x:xmpmeta>"
        '<?xpacket end="w"?>'
    )
