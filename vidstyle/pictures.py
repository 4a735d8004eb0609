"""Still pictures in and out, through OpenCV. The only place that knows OpenCV keeps colours as BGR."""

from pathlib import Path
from xml.sax.saxutils import escape

import cv2
import numpy as np
from numpy.typing import NDArray

from .errors import InputError, OutputError
from .files import check_readable
from .frame import Image

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # it prints its own lines about files we refuse in ours

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
DESCRIBED_ENDINGS = (".png", ".jpg", ".jpeg", ".webp")  # those OpenCV can write XMP into


def is_picture(path: str | Path) -> bool:
    """Whether the name ends like a still picture's."""
    return Path(path).suffix.lower() in PICTURE_ENDINGS


def decode_picture(data: bytes) -> NDArray[np.uint8] | None:
    """(H, W, 3) uint8 RGB, turned upright by its EXIF orientation; None where ``data`` is no picture."""
    if not data:
        return None
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # more pixels than OpenCV reads
        return None
    return None if image is None else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def read_picture(path: str | Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB, turned upright by its EXIF orientation. Alpha is dropped.

    Raises:
        InputError: missing, a directory, empty, or no picture.
    """
    path = check_readable(path)
    image = decode_picture(path.read_bytes())
    if image is None:
        raise InputError(f"{path} is not a picture that can be read: use a PNG, JPEG, WebP, BMP or TIFF file")
    return image


def write_picture(path: Path, image: Image, comment: str = "") -> None:
    """Write RGB(A); the kind is chosen by the name's ending. ``comment`` is kept as XMP dc:description.

    Raises:
        OutputError: it cannot be written.
    """
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
