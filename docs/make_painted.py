"""Make docs/painted.webp: a clip, one frame of it painted by another program, and the result.

python docs/make_painted.py
"""

import tempfile
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from make_mask import CLIP, ROOT, read, reduced, save

import vidstyle as vs

OUTPUT = ROOT / "docs" / "painted.webp"

FRAME = 8
"""Number of the frame that is painted."""

COLORS = 7
"""Number of flat colours of the poster."""

PAPER, INK = (244, 236, 214), (38, 30, 46)
"""Colours that the poster's are drawn towards, bright and dark (RGB)."""

HATCH_PX = 9
"""Distance of the lines of the hatching."""


def poster(image):
    """(H, W, 3) uint8: an image in a few flat colours, with outlines and hatching."""
    smooth = image
    for _ in range(4):
        smooth = cv2.bilateralFilter(smooth, 9, 40, 9)
    _, labels, colors = cv2.kmeans(
        smooth.reshape(-1, 3).astype(np.float32),
        COLORS,
        None,
        (cv2.TERM_CRITERIA_MAX_ITER, 20, 1.0),
        3,
        cv2.KMEANS_PP_CENTERS,
    )
    light = colors.mean(1, keepdims=True) / 255
    colors = 0.55 * colors + 0.45 * (light * np.array(PAPER) + (1 - light) * np.array(INK))
    colors = np.clip(1.25 * (colors - 128) + 132, 0, 255)
    flat = colors[labels[:, 0]].reshape(image.shape).astype(np.float32)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    dark = cv2.cvtColor(smooth, cv2.COLOR_RGB2GRAY) < 110
    flat[((x + y) % HATCH_PX < 2) & dark] = PAPER
    gray = cv2.medianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), 5)
    lines = cv2.adaptiveThreshold(
        gray, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, 11, 5
    )
    flat[lines > 0] = INK
    return flat.astype(np.uint8)


def main():
    """Write the animation."""
    cv2.setRNGSeed(1)
    frames = read(CLIP)
    painted = poster(frames[FRAME])
    with vs.open_source(CLIP) as source:
        time = Fraction(FRAME) / source.format.rate
    with tempfile.TemporaryDirectory() as folder:
        painting, output = f"{folder}/painted.png", Path(folder) / "out.mkv"
        cv2.imwrite(painting, painted[..., ::-1])
        vs.render(CLIP, painting, output, painted={time: painting}, codec="ffv1")
        columns = [frames, [painted] * len(frames), read(output)]
    save([reduced(column) for column in columns], OUTPUT)


if __name__ == "__main__":
    main()
