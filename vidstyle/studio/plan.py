"""A render as it is asked for, the job that is made of it, and the command of a job."""

import time
from collections.abc import Collection, Mapping
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ..io.files import part_folder
from .edits import NAMES_OF_PEOPLE, Edits, seconds_text
from .items import Clip, ClipMask, StyleImage, clean_name, new_id
from .job import CLIP_ENDING, STILL_ENDING, Job
from .library import Library
from .render_process import render_arguments, shown_command


class Plan(NamedTuple):
    """What to render.

    Args:
        clip: what to render.
        style: in which style.
        preset: name of a preset.
        settings: changes of it, checked by ``chosen_settings``.
        part: start and end in seconds.
        edits: keyframes, regions and mask.
        person_model: finds people; None: torchvision's.
    """

    clip: Clip
    style: StyleImage
    preset: str
    settings: Mapping[str, Any]
    part: tuple[float | None, float | None] = (None, None)
    edits: Edits = Edits()
    person_model: Path | None = None


MASK_ENDING = ".mkv"
"""Ending of clips of masks, which are kept without loss."""


Item = TypeVar("Item", Clip, ClipMask, StyleImage)


class MissingError(Exception):
    """A clip, a style, a mask or the device of a job is not there. The message is one line."""


def new_job(plan: Plan, library: Library, taken: Collection[str] = ()) -> Job:
    """The job of a plan, with a command that shows the names of the user's files.

    Args:
        plan: what to render.
        library: has the files.
        taken: names of outputs that the new one must not have.
    """
    clip, style = plan.clip, plan.style
    stem = clean_name(f"{Path(clip.name).stem}_{Path(style.name).stem}", "clip")
    ending = STILL_ENDING if clip.kind == "still" else CLIP_ENDING
    names = (f"{stem}_{number}{ending}" for number in count(2))
    file = next(name for name in chain([stem + ending], names) if name not in taken)
    styles, masks = map(library.style, plan.edits.styles), map(library.mask, plan.edits.masks)
    shown = {each.id: each.name for each in (*styles, *masks) if each is not None}
    person_model = str(plan.person_model or "") if plan.edits.finds_people else ""
    arguments = render_arguments(
        (clip.name, style.name, file), plan.preset, plan.settings, plan.part
    )
    return Job(
        *(new_id(), clip.id, clip.name, style.id, style.name, plan.preset, dict(plan.settings)),
        file=file,
        command=shown_command(
            [*arguments, *plan.edits.flags(NAMES_OF_PEOPLE | shown), *_model_flags(person_model)]
        ),
        person_model=person_model,
        start=plan.part[0],
        end=plan.part[1],
        added=time.time(),
        **plan.edits.public(),
    )


def _model_flags(person_model: str) -> list[str]:
    return ["--person-model", person_model] if person_model else []


def new_mask_job(clip: Clip, mask: ClipMask) -> Job:
    """The job that carries a drawn mask along its clip."""
    file = clean_name(f"{Path(mask.name).stem} in motion", "mask") + MASK_ENDING
    command = shown_command(_mask_arguments(clip.name, mask, mask.name, file))
    return Job(
        *(new_id(), clip.id, clip.name, "", "", "", {}),
        file=file,
        command=command,
        mask=mask.id,
        kind="mask",
        added=time.time(),
    )


def _mask_arguments(clip: str, mask: ClipMask, name: str, output: str) -> list[str]:
    """The arguments of ``vidstyle mask``, with the names of the files."""
    return ["mask", clip, f"{seconds_text(mask.time)}={name}", "-o", output]


def check_complete(job: Job, library: Library) -> None:
    """Raise MissingError where a job lacks its clip, a style or a mask."""
    _present(library.clip(job.clip), "its clip or style")
    for style in (job.style, *job.edits.styles) if job.kind == "render" else ():
        _present(library.style(style), "its clip or style")
    for mask in job.edits.masks:
        _present(library.mask(mask), "one of its masks")


def _present(item: Item | None, what: str) -> Item:
    if item is None:
        raise MissingError(f"{what} was removed: start a new one")
    return item


def job_arguments(job: Job, library: Library, output: Path) -> list[str]:
    """The arguments of ``vidstyle`` for a job. Files of edits are relative to the library's folder,
    whose own name may hold characters that separate them.

    Raises:
        MissingError: see ``check_complete``.
    """
    check_complete(job, library)
    clip = str(library.clip_path(_present(library.clip(job.clip), "its clip or style")))
    if job.kind == "mask":
        mask = _present(library.mask(job.mask or ""), "one of its masks")
        return [*_mask_arguments(clip, mask, str(library.mask_path(mask)), str(output)), "-y"]
    style = _present(library.style(job.style), "its clip or style")
    names = clip, str(library.style_path(style)), str(output)
    arguments = render_arguments(names, job.preset, job.settings, (job.start, job.end))
    arguments += job.edits.flags(edit_files(job.edits, library, relative=True))
    arguments += [*_model_flags(job.person_model), "--device", job.device]
    return [*arguments, "--resume"] if part_folder(output).exists() else arguments


def edit_files(edits: Edits, library: Library, relative: bool = False) -> dict[str, str]:
    """Id -> path of each style and mask of edits, and name -> name of the masks of people.

    Args:
        edits: whose styles and masks the library has.
        library: has them.
        relative: to the library's folder; bundled styles by their name.
    """
    found = dict(NAMES_OF_PEOPLE)
    for style in map(library.style, edits.styles):
        if style is not None:
            path = library.style_path(style)
            inside = path.relative_to(library.folder) if not style.bundled else style.name
            found[style.id] = str(inside if relative else path)
    for mask in map(library.mask, edits.masks):
        if mask is not None:
            path = library.mask_path(mask)
            found[mask.id] = str(path.relative_to(library.folder) if relative else path)
    return found
