"""Make docs/motion.webp: a fast pan, without and with the backward pass, in motion.

python docs/make_motion.py
"""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

import vidstyle as vs

ROOT = Path(__file__).parent.parent
OUTPUT = ROOT / "docs" / "motion.webp"
IMAGE = ROOT / "samples" / "pictures" / "street.jpg"
STYLE = ROOT / "samples" / "styles" / "strokes.jpg"

FRAMES = 24
SIZE = (256, 192)
"""(width, height) in px of a frame and of each of the three cells."""

STEP_PX = 12
"""Motion of the camera per frame; it turns round after half of the frames."""

FRAME_MS = 125
QUALITY = 70


def pan_frames():
    """Frames of a camera that pans over the sample image and back."""
    image = cv2.imread(str(IMAGE))[..., ::-1]
    width, height = SIZE
    scale = 1.1 * max(height / image.shape[0], (width + STEP_PX * FRAMES / 2) / image.shape[1])
    large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    lefts = [STEP_PX * min(number, FRAMES - number) for number in range(FRAMES)]
    return [np.ascontiguousarray(large[:height, left : left + width]) for left in lefts]


def main():
    """Write the animation: source, without and with the backward pass."""
    frames = pan_frames()
    columns = [frames]
    for steps in (0, vs.PRESETS["standard"].backward_steps):
        columns.append(list(vs.stylize_video(frames, STYLE, backward_steps=steps)))
    images = [Image.fromarray(np.hstack(cells)) for cells in zip(*columns, strict=True)]
    images[0].save(
        OUTPUT, save_all=True, append_images=images[1:], duration=FRAME_MS, quality=QUALITY, loop=0
    )


if __name__ == "__main__":
    main()
