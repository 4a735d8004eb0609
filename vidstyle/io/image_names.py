"""Names of image files and of image sequences."""

import re
from pathlib import Path

from .heif import HEIF_BRANDS, HEIF_EXTENSIONS, major_brand

IMAGE_EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


def is_image(path: str | Path) -> bool:
    """Whether a name has the extension of an image format that can be read and written."""
    return Path(path).suffix.lower() in IMAGE_EXTENSIONS


def is_still(name: str | Path) -> bool:
    """Whether an input is a still image: by its extension, or a HEIF image of any name.

    A HEIF file with a sequence of images, such as an animated AVIF, is a clip.
    """
    if is_image(name):
        return True
    brand = major_brand(name)
    return brand in HEIF_BRANDS or (not brand and Path(name).suffix.lower() in HEIF_EXTENSIONS)


NUMBER_PATTERN = r"%(?:\d+d|d(?![^\W\d_]))"
"""``%05d``, or a ``%d`` without a letter behind it: ``100%dope.png`` is an ordinary name."""


def is_numbered(name: str | Path) -> bool:
    """Whether a name with one ``%d`` or ``%05d``, which is no file itself, is an image sequence."""
    return len(re.findall(NUMBER_PATTERN, Path(name).name)) == 1 and not Path(name).exists()


def image_path(pattern: Path, number: int) -> Path:
    """The file of an image sequence with this number. Other percent signs are kept."""
    return pattern.with_name(re.sub(NUMBER_PATTERN, lambda match: match[0] % number, pattern.name))


def unnumbered_stem(pattern: Path) -> str:
    """The name of an image sequence without its number and ending: ``frame`` of
    ``frame_%05d.png``. A pattern that is a number alone gives ``frames``."""
    return re.sub(NUMBER_PATTERN, "", pattern.stem).rstrip("_-. ") or "frames"


def existing_numbers(pattern: Path) -> list[int]:
    """The numbers of the existing files of an image sequence, in order."""
    before, after = re.split(NUMBER_PATTERN, pattern.name)
    named = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
    try:
        found = (named.fullmatch(path.name) for path in pattern.parent.iterdir())
        numbers = sorted({int(match[1]) for match in found if match})
    except OSError:
        return []
    return [number for number in numbers if image_path(pattern, number).is_file()]
