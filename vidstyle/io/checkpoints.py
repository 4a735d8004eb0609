"""What survives a crash: closed segments of a clip, and what is needed to go on after them."""

import json
import logging
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

log = logging.getLogger(__name__)

COUNTS = "checkpoint.counts"

MACHINE = ("version", "torch", "threads")
"""Of a job: what may have changed since, with a word about it."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Between two frames: what is needed to go on.

    Args:
        frames: how many frames of the source came before.
        shot: how many of those belong to the shot that goes on.
        state: the stylizer's, as of ``Stylizer.state``.
        numbers: whole numbers that the sink needs for itself.
    """

    frames: int
    shot: int
    state: Mapping[str, Tensor]
    numbers: tuple[int, ...] = field(default=())


class SegmentFolder(PartFolder):
    """Segments that are whole, and checkpoints: how to go on after two of them.

    Args:
        output: the file that the segments become.
        ending: of the segments.
    """

    def __init__(self, output: Path, ending: str) -> None:
        super().__init__(output, ending)
        self.segments: list[Path] = []

    def find(self, job: Mapping[str, Any]) -> Checkpoint | None:
        """The last point that an earlier run of the same job can be gone on from; None where there is none. Nothing is changed.

        Raises:
            OutputError: the job was another.
        """
        document = self.document()
        if document is None:
            return None
        self._check_same(document["job"], json.loads(json.dumps(job)))
        whole = list(takewhile(Path.exists, map(self._segment, range(document["segments"]))))
        for number in range(len(whole), 0, -1):
            with suppress(
                InputError, KeyError, ValueError
            ):  # damaged, or not there: the one before will do
                found = _read(self._state(number))
                self.segments = whole[:number]
                self._job, self._begun = job, document["segments"]
                return found
        return None

    def _check_same(self, before: Mapping[str, Any], now: dict[str, Any]) -> None:
        changed = [key for key in now if before.get(key) != now[key]]
        for key in [key for key in changed if key in MACHINE]:
            changed.remove(key)
            log.warning(
                "%s was %s and is %s now: what follows may differ in the last bit",
                key,
                before.get(key),
                now[key],
            )
        if changed:
            said = "; ".join(
                f"{key} was {_short(before.get(key))} and is {_short(now[key])} now"
                for key in changed[:3]
            )
            remedy = "give what was given before, or start anew with overwrite=True and without resume=True"
            raise OutputError(
                f"{self.folder} was begun otherwise: {said}; {remedy}", "overwrite", "resume"
            )

    def next_segment(self) -> Path:
        """The file to write the next segment into, which is listed from now on.

        Raises:
            OSError: it cannot be listed.
        """
        if self._begun <= len(self.segments):
            self._begun = len(self.segments) + 1
            self._list()
        return self.current

    @property
    def current(self) -> Path:
        """The segment that is being written."""
        return self._segment(len(self.segments), ".part")

    def _state(self, number: int) -> Path:
        return self.folder / f"{number:06}.safetensors"

    def _segment(self, number: int, part: str = "") -> Path:
        return self.folder / f"{number:06}{part}{self._ending}"

    def finish(self) -> None:
        """The segment being written is whole.

        Raises:
            OSError: it cannot be made to stay.
        """
        whole = self._segment(len(self.segments))
        fsync_path(self.current)
        self.current.replace(whole)
        fsync_path(whole)
        self.segments.append(whole)

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep what is needed to go on after the segments that are whole; of earlier ones only the last.

        Raises:
            OutputError: it cannot be written.
        """
        counts = torch.tensor([checkpoint.frames, checkpoint.shot, *checkpoint.numbers])
        write_tensors(self._state(len(self.segments)), {**checkpoint.state, COUNTS: counts}, {})
        self._state(len(self.segments) - 2).unlink(missing_ok=True)


def _read(file: Path) -> Checkpoint:
    tensors, _ = read_tensors(file)
    counts = tensors.pop(COUNTS)
    if counts.dtype != torch.int64 or counts.ndim != 1:
        raise ValueError(f"{file} counts otherwise")
    frames, shot, *numbers = counts.tolist()
    if not 0 <= shot <= frames:
        raise ValueError(f"{file} has {shot} of {frames} frames in a shot")
    return Checkpoint(frames, shot, tensors, tuple(numbers))


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
