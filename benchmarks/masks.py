"""Masks and regions: what stays outside a mask, the style and border of regions, carried masks.

python benchmarks/masks.py [--json benchmarks/results/masks.json]

Clips are generated, with exact motion. The row of eyes and mouth needs scikit-image, whose portrait
of Eileen Collins (NASA, public domain) it stylises.
"""

import argparse
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch

import vidstyle as vs
from vidstyle.bench.clips import OBJECT_PX, View, draw_landscape, object_clip, render_view
from vidstyle.bench.results import Row, machine, row_text, write_results
from vidstyle.bench.temporal_metrics import edge_alignment, flicker
from vidstyle.faces import frame_with_faces
from vidstyle.io.frame import Frame
from vidstyle.mask_clip import carry_masks
from vidstyle.metrics import squared_gradient, style_distance
from vidstyle.ops.tensors import to_tensor
from vidstyle.runtime.device import choose_device
from vidstyle.styles import find_style

SIZE = 320, 192
FRAMES, CARRIED_FRAMES, TIMED_FRAMES = 16, 48, 12
STYLES = "strokes", "mosaic"

BORDER_PX, BESIDE_PX = 4, 24
"""Distance from a border up to which pixels are at it, and up to which they are beside it."""

PORTRAIT_PX = 320
"""Long side of the portrait."""

EYE_BOX_PX = 3
"""Side of the box filter on its edge strengths: eyes are a few px high."""

PORTRAIT_STYLES = "strokes", "glass", "mosaic", "watercolor"


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures as JSON")
    args = parser.parse_args()
    rows = []
    for measure in (outside_rows, still_rows, carried_rows, time_rows, face_rows):
        for row in measure():
            rows.append(row)
            print(row_text(row), flush=True)
    if args.json:
        write_results(args.json, rows, machine(choose_device("auto")))


def outside_rows():
    """Pixels outside a mask, the object of a clip, that stylising changes."""
    clip, masks = object_with_masks(4)
    frames = [replace(frame, mask=mask) for frame, mask in zip(clip.frames, masks, strict=True)]
    stylized = vs.stylize_video(frames, STYLES[0], preset="draft")
    changed = [
        int((image.image != frame.image).any(-1)[mask == 0].sum())
        for image, frame, mask in zip(stylized, frames, masks, strict=True)
    ]
    yield Row("outside a mask: changed pixels", sum(changed), "", "0")


def still_rows():
    """A landscape whose halves have a style each."""
    canvas = draw_landscape((2 * SIZE[0], 2 * SIZE[1]), 1)
    image = render_view(View(), SIZE, canvas).clip(0, 255).astype(np.uint8)
    left = np.zeros(image.shape[:2], np.uint8)
    middle = SIZE[0] // 2
    left[:, :middle] = 255
    parts = [{"mask": left, "style": STYLES[0]}, {"mask": 255 - left, "style": STYLES[1]}]
    both = vs.stylize(image, STYLES[0], regions=parts)
    alone = [vs.stylize(image, style) for style in STYLES]
    halves = slice(0, middle), slice(middle, None)
    for style, half, whole in zip(STYLES, halves, alone, strict=True):
        picture = to_tensor(cv2.imread(str(find_style(style)))[..., ::-1].copy())
        distances = [
            style_distance(to_tensor(np.ascontiguousarray(shown[:, half])), picture)
            for shown in (both, whole)
        ]
        label = f"region in {style}: distance to the style, relative to a whole frame"
        yield Row(label, distances[0] / distances[1], "", "<= 1.1")
    distance = np.abs(np.arange(SIZE[0]) + 0.5 - middle)
    distance = np.broadcast_to(distance, image.shape[:2])
    words = "border of two regions: gradient energy, relative to that beside it"
    yield Row(words, border_ratio(both, distance), "", "<= 1.5")
    ratio = np.mean([border_ratio(each, distance) for each in alone])
    yield Row("the same without regions", float(ratio))


def carried_rows():
    """A mask that is drawn on the first frame, carried along the motion of an object."""
    clip, truth = object_with_masks(CARRIED_FRAMES, 200 / CARRIED_FRAMES)
    with TemporaryDirectory() as folder:
        source, drawn, masks = (Path(folder) / name for name in ("in.mkv", "0.png", "masks.mkv"))
        write_clip(source, clip.frames)
        cv2.imwrite(str(drawn), truth[0])
        carry_masks(source, {Fraction(0): drawn}, [masks])
        carried = [frame.image[..., 0] for frame in vs.open_source(masks)]
    overlaps = [
        ((one > 127) & (other > 127)).sum() / ((one > 127) | (other > 127)).sum()
        for one, other in zip(carried, truth, strict=True)
    ]
    words = f"mask carried {CARRIED_FRAMES} frames along an object: intersection over union, last"
    yield Row(words, float(overlaps[-1]), "", ">= 0.85")
    yield Row("the same, worst frame", float(min(overlaps)), "", ">= 0.85")
    errors = [
        masked_flicker(clip, carried, regions) for regions in (regions_of(carried[:FRAMES]), ())
    ]
    words = "carried mask: temporal error within it, relative to a render without it"
    yield Row(words, errors[0] / errors[1], "", "<= 1.2")


def time_rows():
    """Time of a frame with two regions."""
    clip, masks = object_with_masks(TIMED_FRAMES)
    frames = [frame.image for frame in clip.frames]
    # The runs take turns, so that a change of the machine's speed affects both.
    seconds = {"plain": [], "regions": []}
    for _ in range(3):
        seconds["plain"].append(seconds_per_frame(frames, ()))
        seconds["regions"].append(seconds_per_frame(frames, regions_of(masks)))
    ratio = min(seconds["regions"]) / min(seconds["plain"])
    yield Row("time of a frame with two regions, relative to one style", ratio, "", "<= 1.5")


def face_rows():
    """Edges of eyes and mouth of a portrait, kept and stylised like the rest."""
    try:
        from skimage import data
    except ImportError:
        return
    image = cv2.resize(data.astronaut(), (PORTRAIT_PX,) * 2, interpolation=cv2.INTER_AREA)
    places = face_places(image)
    means = {}
    for faces in ("paint", "keep"):
        stylized = (vs.stylize(image, style, faces=faces) for style in PORTRAIT_STYLES)
        measured = [
            edge_alignment(to_tensor(each), to_tensor(image), places, EYE_BOX_PX)
            for each in stylized
        ]
        means[faces] = np.mean(measured)
        yield Row(f"eyes and mouth, --faces {faces}: correlation of edges", float(means[faces]))
    words = "eyes and mouth: correlation of edges, --faces keep relative to paint"
    yield Row(words, float(means["keep"] / means["paint"]), "", ">= 1.5")


def object_with_masks(count, speed=OBJECT_PX):
    """A clip of an object, and the exact masks of the object, (H, W) uint8 each."""
    clip = object_clip("object", SIZE, count, speed)
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    places = (SIZE[0] / 4 + speed * number for number in range(count))
    discs = (np.hypot(x - place, y - SIZE[1] / 2) <= SIZE[1] / 4 for place in places)
    return clip, [255 * disc.astype(np.uint8) for disc in discs]


def regions_of(masks):
    """The arguments of a region with a mask for each frame, and of its surroundings."""
    return [
        {"mask": each_in_turn(masks), "style": STYLES[1]},
        {"mask": each_in_turn([255 - mask for mask in masks]), "style": STYLES[0]},
    ]


def each_in_turn(masks):
    """A function that gives the mask of the next frame with each call."""
    remaining = iter(masks)
    return lambda image: next(remaining)


def masked_flicker(clip, masks, regions):
    """Warping error within masks, of a render of the first frames with regions or without."""
    frames = [frame.image for frame in clip.frames[:FRAMES]]
    images = [to_tensor(image) for image in vs.stylize_video(frames, STYLES[1], regions=regions)]
    motions = []
    for motion, mask in zip(clip.motions[:FRAMES], masks, strict=False):
        inside = torch.from_numpy(mask > 127)
        reliable = None if motion.reliable is None else motion.reliable * inside
        motions.append(replace(motion, reliable=reliable))
    return flicker(images, motions) ** 0.5


def seconds_per_frame(frames, regions):
    """Wall time of a frame after the first, seconds."""
    stylized = vs.stylize_video(frames, STYLES[0], preset="draft", regions=regions)
    next(stylized)
    began = time.perf_counter()
    count = sum(1 for _ in stylized)
    return (time.perf_counter() - began) / count


def border_ratio(image, distance):
    """Gradient energy at a border relative to that beside it.

    Args:
        image: (H, W, 3) uint8.
        distance: (H, W), px to the border.
    """
    energy = squared_gradient(to_tensor(image))[0, 0].numpy()
    distance = distance[1:, 1:]
    beside = (distance > BORDER_PX) & (distance <= BESIDE_PX)
    return float(energy[distance <= BORDER_PX].mean() / energy[beside].mean())


def face_places(image):
    """(H, W) bool, at the eyes and mouth that the bundled model finds."""
    emphasis = frame_with_faces(Frame(image)).emphasis
    # The rest of the face has 0.3 of the largest value.
    return torch.from_numpy(emphasis > 0.6 * emphasis.max())


def write_clip(path, frames):
    """Write frames as a clip without loss."""
    height, width = frames[0].image.shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), 25, (width, height))
    for frame in frames:
        writer.write(np.ascontiguousarray(frame.image[..., ::-1]))
    writer.release()


if __name__ == "__main__":
    main()
