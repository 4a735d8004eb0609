"""Checkpoints and finished segments, from which a render resumes after a crash."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, OutputError
from .files import fsync_path
from .part_folder import PartFolder
from .tensor_file import read_tensors, write_tensors

COUNTS_KEY = "checkpoint.counts"
"""Name of the tensor of counts in a checkpoint file."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Everything that is needed to resume between two frames.

    Args:
        frames: number of frames of the source before this point.
        frames_in_shot: how many of them belong to the current shot.
        state: of the stylizer, as ``Stylizer.state`` returns it.
        sink_state: whole numbers that the sink needs to resume.
    """

    frames: int
    frames_in_shot: int
    state: Mapping[str, Tensor]
    sink_state: tuple[int, ...] = field(default=())


class SegmentFolder(PartFolder):
    """Finished segments and checkpoints in a ``PartFolder``; the last two checkpoints are kept.

    Args:
        output: the file that the segments become.
        ending, resumable: as for ``PartFolder``.
    """

    def __init__(self, output: Path, ending: str, resumable: bool = True) -> None:
        super().__init__(output, ending, resumable)
        self.segments: list[Path] = []

    def find_checkpoint(self, job: Mapping[str, Any]) -> Checkpoint | None:
        """The last valid checkpoint of an earlier run of the same job; None where there is none.

        Raises:
            OutputError: the earlier run had another job.
        """
        document = self.document()
        if document is None:
            return None
        self.check_same_job(document, job)
        if document.get("shots"):
            raise OutputError(
                f"{self.folder} is from a render whose shots are stylised apart: resume it with "
                "vidstyle.render, or restart with overwrite=True",
                "overwrite",
            )
        whole = list(takewhile(Path.exists, map(self._segment_path, range(document["segments"]))))
        for number in range(len(whole), 0, -1):
            # A damaged or missing checkpoint: try the one before.
            with suppress(InputError, KeyError, ValueError):
                found = _read(self._checkpoint_path(number))
                self.segments = whole[:number]
                self._job, self._started = job, document["segments"]
                return found
        return None

    def next_segment(self) -> Path:
        """List the next segment in the job, and return its path.

        Raises:
            OSError: the job cannot be written.
        """
        if self._started <= len(self.segments):
            self._started = len(self.segments) + 1
            self._write_job()
        return self.open_segment

    @property
    def open_segment(self) -> Path:
        """The path of the segment that is being written."""
        return self._segment_path(len(self.segments), ".part")

    def _checkpoint_path(self, number: int) -> Path:
        return self.folder / f"{number:06}.safetensors"

    def _segment_path(self, number: int, part: str = "") -> Path:
        return self.folder / f"{number:06}{part}{self._ending}"

    def finish_segment(self) -> None:
        """Rename the segment being written, and flush it to disk.

        Raises:
            OSError: it cannot be flushed.
        """
        whole = self._segment_path(len(self.segments))
        fsync_path(self.open_segment)
        self.open_segment.replace(whole)
        fsync_path(whole)
        self.segments.append(whole)

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint after the finished segments, and delete the one before the previous.

        Raises:
            OutputError: it cannot be written.
        """
        counts = torch.tensor(
            [checkpoint.frames, checkpoint.frames_in_shot, *checkpoint.sink_state]
        )
        write_tensors(
            self._checkpoint_path(len(self.segments)), {**checkpoint.state, COUNTS_KEY: counts}, {}
        )
        self._checkpoint_path(len(self.segments) - 2).unlink(missing_ok=True)


def _read(file: Path) -> Checkpoint:
    tensors, _ = read_tensors(file)
    counts = tensors.pop(COUNTS_KEY)
    if counts.dtype != torch.int64 or counts.ndim != 1:
        raise ValueError(f"{file} has counts of another type")
    frames, frames_in_shot, *sink_state = counts.tolist()
    if not 0 <= frames_in_shot <= frames:
        raise ValueError(f"{file} has {frames_in_shot} of {frames} frames in a shot")
    return Checkpoint(frames, frames_in_shot, tensors, tuple(sink_state))
