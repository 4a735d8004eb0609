"""Metrics of what comes into view and of what moves, which flicker does not see.

===========================  ===================================================================
gradient energy, strokes     of the disoccluded pixels, divided by those of the same frame
                             stylised from a cold start; less than 1: blur, or no strokes
uncovered ground             RMS difference of ground behind an object from its own stylisation
                             before the object covered it, divided by that of ground that never
                             was covered
drag                         resting ground that the estimated motion moves, in areas of the
                             object that passes
discarded, moved             fraction of a resting, noisy scene that the estimated motion marks
                             as disoccluded, or moves
edges after a crossfade      correlation of edge strengths with the new scene, one frame after
                             the crossfade
===========================  ===================================================================
"""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..flow.motion import Motion
from ..flow.warp import warp
from ..metrics import squared_gradient, structure_energy
from ..settings import PRESETS, Settings
from . import temporal_metrics
from .clips import (
    Clip,
    View,
    camera_clip,
    changing_clip,
    crossfade_clip,
    entering_clip,
    noisy,
    object_clip,
)
from .results import AddRow
from .runs import ClipRunner

FAST_PAN, WALK = 0.0375, 0.017
"""Motion per frame as a fraction of the width: of a fast pan, and of a person who walks past."""

LIVE_AGE_FRAMES = 5
"""Frames after which a live show must have stylised a region that came into view."""

MOVED_PX, RESTING_MOVED_PX = 0.5, 0.2
"""Estimated motion from which on ground counts as dragged, and a resting scene as moved."""

LIVE_STEPS = 1
"""Iterations of a frame of a live session on two CPU cores at 320 px."""

NOISE_SIGMA = 6
"""Standard deviation of sensor noise in 8-bit code values."""

RIM_PX = 5
"""Window by which the mask of an object is grown: its outline is no ground."""

STROKE_WINDOW_PX = 9
"""Window of the structure tensor."""


class NewRegionsBench:
    """Measures what comes into view, on generated clips with the standard preset.

    Args:
        runner: stylises clips.
        add_row: is called with each figure.
        size: (width, height) of the clips in px.
        count: number of frames of each clip.
    """

    def __init__(
        self, runner: ClipRunner, add_row: AddRow, size: tuple[int, int], count: int
    ) -> None:
        self._runner, self._row, self._size, self._count = runner, add_row, size, count

    def measure(self) -> None:
        """Measure all figures."""
        standard = PRESETS["standard"]
        live = replace(standard, backward_steps=0)
        for clip in clips_of_new_regions(self._size, self._count):
            self._measure_new_regions(clip, standard, "file", 0, "0.9 to 1.1")
            self._measure_new_regions(clip, live, "live", LIVE_AGE_FRAMES, ">= 0.8")
        self._measure_entering()
        self._measure_uncovered_ground()
        self._measure_drag()
        self._measure_resting_noise()
        self._measure_crossfade()

    def _measure_new_regions(
        self, clip: Clip, settings: Settings, words: str, age: int, target: str
    ) -> None:
        """Energy and strokes of pixels that came into view ``age`` frames ago."""
        ratios = new_region_ratios(self._runner, clip, self._runner.run(clip, settings).images, age)
        if ratios is None:
            return  # the clip is too short
        when = "first frame" if age == 0 else f"after {age} frames"
        words = f"{clip.name}, {words}: newly visible regions, {when}"
        self._row(f"{words}: gradient energy", ratios[0], "", target)
        self._row(f"{words}: strokes", ratios[1], "", target)

    def _measure_entering(self) -> None:
        """Energy and strokes of someone who enters during a live session, as above."""
        count = round(self._size[1] / 2 / (WALK * self._size[0])) + 2 * LIVE_AGE_FRAMES
        clip = entering_clip("someone enters", self._size, count, WALK * self._size[0])
        draft = PRESETS["draft"]
        stylized = self._runner.run(clip, draft, LIVE_STEPS).images
        ratios = new_region_ratios(self._runner, clip, stylized, LIVE_AGE_FRAMES, draft)
        if ratios is None:
            return  # the clip is too short
        words = f"{clip.name}, live: after {LIVE_AGE_FRAMES} stylised frames"
        self._row(f"{words}: gradient energy", ratios[0], "", ">= 0.8")
        self._row(f"{words}: strokes", ratios[1], "", ">= 0.8")

    def _measure_uncovered_ground(self) -> None:
        """Ground behind an object after it has passed, against its own earlier stylisation."""
        speed = self._size[0] / 2 / self._count * 1.5
        clip = object_clip("walker", self._size, self._count, speed)
        run = self._runner.run(clip, PRESETS["standard"])
        last = self._count - 1
        covered = np.any(clip.moving[1:last], 0) & ~clip.moving[0] & ~clip.moving[last]
        never = ~np.any(clip.moving, 0)
        if not covered.any():
            return  # the clip is too short
        difference = (run.images[last] - run.images[0]).square().mean(1)[0].numpy()
        difference = cv2.resize(difference, self._size, interpolation=cv2.INTER_AREA)
        ratio = float((difference[covered].mean() / difference[never].mean()) ** 0.5)
        self._row("walker: uncovered ground, RMS relative to other ground", ratio, "", "<= 1.3")

    def _measure_drag(self) -> None:
        """Flat ground beside an object."""
        flat = np.full((self._size[1], self._size[0], 3), (140.0, 205.0, 245.0), np.float32)
        clip = object_clip("flat", self._size, 8, 0.02 * self._size[0], back=flat)
        shares = []
        for number, motion in enumerate(self._estimated(clip)):
            if motion.flow is None or motion.reliable is None:
                continue
            near = cv2.dilate(clip.moving[number].view(np.uint8), np.ones((RIM_PX, RIM_PX))) > 0
            moved = _length(motion) > MOVED_PX
            moved &= motion.reliable[0, 0].numpy() > 0
            shares.append((moved & ~near).sum() / near.sum())
        self._row("flat ground: drag per frame", float(np.mean(shares)), "", "<= 0.05")

    def _measure_resting_noise(self) -> None:
        clip = changing_clip("noise", self._size, 8, noisy(NOISE_SIGMA))
        motions = [motion for motion in self._estimated(clip) if motion.reliable is not None]
        reliable = [motion.reliable for motion in motions if motion.reliable is not None]
        discarded = 1 - torch.cat(reliable).mean().item()
        moved = np.mean([(_length(motion) > RESTING_MOVED_PX).mean() for motion in motions])
        words = f"resting scene, noise of {NOISE_SIGMA} levels"
        self._row(f"{words}: discarded", 100 * discarded, "%", "<= 1")
        self._row(f"{words}: moved", 100 * float(moved), "%", "<= 1")

    def _measure_crossfade(self) -> None:
        """The frame after a crossfade between two scenes at rest."""
        end = max(3, self._count - 4)
        clip = crossfade_clip("crossfade", self._size, self._count, end)
        number = end + 1
        run = self._runner.run(clip, PRESETS["standard"])
        content = self._runner.content(clip.frames[number]).cpu()
        everywhere = torch.ones(content.shape[-2:], dtype=torch.bool)
        own = temporal_metrics.edge_alignment(run.images[number], content, everywhere)
        cold_start = self._runner.cold_start(clip.frames[number])
        cold = temporal_metrics.edge_alignment(cold_start, content, everywhere)
        self._row("crossfade: edges of the new scene, one frame after it", own, "", ">= 0.6")
        self._row("crossfade: the same of a cold start", cold)

    def _estimated(self, clip: Clip) -> list[Motion]:
        pairs = self._runner.with_estimated_motion(clip, PRESETS["standard"])
        return [motion for _, motion in pairs]


def clips_of_new_regions(size: tuple[int, int], count: int) -> tuple[Clip, Clip]:
    """A fast pan and an object that passes like a walker: much comes into view in both.

    Args:
        size: (width, height) in px.
        count: number of frames.
    """
    step = FAST_PAN * size[0]
    pan = camera_clip("fast pan", size, count, lambda n: View(step * n))
    return pan, object_clip("walker", size, count, WALK * size[0])


def new_region_ratios(
    runner: ClipRunner,
    clip: Clip,
    images: Sequence[Tensor],
    age: int = 0,
    settings: Settings | None = None,
) -> tuple[float, float] | None:
    """Gradient energy and strokes of pixels that came into view, relative to cold starts.

    Args:
        runner: makes the cold starts.
        clip: with exact motions.
        images: the stylised frames, (1, 3, H, W) each.
        age: number of frames since the pixels came into view.
        settings: of the cold starts; None: standard ones.

    Returns:
        The means of at most three frames; None: no frame has such pixels.
    """
    ages = pixel_ages(clip.motions, clip.frames[0].size)
    numbers = [n for n in range(2 + age, len(images)) if (ages[n] == age).any()]
    if not numbers:
        return None
    chosen = sorted({numbers[len(numbers) // 3], numbers[2 * len(numbers) // 3], numbers[-1]})
    energies, strokes = [], []
    for number in chosen:
        mask = torch.from_numpy(ages[number] == age)
        own, cold = images[number], runner.cold_start(clip.frames[number], settings)
        mask = F.interpolate(mask[None, None].float(), own.shape[-2:])[0, 0] > 0
        energies.append(masked_energy(own, mask) / masked_energy(cold, mask))
        strokes.append(masked_coherence(own, mask) / masked_coherence(cold, mask))
    return float(np.mean(energies)), float(np.mean(strokes))


def pixel_ages(motions: Sequence[Motion], size: tuple[int, int]) -> list[np.ndarray]:
    """For each frame (H, W): frames since the pixel came into view; 999 where it always was.

    Args:
        motions: exact motions of a clip; the first is ignored.
        size: (width, height) in px.
    """
    age = torch.full((1, 1, size[1], size[0]), 999.0)
    ages = [age[0, 0].numpy()]
    for motion in motions[1:]:
        moved = age if motion.flow is None else warp(age, motion.flow.round(), "bilinear")
        age = (moved.round() + 1).clamp(max=999)
        if motion.reliable is not None:
            age = torch.where(motion.reliable > 0, age, 0)
        ages.append(age[0, 0].numpy())
    return ages


def masked_energy(image: Tensor, mask: Tensor) -> float:
    """Mean squared gradient of (1, 3, H, W) where the mask, (H, W) bool, is set."""
    return squared_gradient(image)[0, 0][mask[1:, 1:]].mean().item()


def masked_coherence(image: Tensor, mask: Tensor) -> float:
    """Coherence of the structure tensor, weighted by energy, where the mask is set.

    See ``metrics.stroke_coherence``.
    """
    coherent, energy = structure_energy(image, STROKE_WINDOW_PX, padded=True)
    return (coherent[0, 0][mask].sum() / energy[0, 0][mask].sum().clamp_min(1e-12)).item()


def _length(motion: Motion) -> np.ndarray:
    """(H, W), px."""
    if motion.flow is None:
        return np.zeros((1, 1), np.float32)
    length: np.ndarray = motion.flow.square().sum(1).sqrt()[0].numpy()
    return length
