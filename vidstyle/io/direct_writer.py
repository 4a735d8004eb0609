"""Clips written straight into one file, which can be played whenever the program ends."""

import logging
from pathlib import Path

from ..errors import OutputError
from .codecs import EncoderConfig, select_encoder
from .encode import EncodedFile
from .files import check_writable, fsync_path
from .frame import Frame
from .locks import OutputLock
from .mux import CONTAINERS
from .recording_names import claim_part
from .sink_base import DEFAULT_ENCODING, Encoding, FileSink, NamedErrors
from .stream_info import VideoInfo

log = logging.getLogger(__name__)

WITHOUT_DELAY = {
    "libx264": {"tune": "zerolatency", "thread_type": "slice", "g": "60"},
    "libx265": {"tune": "zerolatency", "thread_type": "slice", "g": "60"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "g": "60"},
}
"""Options with which encoders hold no frames back."""

AT_ONCE = {
    "mp4": {
        "movflags": "hybrid_fragmented+delay_moov",
        "frag_duration": "500000",
        "flush_packets": "1",
    },
    "matroska": {"cluster_time_limit": "500", "flush_packets": "1"},
}
"""Options with which half a second of pictures is on disk when it is complete. A file that is closed is an ordinary one."""


class DirectWriter(FileSink):
    """A clip without sound, written into ``NAME.part.EXT`` and renamed when it is whole.

    A program that is killed leaves a ``NAME.part.EXT`` that can be played and lacks at most the last second. It is never
    replaced: the next one is called ``NAME.part-2.EXT``. Nothing is encoded or copied again at the end.

    Args:
        path: ends in .mp4, .m4v, .mov, .mkv or .webm.
        source: colours, time base, rate and pixel shape.
        encoding: codec and quality.
        overwrite: whether an existing file may be replaced.

    Raises:
        OutputError: the file exists, cannot be written, or is being written by another program.
    """

    def __init__(
        self,
        path: Path,
        source: VideoInfo,
        encoding: Encoding = DEFAULT_ENCODING,
        overwrite: bool = False,
    ) -> None:
        self._path, self._source, self._overwrite = (
            check_writable(path, overwrite),
            source,
            overwrite,
        )
        self._container = CONTAINERS[path.suffix.lower()]
        coder = select_encoder(encoding.codec, encoding.crf, self._container, source)
        options = {**coder.options, **WITHOUT_DELAY.get(coder.name, {})}
        self._coder = EncoderConfig(coder.name, coder.pixels, options, coder.tag, coder.odd)
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
        with self._failures_named():
            if self._file is None:
                self._part = claim_part(self._path)
                options = AT_ONCE["mp4" if self._container in ("mp4", "mov") else "matroska"]
                self._file = EncodedFile(
                    self._part, self._container, self._coder, self._source, options
                )
            self._last_pts = max(round(frame.time / self._source.time_base), self._last_pts + 1)
            self._file.send(frame, self._last_pts)

    def _failures_named(self) -> NamedErrors:
        kept = f"; what was written is in {self._part}" if self._part else ""
        return NamedErrors(
            f"cannot write {self._path}", f"free some space or choose another place{kept}"
        )

    def close(self, complete: bool = True) -> Path | None:
        """Finish the file.

        Returns:
            The file that is there now, None where no frame came: ``NAME.EXT``, or ``NAME.part.EXT`` where it is not complete.

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
        with self._failures_named():
            file.close()
            fsync_path(part)
            if not complete:
                return part
            if self._path.exists() and not self._overwrite:  # it was not there at the start
                raise OutputError(
                    f"{self._path} appeared meanwhile and is kept: rename {part}, which is whole"
                )
            part.replace(self._path)
            fsync_path(self._path)
        return self._path
