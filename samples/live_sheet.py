"""A contact sheet of the window of `vidstyle live`, five seconds after each change of style.

python samples/live_sheet.py OUT.jpg CLIP
"""

import sys
import time
from pathlib import Path

import cv2
import numpy as np

import vidstyle as vs
from vidstyle.live.camera import PacedFile
from vidstyle.live.defaults import live_settings
from vidstyle.live.loop import live
from vidstyle.live.session import Session, prepare_styles
from vidstyle.live.startup import LiveOptions
from vidstyle.live.window import draw_text

STYLES = ("strokes", "dots", "engraving", "glass", "ink", "mosaic", "paper")
"""The session starts with the first style; the sheet shows the others."""

SECONDS, COLUMNS, CELL = 5.0, 3, (480, 270)


class SheetWindow:
    """A window that selects the next style, and keeps the frame shown ``SECONDS`` later."""

    def __init__(self):
        self.kept = []
        self._key, self._until = None, None

    def show(self, image, lines=()):
        now = time.monotonic()
        if self._until and now < self._until:
            return
        if self._until:
            bgr = cv2.resize(image[..., ::-1], CELL, interpolation=cv2.INTER_CUBIC)
            self.kept.append(draw_text(bgr, lines))
        self._key, self._until = "n", now + SECONDS

    def key(self):
        key, self._key = self._key, None
        return "q" if len(self.kept) == len(STYLES) - 1 else key

    def close(self):
        pass


def main():
    features = vs.load_features("bundled")
    folder = Path(__file__).parent / "styles"
    styles = [(name, vs.Style.from_images([folder / f"{name}.jpg"], features)) for name in STYLES]
    stylizer = vs.Stylizer(features, styles[0][1], live_settings())
    window = SheetWindow()
    with PacedFile(sys.argv[2], loop=True) as camera:
        prepare_styles([style for _, style in styles], stylizer, camera.format.size)
        live(Session(LiveOptions(), camera, stylizer, styles, window), camera, stylizer)
    rows = [np.hstack(window.kept[n : n + COLUMNS]) for n in range(0, len(window.kept), COLUMNS)]
    cv2.imwrite(sys.argv[1], np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
