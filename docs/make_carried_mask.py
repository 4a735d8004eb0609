"""Make docs/carried-mask.webp: a mask drawn on the first frame of a clip, carried along the motion.

python docs/make_carried_mask.py
"""

import tempfile
from fractions import Fraction
from functools import partial
from pathlib import Path

import cv2
from make_mask import CLIP, ROOT, boat_masks, read, save

import vidstyle as vs
from vidstyle.mask_clip import carry_masks
from vidstyle.progress import ProgressDisplay

OUTPUT = ROOT / "docs" / "carried-mask.webp"
QUIET = partial(ProgressDisplay, quiet=True)


def main():
    """Write the animation: the mask on the frames, and the clip stylised outside it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cv2.imwrite(str(folder / "first.png"), boat_masks(read(CLIP))[0])
        drawn = {Fraction(0): folder / "first.png"}
        overlay = folder / "overlay.mkv"
        carry_masks(CLIP, drawn, [folder / "mask.mkv", overlay], make_display=QUIET)
        regions = [{"mask": folder / "mask.mkv", "strength": 0.0}]
        vs.render(CLIP, "strokes", folder / "out.mkv", regions=regions, codec="ffv1")
        save([read(overlay), read(folder / "out.mkv")], OUTPUT)


if __name__ == "__main__":
    main()
