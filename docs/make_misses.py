"""Make docs/misses.jpg: crops at full size of three pictures of the gallery that miss a target.

python docs/make_misses.py

Each row shows the style, the picture, and the content at the same place.
"""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

import vidstyle as vs

ROOT = Path(__file__).parent.parent
OUTPUT = ROOT / "docs" / "misses.jpg"

CROPS = (
    ("portrait", "mosaic", (190, 70)),
    ("street", "engraving", (40, 100)),
    ("street", "watercolor", (200, 100)),
)
"""Content, style, and the left upper corner of the crop in px of a picture of 512 px."""

CROP = (256, 192)
"""(width, height) of a crop in px."""

LONG_SIDE, STYLE_CORNER, QUALITY = 512, (120, 80), 88


def read(path):
    """An image at the size of the pictures."""
    image = np.asarray(Image.open(path).convert("RGB"))
    scale = LONG_SIDE / max(image.shape[:2])
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def crop(image, corner):
    """The part of an image of the size of a crop."""
    x, y = corner
    return image[y : y + CROP[1], x : x + CROP[0]]


def main():
    """Write the picture."""
    features = vs.load_features()
    rows = []
    for content, style, corner in CROPS:
        source = read(ROOT / "samples" / "pictures" / f"{content}.jpg")
        path = ROOT / "samples" / "styles" / f"{style}.jpg"
        stylizer = vs.Stylizer(
            features, vs.Style.from_images([path], features), vs.PRESETS["still"]
        )
        picture = stylizer(vs.Frame(source)).image
        parts = crop(read(path), STYLE_CORNER), crop(picture, corner), crop(source, corner)
        rows.append(np.hstack(parts))
    Image.fromarray(np.vstack(rows)).save(OUTPUT, quality=QUALITY)


if __name__ == "__main__":
    main()
