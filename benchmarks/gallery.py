"""Stylise four contents in six styles with the bundled features, and evaluate each.

    python benchmarks/gallery.py [--long-side 512] [--redraw] [--features FILE --out FOLDER]
        [--contents FILE ... --styles FILE ...]
    python benchmarks/gallery.py --photographs

It writes the contact sheet docs/gallery.jpg and the metrics benchmarks/results/gallery.json; with
``--out`` both and the stylised images to that folder. ``--redraw`` writes only the contact sheet.
``--contents`` and ``--styles`` take other images. ``--photographs`` takes photographs that come
with scikit-image, Matplotlib and scikit-learn and may be shown, and writes docs/photographs.jpg and
benchmarks/results/photographs.json.

If the environment variable VIDSTYLE_JUDGE_WEIGHTS names the weights that ``perceptual.py`` reads,
its three figures are measured too.
"""

import argparse
import os
from pathlib import Path

import cv2
import numpy as np
import torch
from perceptual import Judge

import vidstyle as vs
from vidstyle.bench.results import Row, machine, write_results
from vidstyle.io.frame import Frame, fit
from vidstyle.io.images import read_image, write_image
from vidstyle.metrics import colors_only, evaluate
from vidstyle.ops.tensors import resize, to_image, to_tensor

ROOT = Path(__file__).parent.parent
SHEET, RESULTS = ROOT / "docs" / "gallery.jpg", ROOT / "benchmarks" / "results" / "gallery.json"
IMAGES = ROOT / "build" / "gallery"
STYLES = ("strokes", "watercolor", "ink", "engraving", "paper", "mosaic")
PHOTOGRAPH_STYLES = ("strokes", "watercolor", "ink", "paper")
FIGURES = (
    "style share",
    "structure",
    "strokes 1",
    "strokes 2",
    "strokes 3",
    "strokes 4",
    "gradient energy",
    "contours",
)
JUDGE_WEIGHTS = "VIDSTYLE_JUDGE_WEIGHTS"
"""Environment variable: the folder of the weights of LPIPS and VGG-16."""

JUDGE_FIGURES = ("LPIPS alex", "LPIPS vgg", "VGG-16 Gram")
CELL = (240, 160)


def named_images(files):
    """Stem of each file's name -> (H, W, 3) uint8."""
    return {file.stem: read_image(file) for file in files}


def default_contents():
    """Name -> (H, W, 3) uint8: two images and a frame of each sample clip."""
    found = {
        name: read_image(ROOT / "samples" / "pictures" / f"{name}.jpg")
        for name in ("street", "portrait")
    }
    for name in ("boat", "balloons"):
        with vs.open_source(ROOT / "samples" / "clips" / f"{name}.mp4") as source:
            found[name] = next(frame.image for number, frame in enumerate(source) if number == 12)
    return found


def photographs():
    """Name -> (H, W, 3) uint8: two people (NASA and US Navy, public domain), a cup of coffee
    (Rachel Michetti, public domain) and a pagoda (danielbuechele, CC BY 2.0)."""
    from matplotlib import cbook
    from skimage import data
    from sklearn.datasets import load_sample_image

    with cbook.get_sample_data("grace_hopper.jpg") as file:
        officer = read_image(Path(file.name))
    return {
        "astronaut": data.astronaut(),
        "officer": officer,
        "coffee": data.coffee(),
        "pagoda": np.array(load_sample_image("china.jpg")),
    }


def drawn_styles(names):
    """Name -> (H, W, 3) uint8: the drawn style images."""
    return named_images(ROOT / "samples" / "styles" / f"{name}.jpg" for name in names)


def evaluate_all(result, content, style, judge):
    """Figure -> value of a stylised image, each (1, 3, H, W) RGB in [0, 1]."""
    found = evaluate(result, content, style)
    values = (found.style, found.structure, *found.strokes, found.energy, found.contours)
    figures = dict(zip(FIGURES, values, strict=True))
    if judge:
        scores = judge.scores(*(to_image(x) for x in (result, content, style)))
        figures |= dict(zip(JUDGE_FIGURES, scores, strict=True))
    return figures


def stylize_all(long_side, features, folder, contents, images):
    """Stylise and evaluate all pairs; return their rows, each followed by those of its control."""
    rows = []
    weights = os.environ.get(JUDGE_WEIGHTS)
    judge = Judge(Path(weights)) if weights else None
    styles = {
        kind: vs.Style.from_images([image], features) for kind, image in images.items()
    }  # one object per style caches its targets
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in contents.items():
        content = to_tensor(image)
        content = resize(content, fit((content.shape[-1], content.shape[-2]), long_side))
        for kind, style_image in images.items():
            stylized = vs.Stylizer(features, styles[kind], vs.PRESETS["still"])(
                Frame(to_image(content))
            ).image
            write_image(folder / f"{name}_{kind}.png", stylized)
            style = to_tensor(style_image)
            for what, result in (
                ("", to_tensor(stylized)),
                (", colours only", colors_only(content, style)),
            ):
                figures = evaluate_all(result, content, style, judge)
                rows += [
                    Row(f"{name}, {kind}{what}: {figure}", value)
                    for figure, value in figures.items()
                ]
                found = ", ".join(f"{figure} {value:.3f}" for figure, value in figures.items())
                print(f"{name}, {kind}{what}: {found}", flush=True)
    return rows


def sheet(path, folder, contents, styles):
    """Write the contact sheet: one row per content, one column per style."""

    def cell(image):
        height, width = image.shape[:2]
        tall = min(height, round(width * CELL[1] / CELL[0]))
        wide = min(width, round(tall * CELL[0] / CELL[1]))
        top, left = (height - tall) // 2, (width - wide) // 2
        return cv2.resize(
            image[top : top + tall, left : left + wide], CELL, interpolation=cv2.INTER_AREA
        )

    rows = [[np.full((CELL[1], CELL[0], 3), 255, np.uint8), *map(cell, styles.values())]]
    for name, image in contents.items():
        rows.append(
            [cell(image), *(cell(read_image(folder / f"{name}_{kind}.png")) for kind in styles)]
        )
    write_image(path, np.vstack([np.hstack(row) for row in rows]))


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--long-side", type=int, default=512)
    parser.add_argument("--redraw", action="store_true")
    parser.add_argument("--features", default="bundled")
    parser.add_argument("--out", type=Path)
    contents_flag = parser.add_mutually_exclusive_group()
    contents_flag.add_argument("--contents", type=Path, nargs="+", metavar="FILE")
    contents_flag.add_argument("--photographs", action="store_true")
    parser.add_argument("--styles", type=Path, nargs="+", metavar="FILE")
    args = parser.parse_args()
    if (args.contents or args.styles) and not args.out:
        parser.error("other images need --out: the documented gallery is that of the samples")
    contents = named_images(args.contents) if args.contents else default_contents()
    styles = named_images(args.styles) if args.styles else drawn_styles(STYLES)
    folder, sheet_file, results = IMAGES, SHEET, RESULTS
    if args.photographs:
        contents, styles = photographs(), drawn_styles(PHOTOGRAPH_STYLES)
        sheet_file, results = (path.with_stem("photographs") for path in (SHEET, RESULTS))
    if args.out:
        folder, sheet_file, results = args.out, args.out / SHEET.name, args.out / RESULTS.name
    if not args.redraw:
        features = vs.load_features(args.features)
        rows = stylize_all(args.long_side, features, folder, contents, styles)
        write_results(results, rows, machine(torch.device("cpu")) | {"long side": args.long_side})
    sheet(sheet_file, folder, contents, styles)


if __name__ == "__main__":
    main()
