"""Make docs/regions.webp: a clip, and the clip with other styles in the region of a mask.

python docs/make_regions.py
"""

import tempfile
from pathlib import Path

import cv2
from make_mask import CLIP, ROOT, boat_masks, read, reduced, save

import vidstyle as vs

OUTPUT = ROOT / "docs" / "regions.webp"

LOOKS = (
    ("ink", {"style": "glass", "style_scale": 0.5}),
    ("strokes", {"style": "paper"}),
    ("strokes", {"strength": 0.0}),
)
"""Style of the frame, and that of the boat or its strength."""


def main():
    """Write the animation."""
    frames = read(CLIP)
    columns = [frames]
    with tempfile.TemporaryDirectory() as folder:
        for number, mask in enumerate(boat_masks(frames)):
            cv2.imwrite(f"{folder}/mask_{number:05d}.png", mask)
        for number, (style, region) in enumerate(LOOKS):
            output = Path(folder) / f"out{number}.mkv"
            regions = [{"mask": f"{folder}/mask_%05d.png", **region}]
            vs.render(CLIP, style, output, regions=regions, codec="ffv1")
            columns.append(read(output))
    save([reduced(column) for column in columns], OUTPUT)


if __name__ == "__main__":
    main()
