"""Temporal error on MPI Sintel (Butler et al. 2012), whose optical flow is known.

The protocol is that of Ruder et al. 2016: frame t + 1 is warped back to frame t by the true flow,
and the error is the root mean square difference, with pixels in [0, 1], where pixels of frame t are
neither occluded nor invalid.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..flow.estimate import estimate_motion
from ..flow.fields import flow_input
from ..flow.methods import FlowMethod
from ..flow.warp import resize_flow, warp
from ..io.frame import Frame
from ..io.images import read_image
from ..ops.tensors import resize, to_tensor
from ..settings import PRESETS
from .clips import Clip
from .results import AddRow
from .runs import ClipRunner

SINTEL_WIDTH_PX = 1024
"""Width of Sintel's frames."""

FRAMES = "clean"
"""Rendering pass whose frames are stylised."""


class Truth(NamedTuple):
    """What is known of a pair of frames.

    Args:
        flow: (1, 2, H, W), from the first frame to the second.
        visible: (1, 1, H, W) bool, the pixels of the first frame that the second shows.
    """

    flow: Tensor
    visible: Tensor


class SintelBench:
    """Stylises the sequences of a folder and measures their temporal error.

    Args:
        runner: stylises sequences.
        add_row: is called with each figure.
        folder: MPI Sintel's ``training`` folder, with ``clean``, ``flow``, ``occlusions`` and
            ``invalid``.
        count: number of frames of each sequence.
        flow: the optical flow method of the runner; None: its error is not measured.
    """

    def __init__(
        self, runner: ClipRunner, add_row: AddRow, folder: Path, count: int, flow: FlowMethod | None
    ) -> None:
        self._runner, self._row, self._folder = runner, add_row, folder
        self._count, self._flow = count, flow

    def measure(self) -> None:
        """Measure all sequences.

        Raises:
            InputError: the folder lacks frames, flow or occlusions.
        """
        sequences = sorted(path for path in (self._folder / FRAMES).glob("*") if path.is_dir())
        if not sequences:
            raise InputError(
                f"{self._folder} has no folder {FRAMES}/SEQUENCE: give MPI Sintel's training folder"
            )
        for sequence in sequences:
            self._measure(sequence)

    def _measure(self, sequence: Path) -> None:
        paths = sorted(sequence.glob("frame_*.png"))[: self._count]
        if len(paths) < 3:
            raise InputError(f"{sequence} has fewer than 3 frames: copy the whole sequence")
        frames = [Frame(read_image(path)) for path in paths]
        truths = [read_truth(self._folder, sequence.name, path.stem) for path in paths[1:-1]]
        run = self._runner.run(Clip(sequence.name, frames, [], []), PRESETS["standard"])
        sources = [to_tensor(frame.image) for frame in frames]
        name = f"Sintel {sequence.name}"
        own = mean_error(run.images[1:], truths)
        self._row(f"{name}: temporal error", own, "", "<= 0.035")
        cold = [self._runner.cold_start(frame) for frame in frames[1:3]]
        self._row(f"{name}: the same, frame by frame (one pair)", mean_error(cold, truths[:1]))
        self._row(f"{name}: the same of the source", mean_error(sources[1:], truths))
        floor = [half_pixel_error(image) for image in run.images[1:-1]]
        self._row(f"{name}: the same of half a pixel's shift", float(np.mean(floor)))
        if self._flow is None:
            return
        errors = [
            flow_errors(frame, other, truth, self._flow)
            for frame, other, truth in zip(frames[1:], frames[2:], truths, strict=False)
        ]
        everywhere, kept, share = np.mean(errors, 0)
        self._row(f"{name}: flow error of visible pixels", everywhere, "px", "<= 3")
        self._row(f"{name}: flow error of reliable pixels", kept, "px")
        self._row(f"{name}: reliable part of the visible pixels", 100 * share, "%")


def read_truth(folder: Path, sequence: str, frame: str) -> Truth:
    """The true flow of a frame to the next one.

    Raises:
        InputError: a file is missing or damaged.
    """
    path = folder / "flow" / sequence / f"{frame}.flo"
    flow = cv2.readOpticalFlow(str(path)) if path.is_file() else None
    if flow is None or not flow.size:
        raise InputError(f"{path} cannot be read: copy MPI Sintel's flow beside its frames")
    hidden = np.zeros(flow.shape[:2], bool)
    for kind in ("occlusions", "invalid"):
        mask = read_image(folder / kind / sequence / f"{frame}.png")
        hidden |= mask[..., :3].max(2) > 0
    planes = np.ascontiguousarray(flow.transpose(2, 0, 1), np.float32)
    return Truth(torch.from_numpy(planes)[None], torch.from_numpy(~hidden)[None, None])


def mean_error(images: Sequence[Tensor], truths: Sequence[Truth]) -> float:
    """The root of the mean temporal error of consecutive images, (1, 3, H, W) of any size.

    Where flow leaves the frame, the border repeats.
    """
    errors = []
    for image, following, (flow, visible) in zip(images, images[1:], truths, strict=False):
        size = visible.shape[-1], visible.shape[-2]
        first, second = resize(image, size), resize(following, size)
        difference = warp(second, flow, "bilinear") - first
        errors.append(difference.square().mean(1, keepdim=True)[visible].mean().item())
    return float(np.mean(errors) ** 0.5)


def half_pixel_error(image: Tensor) -> float:
    """What an image is charged that moves exactly, by half a pixel there and back."""
    half = torch.full_like(image[:, :2], 0.5)
    back = warp(warp(image, half, "bicubic"), -half, "bilinear")
    return (back - image).square().mean().sqrt().item()


def flow_errors(
    frame: Frame, other: Frame, truth: Truth, method: FlowMethod
) -> tuple[float, float, float]:
    """Mean end-point error in px of visible pixels, of reliable ones, and their share."""
    motion = estimate_motion(flow_input(frame.image), flow_input(other.image), method)
    if motion.flow is None or motion.reliable is None:
        return 0.0, 0.0, 1.0
    size = truth.flow.shape[-1], truth.flow.shape[-2]
    error = (resize_flow(motion.flow, size) - truth.flow).square().sum(1, keepdim=True).sqrt()
    reliable = (resize(motion.reliable, size) > 0.5) & truth.visible
    share = reliable.sum() / truth.visible.sum()
    return error[truth.visible].mean().item(), error[reliable].mean().item(), share.item()
