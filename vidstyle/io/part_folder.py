"""The folder of an unfinished output, and which files in it are vidstyle's own."""

import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import OutputError
from .files import part_folder, partial_path, write_file
from .locks import OutputLock

log = logging.getLogger(__name__)

JOB = "job.json"

JOINED = "joined"
"""The name, without its ending, of the file into which the segments are joined, until it is whole."""

WRITTEN_BY = "vidstyle"
"""What a ``job.json`` of ours says of its writer."""

TEMPORARY = r"\.{}\.[0-9a-f]{{8}}\.part"
"""What ``files.temporary_name`` makes of a name."""


class PartFolder:
    """The folder ``NAME.part`` of an unfinished output ``NAME.EXT``.

    It holds segments ``000000.mp4`` ... and, after each, a checkpoint ``000001.safetensors``; at the
    end also ``joined.EXT``, which becomes ``NAME.part.EXT`` when it is whole. The folder is ours when
    it holds a ``job.json`` of ours. That file names the output and says how many segments were begun;
    it says so before the next segment is begun, so a crash leaves no file of ours that the job does
    not list. Files that the job does not list are never touched, nor is a ``NAME.part.EXT`` without a
    job that names its output.

    Args:
        output: the file that the segments become; the folder lies beside it.
        ending: of the segments.
    """

    def __init__(self, output: Path, ending: str = "") -> None:
        self.folder, self.part = part_folder(output), partial_path(output)
        self.joined = self.folder / f"{JOINED}{output.suffix}"
        self._output, self._ending = output.name, ending
        self._job: Mapping[str, Any] = {}
        self._begun = 0

    def check(self, may_replace: bool) -> None:
        """Find out whether the names that an output needs until it is whole are free, or ours. Nothing is changed.

        Args:
            may_replace: whether what an unfinished run of ours left may be replaced, or gone on with.

        Raises:
            OutputError: they are taken by files that are not ours, or may not be replaced, or the system does not allow them.
        """
        try:
            taken = [
                name for name in (self.folder, self.part) if name.exists() or name.is_symlink()
            ]
            if not taken:
                self.part.touch()
                self.part.unlink()
                return
            document = self.document()
            foreign = self._foreign(document)
        except OSError as error:  # a name too long, a folder of the system
            raise OutputError(
                f"{self.part} cannot be written ({error.strerror}): choose another name or place"
            ) from None
        if foreign is not None:
            raise OutputError(
                f"{foreign} is in the way and belongs to no unfinished render: move it away, or choose another name"
            )
        if document is not None and document["output"] != self._output:
            with OutputLock(
                self.folder.with_name(document["output"])
            ):  # is it still being written?
                pass
            remedy = "finish that one with resume=True, delete the folder, or choose another name"
            raise OutputError(
                f"{self.folder} is left of an unfinished run for {document['output']}: {remedy}",
                "resume",
            )
        if not may_replace:
            raise OutputError(
                f"{taken[0]} is left of an unfinished run: go on with resume=True, or add overwrite=True to start anew",
                "resume",
                "overwrite",
            )

    def begin(self, job: Mapping[str, Any]) -> None:
        """Start anew: whatever an earlier run of ours left is removed.

        Args:
            job: what is rendered and how, as JSON can hold it.

        Raises:
            OutputError: names that are needed are taken by files that are not ours.
            OSError: it cannot be written.
        """
        self.check(may_replace=True)
        self.remove()
        self.folder.mkdir()
        self._job, self._begun = job, 0
        self._list()

    def remove(self) -> None:
        """Remove what the job lists, and the folder where nothing else is in it.

        Raises:
            OSError: it cannot be removed.
        """
        document = self.document()
        if not self.folder.is_dir() or self.folder.is_symlink():
            return
        ours = [file for file in self.folder.iterdir() if _is_ours(file, document)]
        for file in sorted(
            ours, key=lambda file: file.name == JOB
        ):  # the job last: it says whose the others are
            file.unlink()
        if document is not None and document["output"] == self._output:
            self.part.unlink(missing_ok=True)
        try:
            self.folder.rmdir()
        except OSError:
            log.warning("%s holds other files too, and stays with these", self.folder)

    def document(self) -> dict[str, Any] | None:
        """What a ``job.json`` of ours says; None where there is none."""
        try:
            found = json.loads((self.folder / JOB).read_text())
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(found, dict) or found.get("written by") != WRITTEN_BY:
            return None
        kinds = {"output": str, "ending": str, "segments": int, "job": dict}
        return (
            found if all(isinstance(found.get(key), kind) for key, kind in kinds.items()) else None
        )

    def _list(self) -> None:
        """Write ``job.json``: as many segments as were begun are ours."""
        known = {
            "written by": WRITTEN_BY,
            "output": self._output,
            "ending": self._ending,
            "segments": self._begun,
        }
        write_file(self.folder / JOB, json.dumps({**known, "job": self._job}, indent=1) + "\n")

    def _foreign(self, document: Mapping[str, Any] | None) -> Path | None:
        """The first file, of those whose names are needed, that is not ours."""
        if self.folder.is_symlink() or (self.folder.exists() and not self.folder.is_dir()):
            return self.folder
        if self.folder.exists():
            for file in sorted(self.folder.iterdir()):
                if not _is_ours(file, document):
                    return file
        if (self.part.exists() or self.part.is_symlink()) and (
            document is None or document["output"] != self._output
        ):
            return self.part
        return None


def _is_ours(file: Path, document: Mapping[str, Any] | None) -> bool:
    """Whether a job lists a file of its folder, or the file is the job itself, whole or not."""
    if re.fullmatch(TEMPORARY.format(re.escape(JOB)), file.name):
        return file.is_file()
    if document is None or not file.is_file() or file.is_symlink():
        return False
    segment = rf"(\d{{6}})(?:\.part)?{re.escape(document['ending'])}"
    checkpoint = r"(\d{6})\.safetensors"
    found = re.fullmatch(rf"{segment}|{checkpoint}|{TEMPORARY.format(checkpoint)}", file.name)
    if found is None:
        return file.name in (JOB, f"{JOINED}{Path(document['output']).suffix}")
    first, *states = found.groups()
    return (
        int(first) < document["segments"]
        if first
        else any(0 < int(n) <= document["segments"] for n in states if n)
    )
