"""Generated clips of exactly known motion, for metrics of temporal consistency and optical flow."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ..flow.motion import Motion
from ..io.frame import Frame

Pixels = NDArray[np.float32]

SUPERSAMPLING = 3
"""Canvas pixels per frame pixel, so that motion by a fraction of a pixel is accurate."""

RATE_FPS = 25


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames with their exact motions.

    Args:
        name: for labels.
        frames: (H, W, 3) uint8 each.
        motions: exact motion of each frame from the one before; that of the first is a cut.
        moving: (H, W) bool per frame, the pixels that move or change.
    """

    name: str
    frames: list[Frame]
    motions: list[Motion]
    moving: list[NDArray[np.bool_]]


@dataclass(frozen=True)
class View:
    """Camera pose: ``canvas = (x, y) + zoom * rotation(degrees) * (pixel - image centre)``.

    Args:
        x, y: position of the image centre relative to the canvas centre, px.
        zoom: canvas distance per image distance.
        degrees: rotation of the camera, clockwise.
    """

    x: float = 0.0
    y: float = 0.0
    zoom: float = 1.0
    degrees: float = 0.0


def draw_landscape(size: tuple[int, int], seed: int) -> Pixels:
    """A canvas of hills, houses and trees with fine texture.

    Args:
        size: (width, height) in frame px.
        seed: of the random generator.

    Returns:
        (H, W, 3) float32 in [0, 255], ``SUPERSAMPLING`` times ``size``.
    """
    rng = np.random.default_rng(seed)
    width, height = size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING
    share = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    top, bottom = rng.uniform(70, 160, 3), rng.uniform(150, 235, 3)
    canvas = np.ascontiguousarray(
        np.repeat(top * (1 - share) + bottom * share, width, 1), np.float32
    )
    x = np.arange(width)
    for base in (0.45, 0.6, 0.75):
        ridge = height * (base + 0.05 * np.sin(x / width * rng.uniform(9, 25) + rng.uniform(0, 6)))
        outline = [*np.stack([x, ridge], 1).tolist(), [width, height], [0, height]]
        cv2.fillPoly(
            canvas, [np.array(outline, np.int32)], rng.uniform(40, 190, 3).tolist(), cv2.LINE_AA
        )
    for _ in range(round(width * height / 12000)):
        x0, y0, side = rng.uniform(0, width), rng.uniform(0.1, 1) * height, rng.uniform(12, 70)
        color = rng.uniform(20, 245, 3).tolist()
        if rng.random() < 0.5:
            cv2.ellipse(
                canvas,
                (int(x0), int(y0)),
                (int(side / 2), int(side * 0.7)),
                0,
                0,
                360,
                color,
                -1,
                cv2.LINE_AA,
            )
        else:
            corners = cv2.boxPoints(((x0, y0), (side, side * 1.3), rng.uniform(-15, 15)))
            cv2.fillPoly(canvas, [corners.astype(np.int32)], color, cv2.LINE_AA)
    for scale, strength in ((40, 10), (12, 8), (5, 6)):
        noise = rng.normal(0, 1, (height // scale + 2, width // scale + 2, 1)).astype(np.float32)
        canvas += (
            strength * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
        )
    return np.clip(cv2.GaussianBlur(canvas, (0, 0), SUPERSAMPLING / 2), 0, 255)


def render_view(view: View, size: tuple[int, int], canvas: Pixels) -> Pixels:
    """The camera's image of a canvas, (H, W, 3) float32 of ``size``, with replicated borders."""
    x, y = _canvas_positions(view, size, canvas)
    image: Pixels = cv2.remap(  # type: ignore[assignment]
        canvas, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return image


def _canvas_positions(view: View, size: tuple[int, int], canvas: Pixels) -> tuple[Pixels, Pixels]:
    """Canvas coordinates (x, y) of each pixel, (H, W) float32 each."""
    y, x = np.mgrid[: size[1], : size[0]].astype(np.float32)
    x, y = x - (size[0] - 1) / 2, y - (size[1] - 1) / 2
    angle = np.deg2rad(view.degrees)
    across = view.zoom * (np.cos(angle) * x - np.sin(angle) * y) + view.x
    down = view.zoom * (np.sin(angle) * x + np.cos(angle) * y) + view.y
    centre_y, centre_x = (canvas.shape[0] - 1) / 2, (canvas.shape[1] - 1) / 2
    return (across * SUPERSAMPLING + centre_x).astype(np.float32), (
        down * SUPERSAMPLING + centre_y
    ).astype(np.float32)


def _camera_motion(now: View, before: View, size: tuple[int, int]) -> Motion:
    """Exact flow between two views of a canvas; pixels that were out of view are not reliable."""
    y, x = np.mgrid[: size[1], : size[0]].astype(np.float64)
    sample_positions = (x - (size[0] - 1) / 2) + 1j * (y - (size[1] - 1) / 2)
    seen = now.zoom * np.exp(1j * np.deg2rad(now.degrees)) * sample_positions + now.x + 1j * now.y
    was = (seen - before.x - 1j * before.y) / (
        before.zoom * np.exp(1j * np.deg2rad(before.degrees))
    )
    column, row = was.real + (size[0] - 1) / 2, was.imag + (size[1] - 1) / 2
    inside = (column >= 0) & (column <= size[0] - 1) & (row >= 0) & (row <= size[1] - 1)
    return _motion(column - x, row - y, inside)


def _motion(across: Pixels, down: Pixels, reliable: NDArray[np.bool_]) -> Motion:
    flow = torch.from_numpy(np.stack([across, down]).astype(np.float32))[None]
    return Motion(flow, torch.from_numpy(reliable.astype(np.float32))[None, None])


def _clip(
    name: str, images: list[Pixels], motions: list[Motion], moving: list[NDArray[np.bool_]]
) -> Clip:
    frames = [
        Frame(
            np.clip(np.rint(image), 0, 255).astype(np.uint8),
            Fraction(number, RATE_FPS),
            Fraction(1, RATE_FPS),
        )
        for number, image in enumerate(images)
    ]
    return Clip(name, frames, [Motion(cut=True), *motions[1:]], moving)


def camera_clip(
    name: str, size: tuple[int, int], count: int, view: Callable[[int], View], seed: int = 1
) -> Clip:
    """A clip whose camera moves: ``view(n)`` is its pose in frame n."""
    canvas = draw_landscape((2 * size[0], 2 * size[1]), seed)
    views = [view(number) for number in range(count)]
    images = [render_view(view, size, canvas) for view in views]
    motions = [
        _camera_motion(now, before, size)
        for now, before in zip(views, [views[0], *views], strict=False)
    ]
    return _clip(name, images, motions, [np.ones(size[::-1], bool)] * count)


def object_clip(
    name: str,
    size: tuple[int, int],
    count: int,
    speed: float,
    seed: int = 1,
    back: Pixels | None = None,
) -> Clip:
    """A textured disc passes a still background, ``speed`` px per frame to the right.

    ``back`` is the background, (H, W, 3) of ``size``; None: a landscape.
    """
    columns = [size[0] / 4 + speed * number for number in range(count)]
    return _disc_clip(name, size, columns, speed, seed, back)


def entering_clip(name: str, size: tuple[int, int], count: int, speed: float) -> Clip:
    """The disc of ``object_clip``, which enters at the left border."""
    columns = [speed * number - _disc_radius(size) for number in range(count)]
    return _disc_clip(name, size, columns, speed)


def _disc_radius(size: tuple[int, int]) -> float:
    return size[1] / 4


def _disc_clip(
    name: str,
    size: tuple[int, int],
    columns: Sequence[float],
    speed: float,
    seed: int = 1,
    back: Pixels | None = None,
) -> Clip:
    """A textured disc with its centre at a column in px in each frame, ``speed`` px apart."""
    if back is None:
        back = render_view(View(), size, draw_landscape((2 * size[0], 2 * size[1]), seed))
    skin = draw_landscape((2 * size[0], 2 * size[1]), seed + 100)[..., ::-1].copy()
    y, x = np.mgrid[: size[1], : size[0]].astype(np.float32)
    radius, row = _disc_radius(size), size[1] / 2

    def inside(column: float) -> Pixels:
        share: Pixels = np.clip(radius - np.hypot(x - column, y - row) + 0.5, 0, 1)
        return share

    images, motions, moving = [], [], []
    for number, column in enumerate(columns):
        share = inside(column)
        images.append(
            back + (render_view(View(-speed * number), size, skin) - back) * share[..., None]
        )
        covered, before = share > 0.5, inside(column - speed)
        # Disoccluded background and the antialiased edge of the disc have no valid predecessor.
        known = np.where(covered, (share == 1), (before == 0) & (share == 0))
        motions.append(_motion(np.where(covered, -speed, 0), np.zeros_like(x), known))
        moving.append(np.hypot(x - column, y - row) < radius + 4)
    return _clip(name, images, motions, moving)


def changing_clip(
    name: str,
    size: tuple[int, int],
    count: int,
    change: Callable[[Pixels, int], Pixels],
    seed: int = 1,
) -> Clip:
    """A still scene whose pixels change: frame n is ``change(image, n)``, e.g. noise or a fade."""
    still = render_view(View(), size, draw_landscape((2 * size[0], 2 * size[1]), seed))
    zero = np.zeros(size[::-1], np.float32)
    motions = [_motion(zero, zero, np.ones_like(zero, bool))] * count
    return _clip(
        name,
        [change(still, number) for number in range(count)],
        motions,
        [np.ones(size[::-1], bool)] * count,
    )


def crossfade_clip(name: str, size: tuple[int, int], count: int, end: int) -> Clip:
    """A scene at rest, and a crossfade to another one that is complete in frame ``end``."""
    canvases = (draw_landscape((2 * size[0], 2 * size[1]), seed) for seed in (1, 2))
    before, after = (render_view(View(), size, canvas) for canvas in canvases)

    def change(image: Pixels, number: int) -> Pixels:
        share = np.float32(np.clip((number - 2) / (end - 2), 0, 1))
        mixed: Pixels = before * (1 - share) + after * share
        return mixed

    return changing_clip(name, size, count, change)


def cut_clip(name: str, size: tuple[int, int], count: int, at: int) -> Clip:
    """A slow pan, and from frame ``at`` on a pan over another scene."""
    before = camera_clip(name, size, at, lambda n: View(0.8 * n), seed=1)
    after = camera_clip(name, size, count - at, lambda n: View(0, 0.8 * n), seed=2)
    images = [frame.image.astype(np.float32) for frame in (*before.frames, *after.frames)]
    return _clip(name, images, [*before.motions, *after.motions], [*before.moving, *after.moving])


def noisy(sigma: float, seed: int = 0) -> Callable[[Pixels, int], Pixels]:
    """Gaussian noise, independent in each frame; ``sigma`` in 8-bit code values."""

    def change(image: Pixels, number: int) -> Pixels:
        noise = np.random.default_rng((seed, number)).normal(0, sigma, image.shape)
        return (image + noise).astype(np.float32)

    return change


def dimming(share: float) -> Callable[[Pixels, int], Pixels]:
    """Brightness falls by the fraction ``share`` per frame."""
    return lambda image, number: image * np.float32((1 - share) ** number)


def fading(out: int, dark: int) -> Callable[[Pixels, int], Pixels]:
    """Fade to black within ``out`` frames, black for ``dark`` frames, and the same fade back."""
    return lambda image, number: (
        image * np.float32(np.clip((abs(number - out - dark / 2) - dark / 2) / out, 0, 1))
    )


def flashing(at: int) -> Callable[[Pixels, int], Pixels]:
    """A camera flash in frame ``at``; bright areas are clipped."""
    return lambda image, number: (
        image * np.float32(1 if number != at else 1.6) + np.float32(0 if number != at else 60)
    )


OBJECT_PX = 4.3
"""Speed of the object of ``object_scenes``, px per frame."""


def object_scenes(size: tuple[int, int], frames: int, scenes: int) -> list[Clip]:
    """Clips of an object in different scenes; the first is that of ``known_motion_clips``."""
    return [object_clip("object", size, frames, OBJECT_PX, seed) for seed in range(1, scenes + 1)]


def known_motion_clips(size: tuple[int, int], count: int) -> list[Clip]:
    """One clip per kind of motion or change, ``count`` frames each."""
    return [
        camera_clip("pan", size, count, lambda n: View(2.6 * n, 0.4 * n)),
        camera_clip("slow pan", size, count, lambda n: View(0.25 * n)),
        camera_clip(
            "zoom and rotation", size, count, lambda n: View(zoom=0.992**n, degrees=0.6 * n)
        ),
        object_clip("object", size, count, OBJECT_PX),
        changing_clip("noise", size, count, noisy(4)),
        changing_clip("light", size, count, dimming(0.01)),
        cut_clip("cut", size, count, count // 2),
        changing_clip("fade", size, count, fading(max(1, 3 * count // 8), max(1, count // 8))),
        changing_clip("flash", size, count, flashing(count // 2)),
    ]
