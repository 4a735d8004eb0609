"""Metrics of scenes at rest: temporal noise, and drift over many frames."""

import numpy as np

from ..settings import PRESETS
from . import temporal_metrics
from .clips import Clip, changing_clip, noisy
from .results import AddRow
from .runs import ClipRunner

FIRST_NOISE_FRAME = 30
"""Index of the first frame that temporal noise is measured on. It takes long to settle."""

NOISE_FRAMES = 10
"""Number of frames that temporal noise is measured on."""


def measure_noise(runner: ClipRunner, add_row: AddRow, size: tuple[int, int]) -> None:
    """Temporal noise under sensor noise of 4 levels."""
    clip = changing_clip("noise", size, FIRST_NOISE_FRAME + NOISE_FRAMES, noisy(4))
    run = runner.run(clip, PRESETS["standard"])
    contents = [runner.content(frame) for frame in clip.frames]
    source = temporal_metrics.temporal_noise(contents, FIRST_NOISE_FRAME)
    ratio = temporal_metrics.temporal_noise(run.images, FIRST_NOISE_FRAME) / source
    add_row("noise: temporal noise relative to the source's", ratio, "", "<= 0.2")
    add_row("noise: mean steps per frame", float(np.mean(run.steps)))


def measure_drift(runner: ClipRunner, add_row: AddRow, size: tuple[int, int], count: int) -> None:
    """Drift of mean luminance in a still clip."""
    clip = changing_clip("still", size, 1, lambda image, number: image)
    clip = Clip("still", clip.frames * count, clip.motions * count, clip.moving * count)
    run = runner.run(clip, PRESETS["standard"])
    words = f"still: drift of mean luminance over {count} frames"
    add_row(words, 100 * temporal_metrics.drift(run.images), "%", "<= 1")
    add_row("still: mean steps per frame", float(np.mean(run.steps)))
