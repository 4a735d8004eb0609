"""Make docs/fast-object.webp: an object that moves far in each frame, without and with matching.

    python docs/make_fast_object.py

A card with a portrait crosses a picture by 40 px per frame. Columns: the clip, --flow dis,
--flow match.
"""

import numpy as np
from make_mask import ROOT, STYLE, save
from PIL import Image

import vidstyle as vs

OUTPUT = ROOT / "docs" / "fast-object.webp"
FRAMES = 7
SIZE = 320, 180
"""(width, height) in px of a frame."""

SIDE, FIRST, STEP = 48, (8, 50), (40, 6)
"""Side of the card, its first position and its displacement per frame, px."""

WALL_BOX, CARD_BOX = (0, 60, 640, 420), (200, 100, 440, 340)
"""(left, top, right, bottom) in px of the parts of the street and of the portrait."""


def picture(name, box, size):
    """Part of a sample picture: box of (left, top, right, bottom) in px, reduced to a size."""
    with Image.open(ROOT / "samples" / "pictures" / f"{name}.jpg") as image:
        return np.asarray(image.convert("RGB").resize(size, Image.Resampling.LANCZOS, box))


def card_frames():
    """The images of the clip."""
    wall, card = picture("street", WALL_BOX, SIZE), picture("portrait", CARD_BOX, (SIDE, SIDE))
    frames = []
    for number in range(FRAMES):
        x, y = (start + number * step for start, step in zip(FIRST, STEP, strict=True))
        frames.append(wall.copy())
        frames[-1][y : y + SIDE, x : x + SIDE] = card
    return frames


def card_change(images):
    """RMS change of the card, without its rim, from one image to the next, levels of 0 to 255."""
    x, y = (np.arange(FRAMES) * step + start for start, step in zip(FIRST, STEP, strict=True))
    inner = slice(4, SIDE - 4)
    cards = [
        image[top : top + SIDE, left : left + SIDE][inner, inner].astype(float)
        for image, left, top in zip(images, x, y, strict=True)
    ]
    return np.sqrt(np.mean(np.square(np.diff(cards[1:], axis=0))))


def main():
    """Write the animation, and print how much the card changes in each column."""
    frames = card_frames()
    columns = [frames]
    columns += [list(vs.stylize_video(frames, STYLE, flow=flow)) for flow in ("dis", "match")]
    save(columns, OUTPUT)
    print("source, dis, match:", *(f"{card_change(images):.1f}" for images in columns))


if __name__ == "__main__":
    main()
