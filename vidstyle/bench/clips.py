"""Clips of known motion, drawn on the spot: what temporal coherence is measured on."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ..flow.motion import Motion
from ..io.frame import Frame

Pixels = NDArray[np.float32]

FINE = 3
"""Worlds are drawn this many times finer than they are shown, so that motion by a fraction of a pixel is true."""

RATE = 25


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames, and what really happened between them.

    Args:
        name: what it shows.
        frames: (H, W, 3) uint8 each.
        motions: how each frame came from the one before, exact; of the first one: a cut.
        moving: (H, W) bool per frame, where something moves or changes.
    """

    name: str
    frames: list[Frame]
    motions: list[Motion]
    moving: list[NDArray[np.bool_]]


@dataclass(frozen=True)
class View:
    """Where the camera looks: ``world = centre + zoom * rotation(degrees) * (pixel - middle)``."""

    x: float = 0.0
    y: float = 0.0
    zoom: float = 1.0
    degrees: float = 0.0


def world(size: tuple[int, int], seed: int) -> Pixels:
    """A landscape of hills, houses and trees with fine texture, (H, W, 3) float32 in [0, 255], ``FINE`` times ``size``."""
    rng = np.random.default_rng(seed)
    width, height = size[0] * FINE, size[1] * FINE
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
        colour = rng.uniform(20, 245, 3).tolist()
        if rng.random() < 0.5:
            cv2.ellipse(
                canvas,
                (int(x0), int(y0)),
                (int(side / 2), int(side * 0.7)),
                0,
                0,
                360,
                colour,
                -1,
                cv2.LINE_AA,
            )
        else:
            corners = cv2.boxPoints(((x0, y0), (side, side * 1.3), rng.uniform(-15, 15)))
            cv2.fillPoly(canvas, [corners.astype(np.int32)], colour, cv2.LINE_AA)
    for scale, strength in ((40, 10), (12, 8), (5, 6)):
        noise = rng.normal(0, 1, (height // scale + 2, width // scale + 2, 1)).astype(np.float32)
        canvas += (
            strength * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
        )
    return np.clip(cv2.GaussianBlur(canvas, (0, 0), FINE / 2), 0, 255)


def looked_at(view: View, size: tuple[int, int], canvas: Pixels) -> Pixels:
    """(H, W, 3) float32 of ``size``: what of the world the camera sees. Edges of the world repeat."""
    x, y = _world_places(view, size, canvas)
    seen: Pixels = cv2.remap(canvas, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[assignment]
    return seen


def _world_places(view: View, size: tuple[int, int], canvas: Pixels) -> tuple[Pixels, Pixels]:
    """Canvas coordinates of every pixel."""
    y, x = np.mgrid[: size[1], : size[0]].astype(np.float32)
    x, y = x - (size[0] - 1) / 2, y - (size[1] - 1) / 2
    turn = np.deg2rad(view.degrees)
    across = view.zoom * (np.cos(turn) * x - np.sin(turn) * y) + view.x
    down = view.zoom * (np.sin(turn) * x + np.cos(turn) * y) + view.y
    middle_y, middle_x = (canvas.shape[0] - 1) / 2, (canvas.shape[1] - 1) / 2
    return (across * FINE + middle_x).astype(np.float32), (down * FINE + middle_y).astype(
        np.float32
    )


def _camera_motion(now: View, before: View, size: tuple[int, int]) -> Motion:
    """The exact flow between two views of the same world; what was out of sight is not reliable."""
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
    name: str, pictures: list[Pixels], motions: list[Motion], moving: list[NDArray[np.bool_]]
) -> Clip:
    frames = [
        Frame(
            np.clip(np.rint(picture), 0, 255).astype(np.uint8),
            Fraction(number, RATE),
            Fraction(1, RATE),
        )
        for number, picture in enumerate(pictures)
    ]
    return Clip(name, frames, [Motion(cut=True), *motions[1:]], moving)


def camera_clip(
    name: str, size: tuple[int, int], count: int, view: Callable[[int], View], seed: int = 1
) -> Clip:
    """The camera moves: ``view(n)`` is where it looks in frame n."""
    canvas = world((2 * size[0], 2 * size[1]), seed)
    views = [view(number) for number in range(count)]
    pictures = [looked_at(view, size, canvas) for view in views]
    motions = [
        _camera_motion(now, before, size)
        for now, before in zip(views, [views[0], *views], strict=False)
    ]
    return _clip(name, pictures, motions, [np.ones(size[::-1], bool)] * count)


def object_clip(name: str, size: tuple[int, int], count: int, speed: float, seed: int = 1) -> Clip:
    """A disc with a texture of its own passes in front of a scene at rest, ``speed`` px per frame to the right."""
    back = looked_at(View(), size, world((2 * size[0], 2 * size[1]), seed))
    skin = world((2 * size[0], 2 * size[1]), seed + 100)[..., ::-1].copy()
    y, x = np.mgrid[: size[1], : size[0]].astype(np.float32)
    radius, row = size[1] / 4, size[1] / 2

    def place(number: int) -> float:
        return size[0] / 4 + speed * number

    def inside(number: int) -> Pixels:
        share: Pixels = np.clip(radius - np.hypot(x - place(number), y - row) + 0.5, 0, 1)
        return share

    pictures, motions, moving = [], [], []
    for number in range(count):
        share = inside(number)
        pictures.append(
            back + (looked_at(View(-speed * number), size, skin) - back) * share[..., None]
        )
        covered, before = share > 0.5, inside(number - 1)
        # Where the background comes out from behind the disc, and along its blended edge, nothing of before is of use.
        known = np.where(covered, (share == 1), (before == 0) & (share == 0))
        motions.append(_motion(np.where(covered, -speed, 0), np.zeros_like(x), known))
        moving.append(np.hypot(x - place(number), y - row) < radius + 4)
    return _clip(name, pictures, motions, moving)


def changing_clip(
    name: str,
    size: tuple[int, int],
    count: int,
    change: Callable[[Pixels, int], Pixels],
    seed: int = 1,
) -> Clip:
    """Nothing moves, but ``change(picture, n)`` is what the camera makes of frame n: noise, light, a fade."""
    still = looked_at(View(), size, world((2 * size[0], 2 * size[1]), seed))
    zero = np.zeros(size[::-1], np.float32)
    motions = [_motion(zero, zero, np.ones_like(zero, bool))] * count
    return _clip(
        name,
        [change(still, number) for number in range(count)],
        motions,
        [np.ones(size[::-1], bool)] * count,
    )


def cut_clip(name: str, size: tuple[int, int], count: int, at: int) -> Clip:
    """One slow pan, and from frame ``at`` on another one elsewhere."""
    before = camera_clip(name, size, at, lambda n: View(0.8 * n), seed=1)
    after = camera_clip(name, size, count - at, lambda n: View(0, 0.8 * n), seed=2)
    pictures = [frame.image.astype(np.float32) for frame in (*before.frames, *after.frames)]
    return _clip(name, pictures, [*before.motions, *after.motions], [*before.moving, *after.moving])


def noisy(sigma: float, seed: int = 0) -> Callable[[Pixels, int], Pixels]:
    """Sensor noise of this standard deviation, in levels out of 255, new in every frame."""

    def change(picture: Pixels, number: int) -> Pixels:
        noise = np.random.default_rng((seed, number)).normal(0, sigma, picture.shape)
        return (picture + noise).astype(np.float32)

    return change


def dimming(share: float) -> Callable[[Pixels, int], Pixels]:
    """The light goes down by this share of itself per frame."""
    return lambda picture, number: picture * np.float32((1 - share) ** number)


def fading(out: int, dark: int) -> Callable[[Pixels, int], Pixels]:
    """To black within ``out`` frames, black for ``dark`` frames, and back in the same way."""
    return lambda picture, number: (
        picture * np.float32(np.clip((abs(number - out - dark / 2) - dark / 2) / out, 0, 1))
    )


def flashing(at: int) -> Callable[[Pixels, int], Pixels]:
    """A camera flash in one frame, burnt out where the scene was bright."""
    return lambda picture, number: (
        picture * np.float32(1 if number != at else 1.6) + np.float32(0 if number != at else 60)
    )


OBJECT_PX = 4.3
"""What an object moves by in a frame."""


def object_scenes(size: tuple[int, int], count: int) -> list[Clip]:
    """Several objects passing in front of as many scenes, that of ``known_motion_clips`` first."""
    return [object_clip("object", size, count, OBJECT_PX, seed) for seed in range(1, 5)]


def known_motion_clips(size: tuple[int, int], count: int) -> list[Clip]:
    """One clip per kind of motion, ``count`` frames each."""
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
