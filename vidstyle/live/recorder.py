"""The recorder: a sink that can be started and stopped during a live session."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from ..errors import VidstyleError
from ..io.animation import ANIMATIONS
from ..io.direct_writer import DirectWriter
from ..io.files import partial_path
from ..io.frame import Frame
from ..io.recording_names import check_recording
from ..io.sink_base import DEFAULT_ENCODING, Encoding
from ..io.stream_info import VideoInfo
from ..io.video_writer import VideoWriter
from ..runtime.closing import Closing
from ..runtime.worker import SENTINEL, Worker
from .output_device import letterbox
from .recorded_sound import RecordedSound

if TYPE_CHECKING:
    from .microphone import Microphone

log = logging.getLogger(__name__)

FINISH_MESSAGE_SECONDS = 1.0
"""Seconds after which ``close`` reports that it waits for a recording."""


def log_message(text: str, error: bool = False) -> None:
    """Log a message, as an error or as information."""
    log.log(logging.ERROR if error else logging.INFO, "%s", text)


class Recorder(Closing):
    """A sink that writes frames to a file between ``start`` and ``stop``.

    A file is completed on a thread of its own, while the next recording may run already. A
    recording that cannot be written ends, and the session goes on. ``failure`` is the first error,
    or None.

    Args:
        source: format of the frames.
        encoding: codec and quality.
        notify: receives (line of text, whether it is an error), on any thread.
        microphone: what is heard; None: recordings have no audio.
        start_time: returns the time of the frames' zero in seconds of ``time.monotonic``.
    """

    def __init__(
        self,
        source: VideoInfo,
        encoding: Encoding = DEFAULT_ENCODING,
        notify: Callable[[str, bool], None] = log_message,
        microphone: "Microphone | None" = None,
        start_time: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._microphone, self._start_time = microphone, start_time
        self._sound: RecordedSound | None = None
        self._zero = 0.0  # when the first frame was captured, in seconds of time.monotonic
        self._source, self._encoding = replace(source, path=None), encoding
        self._notify = notify
        self._writer: DirectWriter | VideoWriter | None = None
        self._path = Path()
        self._first_frame: Frame | None = None
        self._lock = Lock()
        self._finishing: list[Worker] = []
        self.failure: VidstyleError | None = None

    def start(self, path: Path, overwrite: bool = False) -> None:
        """Record to a file from the next frame on.

        A partial file of a recording that was interrupted is kept, with a warning.

        Args:
            path: the file.
            overwrite: whether an existing file may be replaced.

        Raises:
            OutputError: the file exists, cannot be written, or another program writes it.
        """
        check_recording(path, overwrite)
        partial = partial_path(path)
        if partial.exists():
            message = "%s is an interrupted recording, which players can read"
            log.warning(f"{message}: rename or delete it", partial)
        writer: DirectWriter | VideoWriter
        sound = None if self._microphone is None else RecordedSound(self._microphone)
        if path.suffix.lower() in ANIMATIONS:
            writer = VideoWriter(path, self._source, self._encoding, overwrite=overwrite)
        else:
            track = None if sound is None else sound.track
            writer = DirectWriter(path, self._source, self._encoding, overwrite, track)
        with self._lock:
            self._writer, self._path, self._first_frame = writer, path, None
            self._sound = sound
        self._notify(f"recording: {path.absolute()}", False)

    @property
    def running(self) -> bool:
        """Whether frames are recorded."""
        return self._writer is not None

    def send(self, frame: Frame) -> None:
        """Write a frame while a recording runs. An error ends the recording; see ``failure``."""
        try:
            with self._lock:
                if self._writer is not None:
                    if self._first_frame is None:
                        self._first_frame = frame
                        self._zero = self._start_time() + float(frame.time)
                    first, image = self._first_frame, frame.image
                    if frame.size != first.size:  # a phone was rotated
                        image = letterbox(image, first.size)
                    time = frame.time - first.time
                    if self._sound is not None:
                        self._sound.feed(self._zero, time)
                    self._writer.send(replace(frame, image=image, time=time))
        except VidstyleError as error:
            self._fail(error)
            self.stop()

    def send_all(self, worker: Worker) -> None:
        """Send the frames of a worker's queue, in the worker's thread."""
        while (frame := worker.get()) is not SENTINEL:
            self.send(frame)

    def stop(self) -> None:
        """End the recording, if one runs. A thread completes the file and reports it."""
        with self._lock:
            writer, self._writer = self._writer, None
        if writer is not None:
            path = self._path
            self._finishing = [worker for worker in self._finishing if worker.is_alive()]
            self._finishing.append(Worker(lambda worker: self._finish(writer, path), "recording"))

    def _finish(self, writer: DirectWriter | VideoWriter, path: Path) -> None:
        try:
            recorded = writer.close()
        except VidstyleError as error:
            self._fail(error)
            return
        if recorded:
            self._notify(f"recorded: {recorded.absolute()}", False)
        else:
            self._notify(f"nothing was recorded to {path}: there was no frame", False)

    def _fail(self, error: VidstyleError) -> None:
        self.failure = self.failure or error
        self._notify(str(error), True)

    def close(self, complete: bool = True) -> None:
        """End the recording, and wait until all files are complete.

        Args:
            complete: for the interface of sinks; a live recording is always kept.

        Raises:
            VidstyleError: a recording could not be written.
        """
        self.stop()
        for worker in self._finishing:
            worker.join(FINISH_MESSAGE_SECONDS)
            if worker.is_alive():
                self._notify("waiting for a recording to be completed", False)
                worker.join()
            worker.raise_error()
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
