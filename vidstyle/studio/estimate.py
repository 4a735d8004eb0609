"""Estimates before a render begins: its time, its memory, and the size of its file."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ..features.extractor import Features
from ..io.frame import fit
from ..settings import Settings
from ..sheet import SHEET_STEPS, cell_px
from ..stylizer.cold_start import pyramid_sizes
from ..stylizer.memory_check import expected_bytes
from ..stylizer.sizes import output_size, working_size
from .choices import PRESET_NAMES, chosen_settings
from .items import Clip
from .job import Job
from .preview import StepTime

FRAME_STEPS = 1.5
"""What a frame takes besides its steps (optical flow, warping, targets, the encoder), in steps."""

PATCH_COST, LAYERS_COST = 1.3, 1.3
"""What a step takes with patch matching, and with all style layers, relative to one without."""

WORKING_BITS, OUTPUT_BITS = 0.75, 0.5
"""Bits for each pixel of the working size and of the output that a frame takes in H.264 at the
default quality, where no job has shown it: measured from 320 to 1280 px."""

SIMILAR_SIZE = 2.0
"""Largest factor between the pixels of a render and of a finished one that shows its speed: small
ones spend more of their time on what does not grow with the size."""

STILL_BITS_PER_PIXEL = 14.0
"""Of a stylised picture as PNG."""


RECENT_JOBS = 3
"""Number of finished jobs whose speed counts."""


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
    regions: int = 0,
) -> dict[str, dict[str, float | None]]:
    """Preset -> its estimates: ``seconds``, ``memory_bytes``, ``file_bytes``; None where unknown.

    Args:
        clip: to render.
        changes: of the settings of each preset.
        part: start and end in seconds.
        features: of the render.
        speed: of this machine.
        regions: number of regions with looks of their own.

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
        pace = _pace(preset, settings, sizes[0], speed)
        bits = _frame_bits(clip, preset, sizes, speed.jobs)
        found[preset] = {
            "seconds": None if work is None or pace is None else round(work * pace, 1),
            "memory_bytes": expected_bytes(features, sizes, regions),
            "file_bytes": None if frames is None else round(frames * bits / 8),
        }
    return found


def sheet_seconds(
    clip: Clip, changes: dict[str, Any], styles: int, preview: StepTime | None
) -> dict[str, float | None]:
    """Preset -> the time in seconds of a contact sheet; None before the first preview.

    Args:
        clip: whose frame is painted.
        changes: of the settings of each preset.
        styles: number of them.
        preview: see ``Speed``.
    """
    size = clip.width, clip.height
    cell = fit(size, cell_px(size, styles))
    found: dict[str, float | None] = {}
    for preset in PRESET_NAMES:
        settings = replace(chosen_settings(preset, changes), initial_steps=SHEET_STEPS)
        pace = _preview_pace(settings, preview)
        found[preset] = None if pace is None else styles * work_of(settings, cell, 1) * pace
    return found


def frames_of(clip: Clip, part: tuple[float | None, float | None]) -> int | None:
    """Number of frames of a part of a clip; None where unknown."""
    if clip.kind == "still":
        return 1
    if clip.frames is None or not clip.seconds:
        return clip.frames
    start, end = part[0] or 0.0, part[1]
    seconds = (clip.seconds if end is None else min(end, clip.seconds)) - start
    return max(1, round(clip.frames * seconds / clip.seconds))


def work_of(settings: Settings, size: tuple[int, int], frames: int) -> float:
    """The work of a render in pixels times steps, as far as it follows from the settings."""
    pixels = size[0] * size[1]
    levels = pyramid_sizes(settings, size, settings.initial_steps)
    first = sum(width * height for width, height in levels) / len(levels) * settings.initial_steps
    each = settings.steps + settings.backward_steps + FRAME_STEPS
    return first + (frames - 1) * pixels * each


def _pace(preset: str, settings: Settings, size: tuple[int, int], speed: Speed) -> float | None:
    """Seconds for a pixel and a step: of the finished jobs of a preset that are last in the queue
    and of a similar size, else of the last preview; None where nothing is known."""
    work = seconds = 0.0
    for job in [each for each in speed.jobs if each.preset == preset][-RECENT_JOBS:]:
        width, height = job.working_size or (0, 0)
        factor = width * height / (size[0] * size[1])
        if job.seconds and 1 / SIMILAR_SIZE <= factor <= SIMILAR_SIZE:
            frames = 1 if job.is_still else max(1, job.done)
            work += work_of(chosen_settings(preset, job.settings), (width, height), frames)
            seconds += job.seconds
    if work:
        return seconds / work
    return _preview_pace(settings, speed.preview)


def _preview_pace(settings: Settings, preview: StepTime | None) -> float | None:
    """Seconds for a pixel and a step of the last preview, for other settings."""
    if preview is None:
        return None
    return preview.seconds * _step_cost(settings) / _step_cost(preview.settings)


def _step_cost(settings: Settings) -> float:
    """What a step takes, relative to the quickest kind."""
    patches = PATCH_COST if settings.patch_weight else 1.0
    return patches * (1.0 if settings.fast_style_layers else LAYERS_COST)


def _frame_bits(
    clip: Clip, preset: str, sizes: tuple[tuple[int, int], tuple[int, int]], jobs: Sequence[Job]
) -> float:
    """Bits of a stylised frame: of an earlier job of the same clip and preset, else of any clip.

    Args:
        clip: to render.
        preset: name of a preset.
        sizes: (width, height) in px at which frames are optimised, and of the output.
        jobs: finished ones.
    """
    working, output = (width * height for width, height in sizes)
    if clip.kind == "still":
        return STILL_BITS_PER_PIXEL * output
    for job in reversed(jobs):
        if job.clip == clip.id and job.preset == preset and job.bytes and job.done > 1:
            return job.bytes * 8 / job.done
    return WORKING_BITS * working + OUTPUT_BITS * output
