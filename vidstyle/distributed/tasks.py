"""Tasks: what a worker does. Each is a function of its arguments alone, and may be done again."""

import copy
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch

from .. import __version__
from ..errors import DeviceMemoryError, InputError, VidstyleError
from ..flow.methods import load_flow
from ..io.files import fingerprint, is_full_disk, is_url, temporary_folder
from ..io.frame_range import FrameSpan
from ..io.image_names import is_numbered
from ..io.range_writer import EncodedSegment
from ..io.shot_folder import Shot
from ..job import RenderJob
from ..range_render import render_range
from ..render_job import render_job
from ..runtime.device import choose_device
from ..runtime.limits import thread_limit
from ..settings import Settings
from ..stylizer.keyframe import Keyframe
from ..stylizer.regions import Region
from ..stylizer.style import Style
from ..stylizer.stylizer import Stylizer
from ..stylizer.timeline import Timeline
from .shot_list import ScanRange, scan
from .sources import SourceMissingError, local_source


def versions() -> dict[str, str]:
    """Versions that all workers must have in common: a result depends on them."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {
        "vidstyle": __version__,
        "torch": torch.__version__,
        "av": av.__version__,
        "Python": python,
    }


@dataclass(frozen=True, eq=False)
class Recipe:
    """What all tasks of a command have in common. Each is equal to itself only.

    Args:
        style: with its features, on the CPU.
        keyframes: of the timeline, with styles of the same features.
        regions: of the frames, the same.
        device: name of the device of each worker.
        threads: CPU threads of each worker.
        flow_weights: file with RAFT's weights.
        versions: of the driver.
    """

    style: Style
    keyframes: tuple[Keyframe, ...]
    regions: tuple[Region, ...]
    device: str
    threads: int
    flow_weights: Path | None
    versions: Mapping[str, str]

    @classmethod
    def of(
        cls, stylizer: Stylizer, device: str, threads: int, flow_weights: Path | None = None
    ) -> "Recipe":
        """The recipe of a stylizer."""
        features = copy.deepcopy(stylizer.features).to("cpu")  # the stylizer keeps its own
        style = stylizer.style.with_features(features)
        given = stylizer.timeline.keyframes if stylizer.timeline else ()
        keyframes = tuple(each.with_features(features) for each in given)
        regions = tuple(each.with_features(features) for each in stylizer.regions)
        return cls(style, keyframes, regions, device, threads, flow_weights, versions())


@dataclass(frozen=True)
class Clip:
    """One input of a command.

    Args:
        job: how it is rendered; its input is an absolute path.
        settings: of the stylisation.
        contents: fingerprint of the input; empty for an image sequence.
    """

    job: RenderJob
    settings: Settings
    contents: str

    @classmethod
    def of(cls, job: RenderJob, settings: Settings) -> "Clip":
        """The clip of a job.

        Raises:
            InputError: the input is no file.
        """
        if is_url(job.input) or str(job.input) == "-":
            raise InputError(
                f"{job.label} is no file, which workers could read: save it to a file first"
            )
        path = os.path.abspath(job.input)  # noqa: PTH100 (links stay: workers may have others)
        contents = "" if is_numbered(path) else fingerprint(path)
        sent = replace(job.absolute(), input=path, quiet=True)
        return cls(replace(sent, batch_display=None, listener=None, flow=None), settings, contents)


@dataclass(frozen=True)
class Probe:
    """Task: say that the worker is ready. The result is a description of its device."""


@dataclass(frozen=True)
class Still:
    """Task: render a whole image. The result is the content of the output file."""


Task = Probe | ScanRange | Shot | Still


class Trouble(Enum):
    """Why a task has no result."""

    OWN = "the input's own error: another try would end alike"
    VERSIONS = "the worker has other versions"
    SOURCE = "the worker does not see the source"
    MEMORY = "out of memory"
    NODE = "the disk of the node is full"
    LOST = "the worker or its node died"


@dataclass(frozen=True)
class Outcome:
    """The end of a task.

    Args:
        value: its result.
        trouble: why there is none.
        error: what to tell the user about it.
        node: name of the node.
    """

    value: Any = None
    trouble: Trouble | None = None
    error: VidstyleError | None = None
    node: str = ""


def perform(
    recipe: Recipe,
    clip: Clip | None,
    task: Task,
    fetch: Callable[[], np.ndarray] | None = None,
    gpu: int | None = None,
) -> Outcome:
    """Do a task in this process.

    Args:
        recipe: of the command.
        clip: that the task belongs to; None for a probe.
        task: what to do.
        fetch: gets the bytes of the source; None: they were not sent.
        gpu: index of the GPU to use, where there is one; None: as the recipe says.
    """
    node = os.uname().nodename if hasattr(os, "uname") else ""
    here = versions()
    if here != recipe.versions:
        name = next(name for name in here if here[name] != recipe.versions[name])
        return Outcome(
            None,
            Trouble.VERSIONS,
            VidstyleError(
                f"{node} has {name} {here[name]}, and the driver has {recipe.versions[name]}: "
                "install the same version on every machine"
            ),
            node,
        )
    try:
        with _threads(recipe.threads), _on_gpu(gpu):
            return Outcome(_result(recipe, clip, task, fetch), node=node)
    except SourceMissingError as missing:
        return Outcome(None, Trouble.SOURCE, InputError(str(missing)), node)
    except (DeviceMemoryError, MemoryError) as error:
        return Outcome(None, Trouble.MEMORY, VidstyleError(str(error)), node)
    except VidstyleError as error:
        # Another node may have space.
        trouble = Trouble.NODE if is_full_disk(error) else Trouble.OWN
        return Outcome(None, trouble, error, node)
    except OSError as error:
        reason = VidstyleError(f"{node}: {error.strerror}: free some space there")
        return Outcome(None, Trouble.NODE, reason, node)


def _result(
    recipe: Recipe, clip: Clip | None, task: Task, fetch: Callable[[], np.ndarray] | None
) -> Any:
    device = choose_device(recipe.device)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    if clip is None or isinstance(task, Probe):
        return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    job = replace(clip.job, input=local_source(clip.job.input, clip.contents, fetch))
    if isinstance(task, ScanRange):
        return scan(job, task)
    style, keyframes, regions = _styles_on(recipe, str(device))
    stylizer = Stylizer(style.features, style, clip.settings)
    stylizer.regions = regions
    if keyframes:
        stylizer.timeline = Timeline(keyframes, style, clip.settings, regions)
    job = replace(job, flow=load_flow(clip.settings.flow, device, recipe.flow_weights))
    if isinstance(task, Still):
        return _rendered_still(job, stylizer)
    return render_shot(job, stylizer, task)


def render_shot(job: RenderJob, stylizer: Stylizer, shot: Shot) -> tuple[EncodedSegment, ...]:
    """The segments of a shot.

    Raises:
        InputError: the clip has fewer frames than it had when its shots were found.
    """
    span = FrameSpan(shot.first, shot.stop, shot.time)
    result = render_range(job, stylizer, span, shot.last_pts, shot.seam)
    if result.frames != shot.frames:
        raise InputError(
            f"{job.label} has {result.frames} frames instead of {shot.frames} from frame "
            f"{shot.first} on: the clip has changed; restart with overwrite=True",
            "overwrite",
        )
    return result.segments


def _rendered_still(job: RenderJob, stylizer: Stylizer) -> bytes:
    with temporary_folder() as folder:
        output = folder / Path(job.output).name
        render_job(replace(job, output=output, resume=False), stylizer)
        return output.read_bytes()


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Set the number of threads of all libraries; the last bit of a result depends on it."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    try:
        with thread_limit(count):
            torch.set_num_threads(count)
            cv2.setNumThreads(count)
            yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


@contextmanager
def _on_gpu(index: int | None) -> Iterator[None]:
    """Use a GPU, and leave its memory to the others that share it."""
    if index is None or not torch.cuda.is_available():
        yield
        return
    torch.cuda.set_device(index)
    try:
        yield
    finally:
        torch.cuda.empty_cache()


Styles = tuple[Style, tuple[Keyframe, ...], tuple[Region, ...]]


@lru_cache(maxsize=1)
def _styles_on(recipe: Recipe, device: str) -> Styles:
    """All styles on a device, with the statistics of earlier tasks of the same recipe."""
    features = recipe.style.features.to(device)
    keyframes = tuple(each.with_features(features) for each in recipe.keyframes)
    regions = tuple(each.with_features(features) for each in recipe.regions)
    return recipe.style.with_features(features), keyframes, regions
