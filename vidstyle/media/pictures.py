"""Still pictures in and out, through OpenCV. The only place that knows OpenCV keeps colours as BGR."""

import re
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, OutputError
from .files import check_readable
from .frame import Image, to_8_bits

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # it prints its own lines about files we refuse in ours

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
JPEG_QUALITY = 85
DEEP_ENDINGS = (".png", ".tif", ".tiff")  # those that hold 16 bits
DESCRIBED_ENDINGS = (".png", ".jpg", ".jpeg", ".webp")  # those OpenCV can write XMP into


def is_picture(path: str | Path) -> bool:
    """Whether the name ends like a still picture's."""
    return Path(path).suffix.lower() in PICTURE_ENDINGS


NUMBER = r"%0?\d*d"


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
    folders = (package / "data" / "styles", package.parent / "samples" / "styles")  # installed; in a checkout
    found = next((folder for folder in folders if folder.is_dir()), None)
    return {} if found is None else {path.stem: path for path in sorted(found.glob("*.jpg"))}


def style_file(name: str | Path) -> str | Path:
    """A file's name as it is; the file of a style that comes with vidstyle where that is named."""
    return name if Path(name).exists() else bundled_styles().get(str(name), name)


def decode_picture(data: bytes) -> NDArray[np.uint8] | None:
    """(H, W, 3) uint8 RGB, turned upright by its EXIF orientation; None where ``data`` is no picture."""
    image = _decoded(data, cv2.IMREAD_COLOR)
    return None if image is None else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


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
    for turned in (np.rot90(side, times) for side in (stored, stored[:, ::-1]) for times in range(4)):
        if turned.shape[:2] == upright.shape[:2] and np.array_equal(turned[..., :3], upright):
            return np.ascontiguousarray(turned)
    return upright


def read_picture(path: str | Path) -> Image:
    """(H, W, 3) RGB, or 4 with alpha, turned upright by its EXIF orientation; uint16 where there are more than 8 bits.

    Raises:
        InputError: missing, a directory, empty, or no picture.
    """
    path = check_readable(path)
    data = path.read_bytes()
    bgr = _decoded(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if bgr is not None and bgr.dtype not in (np.uint8, np.uint16):  # a TIFF of floats
        bgr = _decoded(data, cv2.IMREAD_COLOR)
    if bgr is None:
        raise InputError(
            f"{path} is not a picture that can be read, or one of more than 2^28 px: use a PNG, JPEG, WebP, BMP or TIFF file"
        )
    image = _with_alpha(bgr, data)
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def write_picture(path: Path, image: Image, comment: str = "") -> None:
    """Write RGB(A); the kind is chosen by the name's ending. ``comment`` is kept as XMP dc:description.

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
            done, data = cv2.imencodeWithMetadata(ending, bgr, [cv2.IMAGE_METADATA_XMP], [block], options)
        else:
            done, data = cv2.imencode(ending, bgr, options)
    except cv2.error as error:
        raise OutputError(f"cannot encode {path}: {error.err}: choose another ending, such as .png") from None
    if not done:
        raise OutputError(f"cannot encode {path}: choose another ending, such as .png")
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}: free some space or choose another place") from None


def _xmp(comment: str) -> str:
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:description><rdf:Alt><rdf:li xml:lang="x-default">'
        f"{escape(comment)}</rdf:li></rdf:Alt></dc:description></rdf:Description></rdf:RDF></x:xmpmeta>"
        '<?xpacket end="w"?>'
    )
