"""The folder of an unfinished output, and which of its files belong to vidstyle."""

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

JOB_FILE = "job.json"
"""Name of the file that describes the job and lists the segments."""

JOINED_STEM = "joined"
"""Stem of the file that the segments are joined into until it is complete."""

WORK_LIST_FILE = "shots.json"
"""Name of the work list of a render whose shots are stylised apart."""

WRITER = "vidstyle"
"""Value of ``written by`` in a ``job.json`` of vidstyle."""

TEMPORARY_PATTERN = r"\.{}\.[0-9a-f]{{8}}\.part"
"""Regular expression of the names that ``files.temporary_name`` makes."""

ENVIRONMENT_KEYS = ("version", "torch", "threads")
"""Keys of a job that may change between runs; a change is logged."""


class PartFolder:
    """The folder ``NAME.part`` of an unfinished output ``NAME.EXT``.

    It holds segments ``000000.mp4`` ... and, after each, a checkpoint ``000001.safetensors``; at
    the end also ``joined.EXT``, which becomes ``NAME.part.EXT`` when it is complete. The folder
    belongs to vidstyle when it holds a ``job.json`` of vidstyle, which names the output and the
    number of segments started. The number is written before a segment is started, so after a crash
    the job lists every file of vidstyle. Where the shots of a clip are stylised apart, the segments
    of shot 12 are ``000012-000000.mp4`` ..., the job has the number of shots, and the work list
    ``shots.json`` says which are done. Files that the job does not list are never touched, nor is
    a ``NAME.part.EXT`` without a job that names its output.

    Args:
        output: the file that the segments become; the folder lies in the same folder.
        ending: file extension of the segments.
        resumable: whether ``resume=True`` is known to what writes the output.
    """

    def __init__(self, output: Path, ending: str = "", resumable: bool = True) -> None:
        self._resumable = resumable
        self.folder, self.part = part_folder(output), partial_path(output)
        self.joined = self.folder / f"{JOINED_STEM}{output.suffix}"
        self._output, self._ending = output.name, ending
        self._job: Mapping[str, Any] = {}
        self._started = self._shots = 0

    def check(self, may_replace: bool) -> None:
        """Check that the names an unfinished output needs are free or vidstyle's own. Nothing is
        changed.

        Args:
            may_replace: whether the files of an unfinished run may be replaced or resumed.

        Raises:
            OutputError: other files have these names, an unfinished run may not be replaced, or the
                system does not allow the names.
        """
        try:
            existing = [
                name for name in (self.folder, self.part) if name.exists() or name.is_symlink()
            ]
            if not existing:
                self.part.touch()
                self.part.unlink()
                return
            document = self.document()
            foreign = self._foreign_file(document)
        except OSError as error:  # a name too long, a folder of the system
            raise OutputError(
                f"{self.part} cannot be written ({error.strerror}): choose another name or place"
            ) from None
        if foreign is not None:
            raise OutputError(
                f"{foreign} belongs to no unfinished render: move it, or choose another name"
            )
        if document is not None and document["output"] != self._output:
            with OutputLock(
                self.folder.with_name(document["output"])
            ):  # raises while it is written
                pass
            finish = "finish that one with resume=True, " if self._resumable else ""
            raise OutputError(
                f"{self.folder} is from an unfinished run for {document['output']}: {finish}"
                "delete the folder, or choose another name",
                "resume",
            )
        if not may_replace:
            remedy = "use resume=True, or overwrite=True"
            if not self._resumable:
                remedy = "add overwrite=True to replace it, or choose another name"
            raise OutputError(
                f"{existing[0]} is from an unfinished run: {remedy}",
                "resume",
                "overwrite",
            )

    def begin(self, job: Mapping[str, Any]) -> None:
        """Start a new job; files of an earlier run of vidstyle are removed.

        Args:
            job: what is rendered and how, as JSON can hold it.

        Raises:
            OutputError: files that are not vidstyle's own have these names.
            OSError: the folder cannot be written.
        """
        self.check(may_replace=True)
        self.remove()
        self.folder.mkdir()
        self._job, self._started = job, 0
        self._write_job()

    def check_same_job(self, document: Mapping[str, Any], job: Mapping[str, Any]) -> None:
        """Check that an unfinished run had this job.

        Args:
            document: of the unfinished run.
            job: as for ``begin``.

        Raises:
            OutputError: it had another one; the message names what differs.
        """
        before, now = document["job"], json.loads(json.dumps(job))
        changed = [key for key in now if before.get(key) != now[key]]
        for key in [key for key in changed if key in ENVIRONMENT_KEYS]:
            changed.remove(key)
            log.warning(
                "%s was %s and is now %s: later frames may differ in the last bit",
                key,
                before.get(key),
                now[key],
            )
        if changed:
            differences = "; ".join(
                f"{key} was {_shorten(before.get(key))} and is now {_shorten(now[key])}"
                for key in changed[:3]
            )
            remedy = (
                "use the same arguments, or restart with overwrite=True and without resume=True"
            )
            raise OutputError(
                f"{self.folder} is from another job: {differences}; {remedy}", "overwrite", "resume"
            )

    def remove(self) -> None:
        """Remove the files that the job lists, and the folder if nothing else is in it.

        Raises:
            OSError: a file cannot be removed.
        """
        document = self.document()
        if not self.folder.is_dir() or self.folder.is_symlink():
            return
        ours = [file for file in self.folder.iterdir() if _belongs_to_job(file, document)]
        for file in sorted(ours, key=lambda file: file.name == JOB_FILE):  # the list of files last
            file.unlink()
        if document is not None and document["output"] == self._output:
            self.part.unlink(missing_ok=True)
        try:
            self.folder.rmdir()
        except OSError:
            log.warning("%s is kept, since it holds other files", self.folder)

    def document(self) -> dict[str, Any] | None:
        """The content of ``job.json``; None where there is none of vidstyle."""
        try:
            found = json.loads((self.folder / JOB_FILE).read_text())
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(found, dict) or found.get("written by") != WRITER:
            return None
        kinds = {"output": str, "ending": str, "segments": int, "job": dict}
        return (
            found if all(isinstance(found.get(key), kind) for key, kind in kinds.items()) else None
        )

    def _write_job(self) -> None:
        """Write ``job.json`` with the number of segments started."""
        known = {
            "written by": WRITER,
            "output": self._output,
            "ending": self._ending,
            "segments": self._started,
            "shots": self._shots,
        }
        write_file(self.folder / JOB_FILE, json.dumps({**known, "job": self._job}, indent=1) + "\n")

    def _foreign_file(self, document: Mapping[str, Any] | None) -> Path | None:
        """The first file with a name that is needed that is not vidstyle's own."""
        if self.folder.is_symlink() or (self.folder.exists() and not self.folder.is_dir()):
            return self.folder
        if self.folder.exists():
            for file in sorted(self.folder.iterdir()):
                if not _belongs_to_job(file, document):
                    return file
        if (self.part.exists() or self.part.is_symlink()) and (
            document is None or document["output"] != self._output
        ):
            return self.part
        return None


def _belongs_to_job(file: Path, document: Mapping[str, Any] | None) -> bool:
    """Whether a job lists a file of its folder, or the file is the job itself or a part of it."""
    names = "|".join(map(re.escape, (JOB_FILE, WORK_LIST_FILE)))
    if re.fullmatch(TEMPORARY_PATTERN.format(f"(?:{names})"), file.name):
        return file.is_file()
    if document is None or not file.is_file() or file.is_symlink():
        return False
    ending = re.escape(document["ending"])
    segment = rf"(\d{{6}})(?:\.part)?{ending}"
    checkpoint, of_shot = r"(\d{6})\.safetensors", rf"(\d{{6}})-\d{{6}}{ending}"
    temporary = [TEMPORARY_PATTERN.format(name) for name in (checkpoint, of_shot)]
    found = re.fullmatch("|".join([segment, checkpoint, of_shot, *temporary]), file.name)
    if found is None:
        listed = JOB_FILE, WORK_LIST_FILE, f"{JOINED_STEM}{Path(document['output']).suffix}"
        return file.name in listed
    numbers: list[Any] = [number and int(number) for number in found.groups()]
    first, state, shot, new_state, new_shot = numbers
    shot, state = new_shot if shot is None else shot, new_state if state is None else state
    if shot is not None:
        return bool(shot < document.get("shots", 0))
    if first is not None:
        return bool(first < document["segments"])
    return bool(0 < state <= document["segments"])


def _shorten(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
