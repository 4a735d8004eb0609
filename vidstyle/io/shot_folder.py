"""The folder of an unfinished output whose shots are stylised apart, and its work list."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import takewhile
from pathlib import Path
from typing import Any

from ..errors import OutputError
from .files import write_file
from .mux import Segment
from .part_folder import JOB_FILE, WORK_LIST_FILE, PartFolder
from .range_writer import EncodedSegment


@dataclass(frozen=True)
class Shot:
    """A shot, or a part of a long one, as an entry of a work list.

    Args:
        first: number of its first frame, counted from 0.
        stop: number after its last frame.
        time: of its first frame in seconds, as ``Frame.time``; None: unknown.
        last_pts: timestamp of the frame before, in units of the source's time base.
        seam: number of last frames that fade to the next part of the same shot.
        segments: (file name, number of frames, size in bytes) of each; empty until it is done.
    """

    first: int
    stop: int
    time: Fraction | None = None
    last_pts: int = -1
    seam: int = 0
    segments: tuple[tuple[str, int, int], ...] = ()

    @property
    def frames(self) -> int:
        """The number of frames that are written."""
        return self.stop - self.first

    @property
    def done(self) -> bool:
        """Whether its segments are written."""
        return bool(self.segments)

    def as_json(self) -> dict[str, Any]:
        """The entry of the work list."""
        return {
            "first": self.first,
            "stop": self.stop,
            "frames": self.frames,
            "time": None if self.time is None else str(self.time),
            "last pts": self.last_pts,
            "seam frames": self.seam,
            "state": "done" if self.done else "waiting",
            "segments": [dict(zip(SEGMENT_KEYS, each, strict=True)) for each in self.segments],
        }

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> "Shot":
        """The shot of an entry.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        time = entry["time"]
        return cls(
            int(entry["first"]),
            int(entry["stop"]),
            None if time is None else Fraction(time),
            int(entry["last pts"]),
            int(entry["seam frames"]),
            tuple(
                (Path(each["file"]).name, int(each["frames"]), int(each["bytes"]))
                for each in entry["segments"]
            ),
        )


SEGMENT_KEYS = ("file", "frames", "bytes")


class ShotFolder(PartFolder):
    """The segments of the shots of a clip, and the work list ``shots.json``.

    Each file is written whole before the work list names it, so what the list calls done is done,
    whatever killed the program.

    Args:
        output: the file that the segments become.
        ending, resumable: as for ``PartFolder``.
    """

    def __init__(self, output: Path, ending: str, resumable: bool = True) -> None:
        super().__init__(output, ending, resumable)
        self.shots: list[Shot] = []

    def create(self, job: Mapping[str, Any], shots: Sequence[Shot]) -> None:
        """Start a new job with these shots; files of an earlier run are removed.

        Raises:
            OutputError, OSError: see ``begin``.
        """
        self._shots = len(shots)
        self.begin(job)
        self.shots = list(shots)
        self._write_work_list()

    def load(self, job: Mapping[str, Any]) -> bool:
        """Load the work list of an earlier run of the same job; False where there is no run.

        Shots whose files are missing, or of another size than listed, count as not done.

        Raises:
            OutputError: the earlier run had another job, was not one of shots, or its work list is
                damaged.
        """
        document = self.document()
        if document is None:
            return False
        self.check_same_job(document, job)
        if not document.get("shots"):
            raise OutputError(
                f"{self.folder} is from a render of one frame after another: finish it without "
                "Ray, or restart with overwrite=True",
                "overwrite",
            )
        try:
            entries = json.loads((self.folder / WORK_LIST_FILE).read_text())["shots"]
            shots = [Shot.from_json(entry) for entry in entries]
            _check_contiguous(shots)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError):
            raise OutputError(
                f"the work list {self.folder / WORK_LIST_FILE} is damaged: restart with "
                "overwrite=True",
                "overwrite",
            ) from None
        self.shots = [shot if self._whole(shot) else replace(shot, segments=()) for shot in shots]
        self._job, self._shots = job, len(shots)
        return True

    def _whole(self, shot: Shot) -> bool:
        """Whether all files of a shot are there, with all of its frames."""
        try:
            sizes = [(self.folder / name).stat().st_size for name, _, _ in shot.segments]
        except OSError:
            return False
        listed = [size for _, _, size in shot.segments]
        return sizes == listed and sum(n for _, n, _ in shot.segments) == shot.frames

    def add(self, number: int, segments: Sequence[EncodedSegment]) -> None:
        """Write the segments of a shot, and list it as done.

        Raises:
            OutputError: they hold another number of frames than the shot.
            OSError: they cannot be written.
        """
        shot = self.shots[number]
        frames = sum(segment.frames for segment in segments)
        if frames != shot.frames:
            raise OutputError(
                f"frames {shot.first} to {shot.stop - 1} became {frames} frames instead of "
                f"{shot.frames}: the clip has changed; restart with overwrite=True",
                "overwrite",
            )
        listed = []
        for index, segment in enumerate(segments):
            name = f"{number:06}-{index:06}{self._ending}"
            write_file(self.folder / name, segment.data)
            listed.append((name, segment.frames, len(segment.data)))
        self.shots[number] = replace(shot, segments=tuple(listed))
        self._write_work_list()

    def segments(self) -> list[Segment]:
        """All segments in order, for ``mux.join``.

        Raises:
            OutputError: a shot is not done.
        """
        missing = [shot for shot in self.shots if not shot.done]
        if missing:
            raise OutputError(
                f"frames {missing[0].first} to {missing[0].stop - 1} are not stylised: use "
                "resume=True",
                "resume",
            )
        return self.segments_so_far()[0]

    def segments_so_far(self) -> tuple[list[Segment], Fraction | None]:
        """(segments before the first shot that is not done, its time in seconds)."""
        done = list(takewhile(lambda shot: shot.done, self.shots))
        following = self.shots[len(done)].time if len(done) < len(self.shots) else None
        return [
            Segment(self.folder / name, frames=frames)
            for shot in done
            for name, frames, _ in shot.segments
        ], following

    def _write_work_list(self) -> None:
        entries = [shot.as_json() for shot in self.shots]
        total = sum(shot.frames for shot in self.shots)
        document = {"frames": total, "shots": entries}
        write_file(self.folder / WORK_LIST_FILE, json.dumps(document, indent=1) + "\n")


def _check_contiguous(shots: Sequence[Shot]) -> None:
    """Raise ValueError unless the shots follow one another from frame 0 on."""
    if not shots or [shot.first for shot in shots] != [0, *(shot.stop for shot in shots[:-1])]:
        raise ValueError("frames are missing")


def has_work_list(folder: Path) -> bool:
    """Whether a part folder is from a render whose shots are stylised apart."""
    return (folder / WORK_LIST_FILE).is_file()


def threads_of(folder: Path) -> int | None:
    """The number of threads that the shots in a part folder were computed with; None: unknown."""
    try:
        return int(json.loads((folder / JOB_FILE).read_text())["job"]["threads"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
