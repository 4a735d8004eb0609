"""How live stylisation looks: the objective of what viewers see, and how long a style takes.

    python benchmarks/live_look.py CLIP [--style NAME --style NAME]

What is shown is compared with a first frame of ``draft``, stylised from scratch for the same frame
of the camera at the same size: both are valued by the objective. ``live.py`` has these rows too.
"""

import argparse
import statistics
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

import vidstyle as vs
from vidstyle.bench.results import Row, row_text
from vidstyle.live.camera import PacedFile
from vidstyle.live.defaults import live_settings
from vidstyle.live.loop import live
from vidstyle.live.session import Session, prepare_styles
from vidstyle.live.startup import LiveOptions
from vidstyle.ops.tensors import resize, to_tensor
from vidstyle.styles import find_style

LOOK_SECONDS, LOOK_SAMPLES = 16.0, 8
"""Duration of each style in the session whose look is measured, and frames that are compared."""

SETTLED_SECONDS, SETTLED_LIMIT = 3.0, 1.1
"""The objective of the last seconds is the settled one; a style has settled below this multiple."""


class LookWindow:
    """Stand-in for the window: keeps what it shows for each of two styles, then closes."""

    def __init__(self):
        self.began, self.switched, self.losses = time.monotonic(), None, []
        self.samples, self.rates = [], []
        self.session = None

    def show(self, image, lines=()):
        now = time.monotonic()
        state = self.session.state
        if state.get("loss"):
            self.losses.append((now, state["frames"], state["loss"]))
        style_began = self.switched or self.began
        if now - style_began > LOOK_SECONDS - SETTLED_SECONDS:
            self.samples.append((self.switched is not None, image))
            self.rates.append(state["stylized_fps"])

    def key(self):
        now = time.monotonic()
        if self.switched is None and now - self.began > LOOK_SECONDS:
            self.switched = now
            return "n"
        if self.switched is not None and now - self.switched > LOOK_SECONDS:
            return "q"
        return None

    def close(self):
        pass


def settling_seconds(losses, began, ended):
    """Time from ``began`` until the objective stays near that before ``ended``."""
    per_frame = {frame: (when, loss) for when, frame, loss in reversed(losses)}
    within = sorted(pair for pair in per_frame.values() if began < pair[0] <= ended)
    settled = statistics.median(loss for when, loss in within if when > ended - SETTLED_SECONDS)
    # Two frames in a row: steps of a new pyramid level raise the objective for a while.
    for (_, before), (when, loss) in pairwise(within):
        if max(before, loss) < SETTLED_LIMIT * settled:
            return when - began
    return ended - began


def look_rows(features, styles, clip):
    """The objective of what is shown, and the time that a start and a change of style take.

    Args:
        features: of the styles.
        styles: two pairs of (name, style).
        clip: a file, played in a loop.
    """
    stylizer = vs.Stylizer(features, styles[0][1], live_settings())
    with PacedFile(clip, loop=True) as camera:
        size = camera.format.size
        prepare_styles([style for _, style in styles], stylizer, size)
        window = LookWindow()
        session = Session(LiveOptions(), camera, stylizer, styles, window)
        session.actions["side_by_side"]()
        window.session = session
        live(session, camera, stylizer)
    styles = [style for _, style in styles]
    samples = spread(window.samples, LOOK_SAMPLES)
    ratios = [ratio(stylizer, size, styles[switched], image) for switched, image in samples]
    first = min(when for when, _, _ in window.losses) - window.began
    start = settling_seconds(window.losses, window.began, window.switched)
    switch = settling_seconds(window.losses, window.switched, window.switched + LOOK_SECONDS)
    return [
        Row("stylised frames per second", statistics.median(window.rates), "", ">= 12"),
        Row(
            "objective of what is shown, relative to a first frame",
            statistics.mean(ratios),
            "",
            "<= 1.8",
        ),
        Row("session to the first stylised frame", first, "s", "<= 0.3"),
        Row(
            "start: time until the objective is within 10 % of the settled one", start, "s", "<= 3"
        ),
        Row("change of style: time until then, with a crossfade of 1 s", switch, "s", "<= 3"),
    ]


def spread(items, count):
    """So many of the items, evenly spaced."""
    return [items[round(n * (len(items) - 1) / (count - 1))] for n in range(count)]


def ratio(stylizer, frame_size, style, image):
    """Objective of a shown image, with the camera's frame to the left, over that of a first frame.

    Args:
        stylizer: of the session.
        frame_size: (width, height) of the camera's frames in px.
        style: of the image.
        image: (H, 2 W, 3) uint8.
    """
    size = stylizer.working_size(frame_size)
    width = image.shape[1] // 2
    source, shown = (np.ascontiguousarray(half) for half in (image[:, :width], image[:, width:]))
    judge = vs.Stylizer(stylizer.features, style, replace(live_settings(), working_size=max(size)))
    fresh = judge.stylize_reduced(vs.Frame(source), None, vs.PRESETS["draft"].initial_steps)
    objective = judge.objective(resize(to_tensor(source), size))
    with torch.no_grad():
        values = [
            float(objective(picture)["total"])
            for picture in (resize(to_tensor(shown), size), fresh)
        ]
    return values[0] / values[1]


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path)
    parser.add_argument("-s", "--style", action="append", help="two of them")
    args = parser.parse_args()
    features = vs.load_features("bundled", "auto")
    names = args.style or ["strokes", "watercolor"]
    styles = [(name, vs.Style.from_images([find_style(name)], features)) for name in names]
    for row in look_rows(features, styles, args.clip):
        print(row_text(row))


if __name__ == "__main__":
    main()
