"""A job of the queue: a render or a mask, its state, and its file on disk."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..face_choices import KEEP
from ..io.files import write_file
from .edits import Edits
from .items import read_json

UNFINISHED = ("queued", "running", "paused")
FINISHED = ("done", "failed", "cancelled")

STILL_ENDING, CLIP_ENDING = ".png", ".mp4"
"""Endings of the outputs of pictures and of clips."""

DESCRIPTION = "job.json"
"""Name of the file of a job in its folder."""

HIDDEN = (
    *("position", "tries", "pid", "pid_start", "file", "working_size"),
    *("person_model", "covers", "discards"),
)
"""Fields of a job that are kept and not shown."""


@dataclass
class Job:
    """A render in the queue, or a drawn mask that is carried along its clip.

    Args:
        id: of its folder.
        clip, clip_name: id and name of the clip.
        style, style_name: id and name of the style.
        preset: name of a preset.
        settings: changes of it.
        start, end: of the part in seconds; None: of the whole clip.
        keyframes, regions, mask, faces: see ``Edits``.
        kind: ``render``, or ``mask``: ``mask`` is then carried, and there is no style.
        file: name of the output.
        position: in the queue.
        state: ``queued``, ``running``, ``paused``, ``done``, ``failed`` or ``cancelled``.
        done, total: frames, of a picture iterations; None where unknown.
        remaining_seconds: an estimate.
        message: what went wrong, or what is going on.
        command: the same render as a user would type it.
        seconds: how long it took so far.
        bytes: size of the output.
        tries: how often a signal ended it.
        pid, pid_start: of its process.
        working_size: (width, height) in px at which frames are optimised.
        added: when it was added, in seconds since 1970; 0 where unknown.
        device: where it runs, or ran last; "" before.
        person_model: file of the model that finds people; "": torchvision's, or none is needed.
        covers: see ``ClipMask``, of the mask that it makes.
        discards: whether it was cancelled and its files are not removed yet: its process still
            runs. It may be queued again meanwhile.
    """

    id: str
    clip: str
    clip_name: str
    style: str
    style_name: str
    preset: str
    settings: dict[str, Any]
    file: str
    command: str
    start: float | None = None
    end: float | None = None
    position: int = 0
    state: str = "queued"
    done: int = 0
    total: int | None = None
    remaining_seconds: float | None = None
    message: str = ""
    seconds: float = 0.0
    bytes: int | None = None
    tries: int = 0
    pid: int | None = None
    pid_start: str = ""
    working_size: list[int] = field(default_factory=list)
    keyframes: list[dict[str, Any]] = field(default_factory=list)
    regions: list[dict[str, Any]] = field(default_factory=list)
    mask: str | None = None
    faces: str = KEEP
    kind: str = "render"
    added: float = 0.0
    device: str = ""
    person_model: str = ""
    covers: list[float] = field(default_factory=list)
    discards: bool = False

    @property
    def edits(self) -> Edits:
        """Its keyframes, regions and mask.

        Raises:
            ValueError: they are damaged.
        """
        return Edits.of(vars(self))

    def uses(self, id: str) -> bool:
        """Whether it needs a clip, a style or a mask."""
        return id in (self.clip, self.style, *self.edits.styles, *self.edits.masks)

    @property
    def is_still(self) -> bool:
        """Whether it renders a picture, whose iterations are counted instead of frames."""
        return self.file.endswith(STILL_ENDING)

    def needed_device(self, begun: bool) -> str:
        """The only device that it may have, where it has ``begun`` to write; "": any.

        On another one the frames would be others. The CPU computes masks.
        """
        if self.kind == "mask":
            return "cpu"
        return self.device if begun else ""

    def public(self) -> dict[str, Any]:
        """As the page sees it."""
        shown = {name: value for name, value in asdict(self).items() if name not in HIDDEN}
        has_output = self.state == "done" and self.kind == "render"
        return {**shown, "output": self.file if has_output else None}

    def note(self, event: Mapping[str, Any], before: float) -> None:
        """Take over what an event of ``progress.EventWriter`` tells.

        Args:
            event: of the job's process.
            before: seconds that earlier processes of the job took.
        """
        elapsed = event.get("elapsed_seconds", event.get("seconds"))
        if elapsed is not None:
            self.seconds = round(before + elapsed, 3)
        if event.get("event") == "start":
            self.total = event.get("frames") or self.total
            self.working_size = list(event.get("working_size", ()))
        elif event.get("event") == "progress" and self.state == "running":
            self.done, self.total = event.get("done", 0), event.get("total") or self.total
            self.remaining_seconds = event.get("remaining_seconds")
            self.message = "" if self.done else event.get("note", "")
        elif event.get("event") == "mask":
            self.covers = list(event.get("covers", ()))

    def write(self, folder: Path) -> None:
        """Write the file of the job into its folder, atomically.

        Raises:
            OSError: it cannot be written.
        """
        write_file(folder / DESCRIPTION, json.dumps(asdict(self), indent=1) + "\n")


def load_job(folder: Path) -> Job | None:
    """The job of a folder; None where there is none."""
    document = read_json(folder / DESCRIPTION) or {}
    known = {each.name for each in fields(Job)}
    try:
        job = Job(**{name: value for name, value in document.items() if name in known})
        Edits.of(document)
    except (TypeError, ValueError):
        return None
    safe = Path(job.file).name == job.file and job.state in (*UNFINISHED, *FINISHED)
    return job if job.id == folder.name and safe else None
