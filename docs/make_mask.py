"""Make docs/mask.webp: a clip, its mask, and the clip stylised inside the mask and outside.

python docs/make_mask.py
"""

import tempfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

import vidstyle as vs

ROOT = Path(__file__).parent.parent
OUTPUT = ROOT / "docs" / "mask.webp"
CLIP = ROOT / "samples" / "clips" / "boat.mp4"
STYLE = ROOT / "samples" / "styles" / "strokes.jpg"

MIN_DIFFERENCE = 24
"""Levels by which the boat differs from the background at least."""

RED_EXCESS, WHITE = 60, 200
"""Levels by which red exceeds blue in red things, and least level of white ones."""

SIZE = (240, 135)
"""(width, height) in px of each of the four cells."""

FRAME_MS = 125
QUALITY = 70


def boat_masks(frames):
    """(H, W, 3) uint8 per frame: white at the red and white things that move."""
    background = np.median(np.stack(frames), 0)
    masks = []
    for frame in frames:
        difference = np.abs(frame - background).max(-1)
        red, _, blue = (frame[..., channel].astype(int) for channel in range(3))
        boat = (red > blue + RED_EXCESS) | (frame.min(-1) > WHITE)
        mask = ((difference > MIN_DIFFERENCE) & boat).astype(np.uint8) * 255
        mask[frame.shape[0] * 2 // 3 :] = 0  # reflections on the water
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
        mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
        _, labels, areas, _ = cv2.connectedComponentsWithStats(mask)
        largest = 1 + np.argmax(areas[1:, cv2.CC_STAT_AREA])
        mask = (labels == largest).astype(np.uint8) * 255
        masks.append(np.repeat(cv2.GaussianBlur(mask, (0, 0), 1.5)[..., None], 3, -1))
    return masks


def read(path):
    """The images of a clip."""
    with vs.open_source(path) as source:
        return [frame.image for frame in source]


def save(columns, path):
    """Write an animation whose frames show the images of all columns side by side."""
    sheets = [Image.fromarray(np.hstack(row)) for row in zip(*columns, strict=True)]
    sheets[0].save(
        path, save_all=True, append_images=sheets[1:], duration=FRAME_MS, quality=QUALITY, loop=0
    )


def reduced(images, size=SIZE):
    """The images at a (width, height) in px."""
    return [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images]


def main():
    """Write the animation."""
    frames = read(CLIP)
    masks = boat_masks(frames)
    columns = [frames, masks]
    with tempfile.TemporaryDirectory() as folder:
        for number, mask in enumerate(masks):
            cv2.imwrite(f"{folder}/mask_{number:05d}.png", mask)
        sequence = f"{folder}/mask_%05d.png"
        for invert in (False, True):
            output = Path(folder) / f"out{invert}.mkv"
            vs.render(CLIP, STYLE, output, mask=sequence, mask_invert=invert, codec="ffv1")
            columns.append(read(output))
    save([reduced(column) for column in columns], OUTPUT)


if __name__ == "__main__":
    main()
