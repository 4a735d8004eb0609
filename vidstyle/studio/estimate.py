"""Estimates before a render begins: its time, its memory, and the size of its file."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..features.extractor import Features
from ..settings import Settings
from ..stylizer.cold_start import pyramid_sizes
from ..stylizer.memory_check import required_bytes
from ..stylizer.sizes import output_size, working_size
from .choices import PRESET_NAMES, chosen_settings
from .job import Job
from .library import Clip
from .preview import StepTime

FRAME_STEPS = 1.5
"""What a frame takes besides its steps (optical flow, warping, targets, the encoder), in steps."""

PATCH_COST, LAYERS_COST = 1.3, 1.3
"""What a step takes with patch matching, and with all style layers, relative to one without."""

BITS_PER_PIXEL = 0.35
"""Of a stylised clip in H.264 at the default quality, where no job has shown it."""

STILL_BITS_PER_PIXEL = 14.0
"""Of a stylised picture as PNG."""


class Speed(NamedTuple):
    """What this machine has shown.

    Args:
        jobs: finished ones.
        preview: of the last preview; None before the first.
    """

    jobs: Sequence[Job]
    preview: StepTime | None


def estimates(
    clip: Clip,
    changes: dict[str, Any],
    part: tuple[float | None, float | None],
    features: Features,
    speed: Speed,
) -> dict[str, dict[str, float | None]]:
    """Preset -> its estimates: ``seconds``, ``memory_bytes``, ``file_bytes``; None where unknown.

    Args:
        clip: to render.
        changes: of the settings of each preset.
        part: start and end in seconds.
        features: of the render.
        speed: of this machine.

    Raises:
        ValueError, TypeError: see ``chosen_settings``.
    """
    found: dict[str, dict[str, float | None]] = {}
    for preset in PRESET_NAMES:
        settings = chosen_settings(preset, changes)
        size = clip.width, clip.height
        sizes = working_size(settings, size, features.device), output_size(settings, size)
        frames = frames_of(clip, part)
        work = None if frames is None else work_of(settings, sizes[0], frames)
        pace = _pace(preset, settings, speed)
        bits = _bits_per_pixel(clip, preset, speed.jobs)
        pixels = None if frames is None else sizes[1][0] * sizes[1][1] * frames
        found[preset] = {
            "seconds": None if work is None or pace is None else round(work * pace, 1),
            "memory_bytes": sum(required_bytes(features, sizes)),
            "file_bytes": None if pixels is None else round(pixels * bits / 8),
        }
    return found


def frames_of(clip: Clip, part: tuple[float | None, float | None]) -> int | None:
    """Number of frames of a part of a clip; None where unknown."""
    if clip.kind == "still":
        return 1
    if clip.frames is None or clip.rate is None:
        return clip.frames
    start, end = part[0] or 0.0, part[1]
    length = clip.frames / clip.rate
    seconds = (length if end is None else min(end, length)) - start
    return max(1, round(seconds * clip.rate))


def work_of(settings: Settings, size: tuple[int, int], frames: int) -> float:
    """The work of a render in pixels times steps, as far as it follows from the settings."""
    pixels = size[0] * size[1]
    levels = pyramid_sizes(settings, size, settings.initial_steps)
    first = sum(width * height for width, height in levels) / len(levels) * settings.initial_steps
    each = settings.steps + settings.backward_steps + FRAME_STEPS
    return first + (frames - 1) * pixels * each


def _pace(preset: str, settings: Settings, speed: Speed) -> float | None:
    """Seconds for a pixel and a step: of the last finished jobs of a preset, else of the last
    preview."""
    jobs = [job for job in speed.jobs if job.preset == preset and len(job.working_size) == 2]
    work = seconds = 0.0
    for job in jobs[-3:]:
        frames = job.done if job.file.endswith(".mp4") else 1
        size = job.working_size[0], job.working_size[1]
        work += work_of(chosen_settings(preset, job.settings), size, max(1, frames))
        seconds += job.seconds
    if work and seconds:
        return seconds / work
    if speed.preview is None:
        return None
    return speed.preview.seconds * _step_cost(settings) / _step_cost(speed.preview.settings)


def _step_cost(settings: Settings) -> float:
    """What a step takes, relative to the quickest kind."""
    patches = PATCH_COST if settings.patch_weight else 1.0
    return patches * (1.0 if settings.fast_style_layers else LAYERS_COST)


def _bits_per_pixel(clip: Clip, preset: str, jobs: Sequence[Job]) -> float:
    if clip.kind == "still":
        return STILL_BITS_PER_PIXEL
    for job in reversed(jobs):
        if job.clip == clip.id and job.preset == preset and job.bytes and job.done > 1:
            return job.bytes * 8 / (job.done * clip.width * clip.height)
    return BITS_PER_PIXEL
