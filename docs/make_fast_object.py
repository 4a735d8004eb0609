"""Make docs/fast-object.webp: an object that moves far in each frame, without and with matching.

    python docs/make_fast_object.py

A card with a portrait crosses a picture by 40 px per frame. Columns: the clip, --flow dis,
--flow match.
"""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

import vidstyle as vs

ROOT = Path(__file__).parent.parent
OUTPUT = ROOT / "docs" / "fast-object.webp"
STYLE = ROOT / "samples" / "styles" / "strokes.jpg"
RATE = Fraction(6)
FRAMES = 7
SIZE = 320, 180
"""(width, height) in px of a frame."""

SIDE, FIRST, STEP = 48, (8, 50), (40, 6)
"""Side of the card, its first position and its displacement per frame, px."""

WALL_BOX, CARD_BOX = (0, 60, 640, 420), (200, 100, 440, 340)
"""(left, top, right, bottom) in px of the parts of the street and of the portrait."""

QUALITY = 80


def picture(name, box, size):
    """Part of a sample picture: box of (left, top, right, bottom) in px, reduced to a size."""
    with Image.open(ROOT / "samples" / "pictures" / f"{name}.jpg") as image:
        return np.asarray(image.convert("RGB").resize(size, Image.Resampling.LANCZOS, box))


def frames():
    """The frames of the clip."""
    wall, card = picture("street", WALL_BOX, SIZE), picture("portrait", CARD_BOX, (SIDE, SIDE))
    made = []
    for number in range(FRAMES):
        image = wall.copy()
        x, y = (start + number * step for start, step in zip(FIRST, STEP, strict=True))
        image[y : y + SIDE, x : x + SIDE] = card
        made.append(vs.Frame(image, number / RATE, 1 / RATE))
    return made


def stylised(clip, flow, features, style):
    """The stylised images of the clip with an optical flow method."""
    stylizer = vs.Stylizer(features, style, vs.PRESETS["standard"])
    method = vs.load_flow(flow, features.device)
    return [stylizer(frame, motion).image for frame, motion in vs.with_motion(clip, method)]


def main():
    """Write the clip."""
    clip = frames()
    features = vs.load_features("bundled")
    style = vs.Style.from_images([STYLE], features)
    columns = [[frame.image for frame in clip]]
    columns += [stylised(clip, flow, features, style) for flow in ("dis", "match")]
    images = [
        Image.fromarray(np.hstack([cv2.resize(image, SIZE) for image in row]))
        for row in zip(*columns, strict=True)
    ]
    duration = round(1000 / RATE)
    images[0].save(
        OUTPUT, save_all=True, append_images=images[1:], duration=duration, loop=0, quality=QUALITY
    )


if __name__ == "__main__":
    main()
