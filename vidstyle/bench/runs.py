"""Stylised clips and their references: warm-started runs, a naive baseline, cold starts and L*."""

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..flow.clip_motion import with_motion
from ..flow.methods import FlowMethod
from ..flow.motion import Motion
from ..io.frame import Frame
from ..losses.objective import Objective
from ..ops.tensors import resize, to_tensor
from ..settings import PRESETS, Settings
from ..stylizer.backward_pass import BackwardPass, PlannedFrame, uses_backward_pass
from ..stylizer.style import Style
from ..stylizer.stylizer import Stylizer
from . import temporal_metrics, textbook
from .clips import Clip

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ReferenceFrame:
    """One frame of a clip with the references that stylised versions of it are compared with.

    Args:
        number: index in the clip.
        content: (1, 3, H, W) float in [0, 1].
        objective: of this frame, in float32, without temporal term.
        cold_start: the frame stylised from scratch, (1, 3, H, W) on the CPU.
        best_loss, clamped_loss: L* of ``temporal_metrics.reference_objective``, and that of the
            same image clamped to [0, 1].
    """

    number: int
    content: Tensor
    objective: Objective
    cold_start: Tensor
    best_loss: float
    clamped_loss: float

    def loss(self, image: Tensor) -> float:
        """The objective of a stylised version of this frame, (1, 3, H, W)."""
        with torch.no_grad():
            return self.objective(image.to(self.content.device))["total"].item()

    def gap(self, image: Tensor) -> float:
        """Objective gap to L*, per cent."""
        return 100 * (self.loss(image) / self.best_loss - 1)

    def gap_to_clamped(self, image: Tensor) -> float:
        """Objective gap to L* of the clamped image, per cent."""
        return 100 * (self.loss(image) / self.clamped_loss - 1)

    def gap_to_cold_start(self, image: Tensor) -> float:
        """Objective gap to the cold start, per cent."""
        return 100 * (self.loss(image) / self.loss(self.cold_start) - 1)


@dataclass(eq=False)
class StylizedRun:
    """A stylised clip.

    Args:
        images: (1, 3, H, W) float in [0, 1] on the CPU, one per frame.
        steps, seconds: of each frame after the first.
    """

    images: list[Tensor] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def stylize_frames(
    stylizer: Stylizer, frames: Iterable[PlannedFrame], steps: int | None = None
) -> StylizedRun:
    """Stylise frames one after the other and keep the unrounded images.

    Args:
        stylizer: with the state of the frame before the first of ``frames``.
        frames: each with its motion, and with its proposal where there is one.
        steps: of each frame; None: as many as the stylizer chooses.
    """
    run = StylizedRun()
    for planned in frames:
        began = time.perf_counter()
        stylizer(planned.frame, planned.motion, steps, planned.proposal)
        run.seconds.append(time.perf_counter() - began)
        run.images.append(stylizer.state()["image"])
        run.steps.append(len(stylizer.iterations))
    return run


def stylize_naively(
    stylizer: Stylizer, first: Tensor, contents: Sequence[Tensor], steps: int
) -> StylizedRun:
    """The naive baseline: each frame starts from the previous stylised frame, with a new Adam.

    There is no optical flow, no temporal loss and no optimiser state from the frame before.

    Args:
        stylizer: for its objective.
        first: the stylised first frame, (1, 3, H, W).
        contents: of the frames after the first.
        steps: of each frame.
    """
    run, image = StylizedRun(), first.to(stylizer.features.device)
    for content in contents:
        began = time.perf_counter()
        losses = temporal_metrics.textbook_losses(stylizer.objective(content))
        image, _ = textbook.adam(losses, image, steps)
        run.seconds.append(time.perf_counter() - began)
        run.images.append(image.cpu())
        run.steps.append(steps)
    return run


class ClipRunner:
    """Stylises clips in one style. Cold starts are cached, since several runs begin with the same.

    Args:
        style: with its features.
        size_px: working size (long side).
        flow: optical flow method; None: no flow.
    """

    def __init__(self, style: Style, size_px: int, flow: FlowMethod | None) -> None:
        self.device = style.features.device
        self._style, self._size_px, self._flow = style, size_px, flow
        self._cold_starts: dict[tuple[bytes, Settings], tuple[dict[str, Tensor], float]] = {}

    def run(self, clip: Clip, settings: Settings, steps: int | None = None) -> StylizedRun:
        """vidstyle's own: a cold start, then warm starts with ``steps`` steps each.

        Args:
            clip: its frames are used; its exact motions are not.
            settings: of the stylizer.
            steps: of each frame after the first; None: as many as the stylizer chooses.
        """
        words = steps or f"at most {settings.steps}"
        log.debug(f"{clip.name}: stylising {len(clip.frames)} frames, {words} steps each")
        stylizer = self._stylizer(settings)
        planner = BackwardPass(self.with_estimated_motion(clip, settings), stylizer)
        planned = list(planner)[1:]
        stylizer.load_state(self._cold_state(clip.frames[0], settings)[0])
        run = stylize_frames(stylizer, planned, steps)
        seconds = [spent + planner.seconds_per_frame for spent in run.seconds]
        first = self.cold_start(clip.frames[0], settings)
        return replace(run, images=[first, *run.images], seconds=seconds)

    def run_naively(self, clip: Clip, settings: Settings) -> StylizedRun:
        """The same cold start, then ``stylize_naively`` with ``settings.steps`` steps per frame."""
        log.debug(f"{clip.name}: previous frame, fresh Adam, {settings.steps} steps each")
        first = self.cold_start(clip.frames[0], settings)
        contents = [self.content(frame) for frame in clip.frames[1:]]
        run = stylize_naively(self._stylizer(settings), first, contents, settings.steps)
        return replace(run, images=[first, *run.images])

    def reference_frame(self, clip: Clip, number: int) -> ReferenceFrame:
        """A frame of a clip with L* and its cold start."""
        content = self.content(clip.frames[number])
        objective = self.objective(content)
        cold_start = self.cold_start(clip.frames[number])
        iterations = textbook.REFERENCE_ITERATIONS
        log.debug(f"{clip.name}, frame {number}: {iterations} iterations of L-BFGS")
        best = temporal_metrics.reference_objective(objective, content)
        return ReferenceFrame(number, content, objective, cold_start, *best)

    def objective(self, content: Tensor) -> Objective:
        """The standard objective in float32, whatever the precision of the runs."""
        return self._stylizer(replace(PRESETS["standard"], precision="fp32")).objective(content)

    def content(self, frame: Frame) -> Tensor:
        """The frame at working size, (1, 3, H, W) float in [0, 1]."""
        size = self._stylizer(PRESETS["standard"]).working_size(frame.size)
        return resize(to_tensor(frame.image, self.device), size)

    def cold_start(self, frame: Frame, settings: Settings | None = None) -> Tensor:
        """The frame stylised from scratch, (1, 3, H, W) on the CPU; None: standard settings."""
        return self._cold_state(frame, settings or PRESETS["standard"])[0]["image"]

    def cold_start_seconds(self, frame: Frame) -> float:
        """Seconds of that cold start, with standard settings."""
        return self._cold_state(frame, PRESETS["standard"])[1]

    def with_estimated_motion(self, clip: Clip, settings: Settings) -> list[tuple[Frame, Motion]]:
        """The frames with their motion by the optical flow method, as in a render."""
        stylizer = self._stylizer(settings)
        flow_px = stylizer.flow_px(clip.frames[0].size)
        reverse = uses_backward_pass(stylizer)
        return list(with_motion(clip.frames, self._flow, size_px=lambda: flow_px, reverse=reverse))

    def _stylizer(self, settings: Settings) -> Stylizer:
        settings = replace(settings, working_size=self._size_px)
        return Stylizer(self._style.features, self._style, settings)

    def _cold_state(self, frame: Frame, settings: Settings) -> tuple[dict[str, Tensor], float]:
        """The stylizer's state after a cold start, and the seconds that the cold start took."""
        # These settings do not change a cold start.
        key = (
            frame.image.tobytes(),
            replace(settings, steps=1, backward_steps=0, flow="none"),
        )
        if key not in self._cold_starts:
            log.debug(f"stylising a first frame, {settings.initial_steps} steps")
            stylizer = self._stylizer(settings)
            began = time.perf_counter()
            stylizer(frame)
            self._cold_starts[key] = stylizer.state(), time.perf_counter() - began
        return self._cold_starts[key]
