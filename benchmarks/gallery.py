"""Paint four contents in six styles with the bundled features, judge each, and make a contact sheet.

    python benchmarks/gallery.py [--long-side 512] [--redraw] [--features FILE --out FOLDER]

The sheet goes to docs/gallery.jpg, the figures to benchmarks/results/gallery.json; with ``--out`` both go there,
and the paintings too.
``--redraw`` paints nothing.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch

import vidstyle as vs
from vidstyle.bench.results import Row, machine, write_results
from vidstyle.io.frame import Frame, fit
from vidstyle.io.images import read_image, write_image
from vidstyle.metrics import colours_only, evaluate
from vidstyle.ops.tensors import resize, to_image, to_tensor

ROOT = Path(__file__).parent.parent
SHEET, RESULTS = ROOT / "docs" / "gallery.jpg", ROOT / "benchmarks" / "results" / "gallery.json"
PAINTINGS = ROOT / "build" / "gallery"
STYLES = ("strokes", "watercolor", "ink", "engraving", "paper", "mosaic")
FIGURES = (
    "style share",
    "structure",
    "strokes 1",
    "strokes 2",
    "strokes 3",
    "strokes 4",
    "gradient energy",
)
CELL = (240, 160)


def contents():
    """Name -> (H, W, 3) uint8: two pictures, and a frame of each sample clip."""
    found = {
        name: read_image(ROOT / "samples" / "pictures" / f"{name}.jpg")
        for name in ("street", "portrait")
    }
    for name in ("boat", "balloons"):
        with vs.open_source(ROOT / "samples" / "clips" / f"{name}.mp4") as source:
            found[name] = next(frame.image for number, frame in enumerate(source) if number == 12)
    return found


def _style_file(kind):
    return ROOT / "samples" / "styles" / f"{kind}.jpg"


def paint(long_side, features, folder):
    """Paint and judge all pairs, as rows; a control's figures follow each painting's."""
    rows = []
    pictures = {kind: read_image(_style_file(kind)) for kind in STYLES}
    styles = {
        kind: vs.Style.from_images([picture], features) for kind, picture in pictures.items()
    }  # keep their targets
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in contents().items():
        content = to_tensor(image)
        content = resize(content, fit((content.shape[-1], content.shape[-2]), long_side))
        for kind in STYLES:
            painting = vs.Stylizer(features, styles[kind], vs.PRESETS["still"])(
                Frame(to_image(content))
            ).image
            write_image(folder / f"{name}_{kind}.png", painting)
            style = to_tensor(pictures[kind])
            for what, result in (
                ("", to_tensor(painting)),
                (", colours only", colours_only(content, style)),
            ):
                found = evaluate(result, content, style)
                values = zip(
                    FIGURES,
                    (found.style, found.structure, *found.strokes, found.energy),
                    strict=True,
                )
                rows += [Row(f"{name}, {kind}{what}: {figure}", value) for figure, value in values]
                print(f"{name}, {kind}{what}: {found}", flush=True)
    return rows


def sheet(path, folder):
    """Contents down the side, styles along the top."""

    def cell(image):
        height, width = image.shape[:2]
        tall = min(height, round(width * CELL[1] / CELL[0]))
        wide = min(width, round(tall * CELL[0] / CELL[1]))
        top, left = (height - tall) // 2, (width - wide) // 2
        return cv2.resize(
            image[top : top + tall, left : left + wide], CELL, interpolation=cv2.INTER_AREA
        )

    pictures = [read_image(_style_file(kind)) for kind in STYLES]
    rows = [[np.full((CELL[1], CELL[0], 3), 255, np.uint8), *map(cell, pictures)]]
    for name, image in contents().items():
        rows.append(
            [cell(image), *(cell(read_image(folder / f"{name}_{kind}.png")) for kind in STYLES)]
        )
    write_image(path, np.vstack([np.hstack(row) for row in rows]))


def main():
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--long-side", type=int, default=512)
    parser.add_argument("--redraw", action="store_true")
    parser.add_argument("--features", default="bundled")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    folder, picture, results = PAINTINGS, SHEET, RESULTS
    if args.out:
        folder, picture, results = args.out, args.out / SHEET.name, args.out / RESULTS.name
    if not args.redraw:
        rows = paint(args.long_side, vs.load_features(args.features), folder)
        write_results(results, rows, machine(torch.device("cpu")) | {"long side": args.long_side})
    sheet(picture, folder)


if __name__ == "__main__":
    main()
