"""Make docs/person.webp: a clip of a person, who is kept as filmed, stylised alone, and stylised in
a style of her own that fades to another one.

python docs/make_person.py

The clip is a camera that moves over a photograph that comes with scikit-image: the astronaut Eileen
Collins (NASA, public domain). GrabCut (Rother et al. 2004) finds the mask in the photograph.
"""

import tempfile
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from make_mask import ROOT, read, reduced, save
from skimage import data

import vidstyle as vs

OUTPUT = ROOT / "docs" / "person.webp"

FRAMES, RATE = 20, 8
SIZE = (320, 320)
"""(width, height) in px of the clip."""

CELL = (240, 240)
"""(width, height) in px of each of the four cells."""

ZOOM, SWAY_PX = 0.0125, 14
"""Growth of the picture per frame, and how far the camera sways, in px of the photograph."""

HEAD, HELMET = ((222, 105), (48, 72)), ((418, 425), (88, 88))
"""Center and half axes in px of ellipses inside the head and the helmet in the photograph."""

SUIT = ((60, 511), (85, 300), (150, 225), (285, 225), (350, 280), (350, 511))
"""Corners in px of a polygon inside the suit."""

MARGIN_PX = 35
"""How far the person may reach beyond these shapes."""

LOOKS = (
    {"regions": [{"mask": "person", "strength": 0.0}]},
    {"regions": [{"mask": "background", "strength": 0.0}]},
    {
        "regions": [{"mask": "person", "style": "paper"}],
        "timeline": [{"time": 0.75, "region": "person", "style": "watercolor", "fade": 1}],
    },
)
"""Of the columns; masks by their names."""


def person_mask(photograph):
    """(H, W) uint8, white at the person."""
    inside = np.zeros(photograph.shape[:2], np.uint8)
    for center, axes in (HEAD, HELMET):
        cv2.ellipse(inside, center, axes, 0, 0, 360, 1, -1)
    cv2.fillPoly(inside, [np.array(SUIT)], 1)
    near = cv2.dilate(inside, np.ones((2 * MARGIN_PX + 1, 2 * MARGIN_PX + 1), np.uint8))
    mask = np.where(near, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    mask[inside > 0] = cv2.GC_FGD
    models = np.zeros((2, 1, 65))
    cv2.grabCut(photograph[..., ::-1].copy(), mask, None, *models, 8, cv2.GC_INIT_WITH_MASK)
    found = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8) * 255
    _, labels, areas, _ = cv2.connectedComponentsWithStats(found)
    largest = (labels == 1 + np.argmax(areas[1:, cv2.CC_STAT_AREA])).astype(np.uint8) * 255
    closed = cv2.morphologyEx(largest, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    return cv2.GaussianBlur(closed, (0, 0), 1.5)


def view(image, number):
    """What the camera shows of a picture in a frame."""
    scale = image.shape[0] / SIZE[1] / (1 + ZOOM * number)
    center = np.array(image.shape[1::-1]) / 2 - [SWAY_PX * np.sin(number * 6 / FRAMES), 20]
    center = np.clip(center, scale * SIZE[1] / 2, image.shape[0] - scale * SIZE[1] / 2)
    corner = center - scale * np.array(SIZE) / 2
    matrix = np.array([[scale, 0, corner[0]], [0, scale, corner[1]]])
    return cv2.warpAffine(image, matrix, SIZE, flags=cv2.INTER_AREA | cv2.WARP_INVERSE_MAP)


def main():
    """Write the animation."""
    photograph = data.astronaut()
    mask = person_mask(photograph)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(FRAMES):
            frame = view(photograph, number)[..., ::-1]
            cv2.imwrite(f"{folder}/frame_{number:05d}.png", frame)
            inside = view(mask, number)
            cv2.imwrite(f"{folder}/person_{number:05d}.png", inside)
            cv2.imwrite(f"{folder}/background_{number:05d}.png", 255 - inside)
        clip = folder / "frame_%05d.png"
        columns = [[view(photograph, number) for number in range(FRAMES)]]
        for number, look in enumerate(LOOKS):
            regions = [
                {**each, "name": each["mask"], "mask": folder / f"{each['mask']}_%05d.png"}
                for each in look["regions"]
            ]
            output = folder / f"out{number}.mkv"
            options = {**look, "regions": regions, "rate": Fraction(RATE), "codec": "ffv1"}
            vs.render(clip, "strokes", output, **options)
            columns.append(read(output))
    save([reduced(column, CELL) for column in columns], OUTPUT)


if __name__ == "__main__":
    main()
