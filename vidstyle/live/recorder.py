"""A sink that can be switched on and off: recordings of a live session."""

from dataclasses import replace
from pathlib import Path
from threading import Lock
from types import TracebackType

from ..media.files import check_parts, check_writable
from ..media.format import Format
from ..media.frame import Frame
from ..media.writer import VideoWriter
from ..media.writing import AS_USUAL, Encoding


class Recorder:
    """A sink that writes to a file while it is told to."""

    segment_seconds = None  # a live recording is not gone on with

    def __init__(self, source: Format, encoding: Encoding = AS_USUAL) -> None:
        self._source, self._encoding = replace(source, path=None), encoding
        self._writer: VideoWriter | None = None
        self._began: Frame | None = None
        self._lock = Lock()

    def start(self, path: Path, overwrite: bool = False) -> None:
        """Record into this file from the next frame on.

        Raises:
            OutputError: it exists, or cannot be written.
        """
        check_parts(check_writable(path, overwrite), overwrite)
        writer = VideoWriter(path, self._source, self._encoding)
        with self._lock:
            self._writer, self._began = writer, None

    @property
    def running(self) -> bool:
        """Whether it records."""
        return self._writer is not None

    def send(self, frame: Frame) -> None:
        """Write a frame, if it records."""
        with self._lock:
            if self._writer is not None:
                self._began = self._began or frame
                self._writer.send(replace(frame, time=frame.time - self._began.time))

    def checkpoint(self, checkpoint: object) -> None:
        """Of no use here."""

    def close(self, complete: bool = True) -> Path | None:
        """Finish the file, if there is one."""
        with self._lock:
            writer, self._writer = self._writer, None
        return None if writer is None else writer.close(complete)

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
