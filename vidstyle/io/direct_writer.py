"""Video files written directly, playable at any time: recordings."""

import logging
from pathlib import Path

from .codecs import EncoderConfig, select_encoder
from .encode import EncodedFile
from .files import check_writable, fsync_path
from .frame import Frame
from .locks import OutputLock
from .mux import CONTAINERS
from .recording_names import create_part_file
from .sink_base import DEFAULT_ENCODING, Encoding, FileSink, OutputErrors, publish
from .sound_track import SoundTrack
from .stream_info import VideoInfo

log = logging.getLogger(__name__)

LOW_DELAY_OPTIONS = {
    "libx264": {"tune": "zerolatency", "thread_type": "slice", "g": "60"},
    "libx265": {"tune": "zerolatency", "thread_type": "slice", "g": "60"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "g": "60"},
}
"""Encoder options that avoid a delay of frames."""

FRAGMENT_OPTIONS = {
    "mp4": {
        "movflags": "hybrid_fragmented+delay_moov",
        "frag_duration": "500000",
        "flush_packets": "1",
    },
    "matroska": {"cluster_time_limit": "500", "flush_packets": "1"},
}
"""Container options that flush every half second. A closed file is an ordinary one."""


class DirectWriter(FileSink):
    """Writes a video to ``NAME.part.EXT``, which is renamed when it is complete.

    A killed program leaves a playable ``NAME.part.EXT`` that lacks at most the last second. That
    file is never replaced: the next one is called ``NAME.part-2.EXT``. Nothing is encoded or copied
    at the end.

    Args:
        path: ends in .mp4, .m4v, .mov, .mkv or .webm.
        source: colours, time base, rate and sample aspect ratio.
        encoding: codec and quality.
        overwrite: whether an existing file may be replaced.
        sound: its audio track; None: the video has no audio.

    Raises:
        OutputError: the file exists, cannot be written, or is being written by another program.
    """

    def __init__(
        self,
        path: Path,
        source: VideoInfo,
        encoding: Encoding = DEFAULT_ENCODING,
        overwrite: bool = False,
        sound: SoundTrack | None = None,
    ) -> None:
        self._sound = sound
        self._path, self._source, self._overwrite = (
            check_writable(path, overwrite),
            source,
            overwrite,
        )
        self._container = CONTAINERS[path.suffix.lower()]
        encoder = select_encoder(encoding.codec, encoding.crf, self._container, source)
        options = {**encoder.options, **LOW_DELAY_OPTIONS.get(encoder.name, {})}
        self._encoder = EncoderConfig(
            encoder.name, encoder.pixels, options, encoder.tag, encoder.odd_sizes
        )
        self._part: Path | None = None
        self._lock = OutputLock(path)
        self._lock.acquire()
        self._file: EncodedFile | None = None
        self._last_pts = -1

    def send(self, frame: Frame) -> None:
        """Encode one frame.

        Raises:
            OutputError: it cannot be written.
        """
        with self._output_errors():
            if self._file is None:
                self._part = create_part_file(self._path)
                options = FRAGMENT_OPTIONS[
                    "mp4" if self._container in ("mp4", "mov") else "matroska"
                ]
                self._file = EncodedFile(
                    self._part, self._container, self._encoder, self._source, options
                )
                self._file.side_streams = self._sound
            self._last_pts = max(round(frame.time / self._source.time_base), self._last_pts + 1)
            self._file.send(frame, self._last_pts)

    def _output_errors(self) -> OutputErrors:
        kept = f"; what was written is in {self._part}" if self._part else ""
        return OutputErrors(
            f"cannot write {self._path}", f"free some space or choose another place{kept}"
        )

    def close(self, complete: bool = True) -> Path | None:
        """Finish the file.

        Returns:
            The file written: ``NAME.EXT``, or ``NAME.part.EXT`` if it is incomplete; None where no
            frame came.

        Raises:
            OutputError: it cannot be finished; what was written stays in ``NAME.part.EXT``.
        """
        try:
            return self._finish(complete)
        finally:
            self._lock.release()

    def _finish(self, complete: bool) -> Path | None:
        file, self._file = self._file, None
        part = self._part
        if file is None or part is None:
            return None
        if self._sound is not None:
            self._sound.finish()
        with self._output_errors():
            file.close()
            if not complete:
                fsync_path(part)
                return part
            publish(part, self._path, self._overwrite)
        return self._path
