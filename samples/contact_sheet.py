"""Write a contact sheet of clips, one row of frames per clip.

python samples/contact_sheet.py OUT.jpg CLIP [CLIP ...]
"""

import sys

import cv2
import numpy as np

import vidstyle as vs

COLUMNS, WIDTH = 4, 320


def row(path):
    """COLUMNS frames of a clip, evenly spaced, (H, COLUMNS * WIDTH, 3) BGR."""
    with vs.open_source(path) as source:
        images = [frame.image for frame in source]
    picked = [
        images[round(number * (len(images) - 1) / (COLUMNS - 1))] for number in range(COLUMNS)
    ]
    height = round(WIDTH * picked[0].shape[0] / picked[0].shape[1])
    return np.hstack(
        [
            cv2.resize(image[..., ::-1], (WIDTH, height), interpolation=cv2.INTER_AREA)
            for image in picked
        ]
    )


def main():
    cv2.imwrite(
        sys.argv[1], np.vstack([row(path) for path in sys.argv[2:]]), [cv2.IMWRITE_JPEG_QUALITY, 88]
    )


if __name__ == "__main__":
    main()
