"""Make docs/before-after.webp: a clip and its stylised versions, side by side.

    python docs/make_before_after.py [CLIP]

CLIP is any clip. Without it a camera moves towards the portrait in samples/pictures.
"""

import argparse
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

import vidstyle as vs

ROOT = Path(__file__).parent.parent
OUTPUT = ROOT / "docs" / "before-after.webp"
STYLES = ("strokes", "watercolor", "ink")
RATE = Fraction(8)
FRAMES = 16
SIZE = (256, 192)
"""(width, height) in px of a frame and of each of the four cells."""

SETTINGS = replace(vs.PRESETS["standard"], initial_steps=100)

MOST_BYTES = 3_000_000
QUALITIES = (80, 70, 60, 50, 40)

IMAGE = ROOT / "samples" / "pictures" / "portrait.jpg"
FIRST_VIEW, LAST_VIEW = (320, 240, 560), (320, 215, 320)
"""The camera's first and last view of the image: centre x, centre y and width in px."""


def sample_frames():
    """The frames of a camera that moves evenly over the sample image."""
    image = cv2.imread(str(IMAGE))[..., ::-1]
    width, height = SIZE
    frames = []
    for number, share in enumerate(np.linspace(0, 1, FRAMES)):
        x, y, across = (1 - share) * np.array(FIRST_VIEW) + share * np.array(LAST_VIEW)
        scale = across / width
        corner = x - scale * width / 2, y - scale * height / 2
        view = np.array([[scale, 0, corner[0]], [0, scale, corner[1]]])
        sampling = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        seen = cv2.warpAffine(image, view, SIZE, flags=sampling, borderMode=cv2.BORDER_REFLECT)
        frames.append(vs.Frame(seen, number / RATE, 1 / RATE))
    return frames


def clip_frames(path):
    """The first frames of a clip at RATE, in SIZE."""
    frames = []
    with vs.open_source(path) as source:
        for frame in source:
            if frame.time >= len(frames) / RATE:
                image = cv2.resize(frame.image[..., :3], SIZE, interpolation=cv2.INTER_AREA)
                frames.append(vs.Frame(image, len(frames) / RATE, 1 / RATE))
            if len(frames) == FRAMES:
                break
    return frames


def stylised(frames, style, features):
    """The stylised images of the frames."""
    stylizer = vs.Stylizer(features, style, SETTINGS)
    flow = vs.load_flow("dis", features.device)
    return [stylizer(frame, motion).image for frame, motion in vs.with_motion(frames, flow)]


def write(path, columns):
    """Write an animated WebP of cells in two rows, below MOST_BYTES."""
    images = [
        Image.fromarray(np.vstack([np.hstack(cells[:2]), np.hstack(cells[2:])]))
        for cells in zip(*columns, strict=True)
    ]
    for quality in QUALITIES:
        images[0].save(
            path,
            save_all=True,
            append_images=images[1:],
            duration=round(1000 / RATE),
            loop=0,
            quality=quality,
            method=6,
        )
        if path.stat().st_size < MOST_BYTES:
            return


def main():
    """Render and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", nargs="?", type=Path, metavar="CLIP")
    args = parser.parse_args()
    frames = clip_frames(args.clip) if args.clip else sample_frames()
    features = vs.load_features("bundled")
    columns = [[frame.image for frame in frames]]
    for name in STYLES:
        style = vs.Style.from_images([ROOT / "samples" / "styles" / f"{name}.jpg"], features)
        columns.append(stylised(frames, style, features))
    write(OUTPUT, columns)


if __name__ == "__main__":
    main()
