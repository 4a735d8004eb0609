"""Make docs/timeline.webp: a clip whose style fades to another, then changes at once.

python docs/make_timeline.py
"""

import tempfile
from pathlib import Path

import cv2
from PIL import Image

import vidstyle as vs

ROOT = Path(__file__).parent.parent
OUTPUT = ROOT / "docs" / "timeline.webp"
CLIP = ROOT / "samples" / "clips" / "boat.mp4"

TIMELINE = [
    {"time": 0.4, "style": "ink", "fade": 0.6, "easing": "smooth"},
    {"time": 1.25, "style": "glass"},
    {"time": 1.5, "strength": 0.0, "fade": 0.4},
]

SIZE = (320, 180)
"""(width, height) in px."""

QUALITY = 60


def main():
    """Write the animation."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out.mkv"
        vs.render(CLIP, "strokes", output, timeline=TIMELINE, codec="ffv1")
        with vs.open_source(output) as source:
            frames = [*source]
    images = [
        Image.fromarray(cv2.resize(frame.image, SIZE, interpolation=cv2.INTER_AREA))
        for frame in frames
    ]
    duration = round(1000 * frames[0].duration)
    images[0].save(
        OUTPUT,
        save_all=True,
        append_images=images[1:],
        duration=duration,
        quality=QUALITY,
        loop=0,
    )


if __name__ == "__main__":
    main()
