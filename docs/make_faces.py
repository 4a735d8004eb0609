"""Make docs/faces.jpg: a portrait, stylised with --faces paint and with --faces keep, the default.

python docs/make_faces.py

The photograph comes with scikit-image: the astronaut Eileen Collins (NASA, public domain).
"""

import cv2
import numpy as np
from make_mask import ROOT
from skimage import data

import vidstyle as vs

OUTPUT = ROOT / "docs" / "faces.jpg"

STYLES = "mosaic", "strokes"

SIDE_PX = 384
"""Side in px at which the photograph is stylised."""

PART = (slice(0, 250), slice(70, 300))
"""Rows and columns that are shown."""


def main():
    """Write the picture."""
    photograph = cv2.resize(data.astronaut(), (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    cells = [photograph]
    for style in STYLES:
        cells += [vs.stylize(photograph, style, faces=faces) for faces in ("paint", "keep")]
    sheet = np.hstack([cell[PART] for cell in cells])
    cv2.imwrite(str(OUTPUT), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
