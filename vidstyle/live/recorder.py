"""A sink that can be switched on and off: recordings of a live session."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Lock
from types import TracebackType

from ..errors import VidstyleError
from ..io.animation import ANIMATIONS
from ..io.direct_writer import DirectWriter
from ..io.files import partial_path
from ..io.frame import Frame
from ..io.recording_names import check_recording
from ..io.sink_base import DEFAULT_ENCODING, Encoding
from ..io.stream_info import VideoInfo
from ..io.video_writer import VideoWriter
from ..runtime.worker import Worker

log = logging.getLogger(__name__)

SAY_SECONDS = 1.0
"""A recording that takes longer than this to be finished at the end is worth a word."""


def log_message(text: str, error: bool = False) -> None:
    """Say something in the log."""
    log.log(logging.ERROR if error else logging.INFO, "%s", text)


class Recorder:
    """A sink that writes to a file while it is told to.

    A recording is finished in a thread of its own, while the next one may have begun. A recording that cannot be written is
    given up, and the session goes on.

    Args:
        source: what is recorded.
        encoding: codec and quality.
        tell: takes a line of text on any thread, and whether it is an error.
    """

    segment_seconds = None  # a live recording is not gone on with

    def __init__(
        self,
        source: VideoInfo,
        encoding: Encoding = DEFAULT_ENCODING,
        tell: Callable[[str, bool], None] = log_message,
    ) -> None:
        self._source, self._encoding, self._tell = replace(source, path=None), encoding, tell
        self._writer: DirectWriter | VideoWriter | None = None
        self._path = Path()
        self._began: Frame | None = None
        self._lock = Lock()
        self._finishing: list[Worker] = []
        self.failure: VidstyleError | None = None

    def start(self, path: Path, overwrite: bool = False) -> None:
        """Record into this file from the next frame on. What a recording that was broken off left there is named, and kept.

        Raises:
            OutputError: it exists, cannot be written, or is being written by another program.
        """
        check_recording(path, overwrite)
        if partial_path(path).exists():
            left = partial_path(path)
            log.warning(
                "%s is left of a recording that was broken off, and can be played: rename or delete it",
                left,
            )
        if path.suffix.lower() in ANIMATIONS:
            writer: DirectWriter | VideoWriter = VideoWriter(
                path, self._source, self._encoding, overwrite=overwrite
            )
        else:
            writer = DirectWriter(path, self._source, self._encoding, overwrite)
        with self._lock:
            self._writer, self._path, self._began = writer, path, None
        self._tell(f"recording: {path.absolute()}", False)

    @property
    def running(self) -> bool:
        """Whether it records."""
        return self._writer is not None

    def send(self, frame: Frame) -> None:
        """Write a frame, if it records. A recording that cannot be written ends here, and ``failure`` says why."""
        try:
            with self._lock:
                if self._writer is not None:
                    self._began = self._began or frame
                    self._writer.send(replace(frame, time=frame.time - self._began.time))
        except VidstyleError as error:
            self._fail(error)
            self.stop()

    def checkpoint(self, checkpoint: object) -> None:
        """Of no use here."""

    def stop(self) -> None:
        """End the recording, if there is one. The file is finished in a thread, which tells when it is there."""
        with self._lock:
            writer, self._writer = self._writer, None
        if writer is not None:
            path = self._path
            self._finishing = [stage for stage in self._finishing if stage.is_alive()]
            self._finishing.append(Worker(lambda stage: self._finish(writer, path), "recording"))

    def _finish(self, writer: DirectWriter | VideoWriter, path: Path) -> None:
        try:
            recorded = writer.close()
        except VidstyleError as error:
            self._fail(error)
            return
        self._tell(
            f"recorded: {recorded.absolute()}"
            if recorded
            else f"nothing was recorded into {path}: no frame came",
            False,
        )

    def _fail(self, error: VidstyleError) -> None:
        self.failure = self.failure or error
        self._tell(str(error), True)

    def close(self, complete: bool = True) -> None:
        """End the recording, and wait until all are finished. Whether the show is ``complete`` makes no difference.

        Raises:
            VidstyleError: what could not be recorded.
        """
        self.stop()
        for stage in self._finishing:
            stage.join(SAY_SECONDS)
            if stage.is_alive():
                self._tell("a recording is being finished", False)
                stage.join()
            stage.raise_error()
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
